"""Which modules a fork server holds ready, and which one a program is sent to.

A fork copies the page tables of all that is loaded, and the child's end takes them down again: a program that
needs no sympy is twice as fast from a fork server without it.
"""

import re
from dataclasses import dataclass

# Each extension module is half a dozen mappings, and each mapping a cost of every fork: the first list has
# only what is used most, the second is for programs that name it.
_BASIC = (
    *("bisect", "cmath", "collections", "copy", "dataclasses", "enum", "functools", "heapq", "itertools"),
    *("json", "math", "operator", "re", "string", "time", "traceback", "typing"),
)
_MORE = ("datetime", "decimal", "fractions", "random", "statistics")
_SCIPY = ("scipy.integrate", "scipy.linalg", "scipy.optimize", "scipy.special", "scipy.stats")


@dataclass(frozen=True)
class Kind:
    """A sort of fork server.

    Attributes:
        name: For logs and metrics.
        preload: Modules imported once, where they are installed.
        words: Programs in which one of these words occurs go here; none: all that nobody else takes.
    """

    name: str
    preload: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def takes(self, code: str) -> bool:
        """True for a program that should run here."""
        return not self.words or re.search(rf"\b(?:{'|'.join(self.words)})\b", code) is not None


# The first that takes a program gets it. A wrong guess costs the time of an import, and nothing else.
KINDS = (
    Kind("scipy", (*_BASIC, *_MORE, "sympy", *_SCIPY), ("scipy", "sklearn", "statsmodels")),
    Kind("sympy", (*_BASIC, *_MORE, "numpy", "sympy"), ("sympy", "mpmath")),
    Kind("numpy", (*_BASIC, "numpy"), ("numpy", "pandas", "matplotlib", "networkx")),
    Kind("standard", (*_BASIC, *_MORE), _MORE),
    Kind("plain", _BASIC),
)


def kind_of(code: str, kinds: tuple[Kind, ...]) -> Kind:
    """The kind that a program is sent to; the last one when none asks for it."""
    return next((kind for kind in kinds if kind.takes(code)), kinds[-1])
