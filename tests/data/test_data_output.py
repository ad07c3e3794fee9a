import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipe.retool.data import output
from recipe.retool.data.output import atomic_path, parquet_sink, write_text
from recipe.retool.errors import DataError

SCHEMA = pa.schema([("n", pa.int64())])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_rows_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_GROUP_ROWS", 2)
    with parquet_sink(tmp_path / "new" / "x.parquet", SCHEMA) as sink:
        for n in range(5):
            sink.add({"n": n})
    assert pq.read_table(tmp_path / "new" / "x.parquet")["n"].to_pylist() == list(range(5))
    assert names(tmp_path / "new") == ["x.parquet"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, DataError])
def test_a_fault_leaves_the_old_file_and_nothing_else(tmp_path: Path, fault: type[BaseException]) -> None:
    def write() -> None:
        with parquet_sink(tmp_path / "x.parquet", SCHEMA) as sink:
            sink.add({"n": 1})
            sink.flush()
            raise fault

    (tmp_path / "x.parquet").write_text("old")
    with pytest.raises(fault):
        write()
    assert (tmp_path / "x.parquet").read_text() == "old"
    assert names(tmp_path) == ["x.parquet"]


def test_the_old_file_is_there_until_the_end(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "old")
    with atomic_path(tmp_path / "x") as part:
        part.write_text("new")
        assert (tmp_path / "x").read_text() == "old"
    assert (tmp_path / "x").read_text() == "new"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "text"


def test_a_folder_in_the_way_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        write_text(tmp_path, "text")


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        write_text(tmp_path / "file" / "x.parquet", "text")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="Permission denied"):
        write_text(tmp_path / "x", "text")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_path(tmp_path / "x") as part:
            part.symlink_to("/dev/full")
            with pq.ParquetWriter(part, SCHEMA) as writer:
                writer.write_table(pa.table({"n": list(range(100_000))}, schema=SCHEMA))

    with pytest.raises(DataError, match="No space left on device"):
        fill()
    assert names(tmp_path) == []


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    program = """
        import sys, time
        from pathlib import Path
        import pyarrow as pa
        from recipe.retool.data.output import parquet_sink
        with parquet_sink(Path(sys.argv[1]), pa.schema([("n", pa.int64())])) as sink:
            sink.add({"n": 1})
            sink.flush()
            sys.stdout.write("writing\\n")
            sys.stdout.flush()
            time.sleep(60)
    """
    target = tmp_path / "x.parquet"
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"writing\n"
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert names(tmp_path) == []
