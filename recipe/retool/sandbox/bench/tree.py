"""What a process and everything below it take from the machine."""

from dataclasses import dataclass

import psutil

_MIB = 1024 * 1024


@dataclass(frozen=True)
class TreeFigures:
    """Sums over a process tree.

    Attributes:
        rss_mib: Resident memory; pages shared by several processes count in each.
        pss_mib: The same with shared pages counted once in all.
        processes: Number of processes.
        threads: Number of threads.
        descriptors: Number of open descriptors, of those processes that we may look into.
    """

    rss_mib: float = 0.0
    pss_mib: float = 0.0
    processes: int = 0
    threads: int = 0
    descriptors: int = 0

    def __str__(self) -> str:
        return (
            f"RSS {self.rss_mib:.0f} MiB, PSS {self.pss_mib:.0f} MiB, {self.processes} processes, "
            f"{self.threads} threads, {self.descriptors} descriptors"
        )


def tree_figures(pid: int) -> TreeFigures:
    """Look at a process and its descendants now; all zero when it is gone."""
    try:
        found = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return TreeFigures()
    rss = pss = threads = descriptors = processes = 0
    for process in found:
        try:
            full = process.memory_full_info()
            threads += process.num_threads()
        except psutil.Error:  # it has just ended, or it is not ours
            continue
        processes += 1
        rss += full.rss
        pss += getattr(full, "pss", full.rss)
        try:
            descriptors += process.num_fds()
        except (psutil.Error, AttributeError):
            continue
    return TreeFigures(rss / _MIB, pss / _MIB, processes, threads, descriptors)
