"""What a fork server loads, and how it lies in memory afterwards."""

import gc
import importlib
import os
import sys
from contextlib import suppress

from recipe.retool.sandbox.zygote.huge import collapse
from recipe.retool.sandbox.zygote.messages import Setup


def preload(setup: Setup) -> None:
    """Import what programs are to find, as far as it is installed."""
    import site

    for put_in in (site.setquit, site.setcopyright, site.sethelper):  # python -S leaves these names out
        put_in()
    sys.path[:] = setup.path
    for name in ("PYTHONPATH", "LD_BIND_NOW"):  # for us alone
        os.environ.pop(name, None)
    for name in setup.preload:
        with suppress(ImportError):
            importlib.import_module(name)


def settle_memory() -> int:
    """Leave as little as possible that a child would have to copy; returns the address space in MiB."""
    _forget_ourselves()
    gc.collect()
    gc.disable()
    gc.freeze()  # a collection in a child would write to, and so copy, every page of these
    collapse()
    return _address_space_mb()


def _forget_ourselves() -> None:
    """Hide our modules from the programs. Here, for in a child each look at a name would copy a page."""
    for name in [name for name in sys.modules if name == "recipe" or name.startswith("recipe.")]:
        del sys.modules[name]


def _address_space_mb() -> int:
    with suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE") >> 20
    return 0
