"""Finding the first forbidden import, name or attribute in the syntax tree of a program."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

# Attributes by which any object leads to the interpreter's inside. ``__class__``, ``__init__``,
# ``__dict__`` and the like are left alone: ordinary classes use them.
_INSIDE = frozenset(
    {"__base__", "__bases__", "__builtins__", "__closure__", "__code__", "__getattribute__", "__globals__",
     "__import__", "__loader__", "__mro__", "__self__", "__spec__", "__subclasses__", "ag_frame", "cr_frame",
     "f_back", "f_builtins", "f_globals", "f_locals", "gi_frame", "tb_frame"}
)  # fmt: skip
_INSIDE_NAMES = frozenset({"__builtins__", "__loader__", "__spec__"})
# Modules that others carry around as an attribute (``pathlib.os``, ``random._os``). Only those whose
# name means nothing else: scipy.signal and an array's .ctypes are no way out.
_CARRIED = frozenset({"builtins", "importlib", "os", "posix", "shutil", "subprocess"})
# These run or read an attribute by a name given as text; a text that is written out can be checked.
_RUN_TEXT = frozenset({"eval", "exec", "sympify", "parse_expr", "S"})
_TEXT_ATTRIBUTE = frozenset({"attrgetter", "delattr", "getattr", "hasattr", "methodcaller", "setattr"})
_DEPTH = 5  # eval("eval(\"...\")")
# A model does not write more. Parsing holds the interpreter's lock, so no request is served meanwhile, and
# Python's parser takes time in the square of the length of a dotted name.
_MOST_CHARACTERS = 100_000
_LONG_NAME = re.compile(r"(?:\.\s*\w{1,50}\s*){500}")


@dataclass(frozen=True)
class Rules:
    """The lists of a policy; see :class:`recipe.retool.sandbox.policy.Policy`."""

    allowed_modules: frozenset[str] | None
    denied_modules: frozenset[str]
    denied_calls: frozenset[str]


@dataclass(frozen=True)
class Finding:
    """One thing that a program may not do.

    Attributes:
        line: Line of the program, from 1.
        name: Module, name or attribute.
        what: The same as a phrase.
        not_allowed: True when an allow-list left it out, False when it is denied.
    """

    line: int
    name: str
    what: str
    not_allowed: bool = False


def first_finding(code: str, rules: Rules, depth: int = _DEPTH) -> Finding | None:
    """The finding with the lowest line; None when there is none or the code is not valid Python."""
    if len(code) > _MOST_CHARACTERS:
        return Finding(1, "length", f"a program of more than {_MOST_CHARACTERS} characters")
    if _LONG_NAME.search(code):
        return Finding(1, "length", "a name of 500 parts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    try:
        return min(_Scan(tree, rules, depth).findings(), key=lambda finding: finding.line, default=None)
    except RecursionError:  # not let through: that would be a way past every rule
        return Finding(1, "nesting", "an expression this deep")


class _Scan:
    """One pass over a tree. Names are followed without regard to scopes: strict, but hard to trick."""

    def __init__(self, tree: ast.Module, rules: Rules, depth: int) -> None:
        self._nodes = list(ast.walk(tree))
        self._rules = rules
        self._depth = depth
        self._modules = dict(_imported_names(self._nodes))
        self._chains: dict[ast.Attribute, str] = {}
        self._modules.update(list(self._copies()))
        self._chains.clear()  # they were followed without the copies

    def findings(self) -> Iterator[Finding]:
        for node in self._nodes:
            if isinstance(node, ast.Import):
                yield from self._imports([alias.name for alias in node.names], node.lineno)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from self._from(node, node.module)
            elif isinstance(node, ast.Name):
                yield from self._name(node)
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Call):
                yield from self._text_argument(node)
            elif isinstance(node, ast.Subscript):
                yield from self._hidden_text(text_of(node.slice), node.lineno, _is_namespace(node.value))
            elif isinstance(node, ast.MatchClass):  # case object(__globals__=g)
                for attribute in node.kwd_attrs:
                    yield from self._hidden_text(attribute, node.lineno)

    def _imports(self, names: list[str], line: int) -> Iterator[Finding]:
        for name in names:
            if name == "__future__":
                continue
            if _covers(self._rules.denied_modules, name):
                yield Finding(line, name, f"importing '{name}'")
            elif self._rules.allowed_modules is not None and not _covers(self._rules.allowed_modules, name):
                yield Finding(line, name, f"importing '{name}'", not_allowed=True)

    def _from(self, node: ast.ImportFrom, module: str) -> Iterator[Finding]:
        whole = list(self._imports([module], node.lineno))
        if whole and not whole[0].not_allowed:
            yield from whole
            return
        for alias in node.names:
            full = f"{module}.{alias.name}"
            # "from scipy import stats" may be denied or allowed as "scipy.stats".
            parts = list(self._imports([full], node.lineno)) if whole or alias.name != "*" else []
            yield from (part for part in parts if whole or not part.not_allowed)
            if full in self._rules.denied_calls or self._is_carried(alias.name):
                yield Finding(node.lineno, alias.name, f"importing '{alias.name}' from '{module}'")
            elif alias.name == "*" and any(c.startswith(f"{module}.") for c in self._rules.denied_calls):
                yield Finding(node.lineno, module, f"'from {module} import *' (name what you need)")

    def _name(self, node: ast.Name) -> Iterator[Finding]:
        if node.id in _INSIDE_NAMES or node.id in self._rules.denied_calls:
            yield Finding(node.lineno, node.id, f"using '{node.id}'")

    def _attribute(self, node: ast.Attribute) -> Iterator[Finding]:
        # The last two parts: pathlib.sys.modules is sys.modules.
        dotted = ".".join(self._dotted(node).split(".")[-2:])
        if dotted in self._rules.denied_calls:
            yield Finding(node.lineno, dotted, f"using '{dotted}'")
        elif node.attr in _INSIDE or self._is_carried(node.attr):
            yield Finding(node.lineno, node.attr, f"reaching for '.{node.attr}'")

    def _text_argument(self, node: ast.Call) -> Iterator[Finding]:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [text for text in map(text_of, node.args) if text is not None]
        if called in _TEXT_ATTRIBUTE:
            for text in texts:
                yield from self._hidden_text(text, node.lineno)
        elif called in _RUN_TEXT and texts and self._depth > 0:
            inner = first_finding(texts[0].strip(), self._rules, self._depth - 1)
            if inner is not None:
                yield Finding(node.lineno, inner.name, f"{inner.what} inside {called}()", inner.not_allowed)

    def _hidden_text(self, text: str | None, line: int, namespace: bool = True) -> Iterator[Finding]:
        """A name given as text, in ``getattr(x, "...")`` or ``vars(x)["..."]``."""
        last = (text or "").rpartition(".")[2]
        if last in _INSIDE or (namespace and self._is_carried(last)):
            yield Finding(line, last, f"reaching for '{last}'")

    def _is_carried(self, name: str) -> bool:
        plain = name.lstrip("_")
        return plain in _CARRIED and plain in self._rules.denied_modules

    def _dotted(self, node: ast.expr) -> str:
        """``sys.modules`` for ``s.modules`` after ``import sys as s``; empty when it is no such chain."""
        if isinstance(node, ast.Name):
            return self._modules.get(node.id, "")
        if not isinstance(node, ast.Attribute):
            return ""
        if node not in self._chains:  # each link once: a chain of n links has n nodes to be asked about
            base = self._dotted(node.value)
            self._chains[node] = f"{base}.{node.attr}" if base else ""
        return self._chains[node]

    def _copies(self) -> Iterator[tuple[str, str]]:
        """Names that a plain assignment makes another name of a module: ``s = sys``."""
        for node in self._nodes:
            if isinstance(node, ast.Assign) and self._dotted(node.value):
                for target in node.targets:
                    if isinstance(target, ast.Name) and target.id not in self._modules:
                        yield target.id, self._dotted(node.value)


def _imported_names(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _is_namespace(node: ast.expr) -> bool:
    """True for ``vars(x)``, ``globals()`` and ``x.__dict__``: an entry "os" of those is the module."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("vars", "globals", "locals")
    return isinstance(node, ast.Attribute) and node.attr == "__dict__"


def _covers(names: frozenset[str], module: str) -> bool:
    return module in names or any(module.startswith(f"{name}.") for name in names)


def text_of(node: ast.AST) -> str | None:
    """The value of a text that is written out, also in pieces: ``"o" + "s"`` or ``f"os"``."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.JoinedStr):
        parts = [text_of(value) for value in node.values]
        return None if None in parts else "".join(part or "" for part in parts)
    return None
