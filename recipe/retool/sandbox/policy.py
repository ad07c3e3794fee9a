"""An optional look at a program before it runs: which modules it imports and which doors it opens.

Off unless asked for, and never the only wall: Python can be written so that no reading of its source
tells what it does. What it is good for: a program that cannot work in the sandbox anyway (network,
subprocesses) is answered at once, with a text from which a model learns what to write instead.

The scan follows imports and their aliases through the syntax tree, not through the text, so a comment, a
string or a function called ``reopen`` matters to nobody. docs/sandbox.rst lists what gets past it.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.policy_scan import Finding, Rules, first_finding

_PROCESSES = "_posixsubprocess multiprocessing nt os posix pty runpy shutil subprocess"
_NETWORK = (
    "_socket aiohttp ftplib http httpx imaplib poplib requests smtplib socket socketserver ssl urllib "
    "urllib3 webbrowser xmlrpc"
)
_LOADERS = "_ctypes _imp builtins cffi code codeop ctypes imp importlib pkgutil pdb zipimport"
_PICKLES = "_pickle cloudpickle dill marshal pickle shelve"
DENIED_MODULES = frozenset(" ".join((_PROCESSES, _NETWORK, _LOADERS, _PICKLES)).split())
# eval stays allowed: programs that search for an arithmetic expression live by it.
DENIED_CALLS = frozenset(
    {"__import__", "breakpoint", "compile", "exec", "asyncio.create_subprocess_exec",
     "asyncio.create_subprocess_shell", "gc.get_objects", "gc.get_referents", "gc.get_referrers",
     "sys._getframe", "sys.meta_path", "sys.modules", "sys.path_hooks"}
)  # fmt: skip

_COMPUTE = "compute the answer in the program itself, with plain Python, math, numpy or sympy"
_INSTEAD = {
    **dict.fromkeys(_PROCESSES.split(), f"programs get no access to the system; {_COMPUTE}"),
    **dict.fromkeys(_NETWORK.split(), f"there is no network; {_COMPUTE}"),
    **dict.fromkeys(_LOADERS.split(), "import what you need by its name, at the top of the program"),
    **dict.fromkeys(_PICKLES.split(), "use json, or keep the values in variables"),
    "multiprocessing": "use a plain loop in one process",
    "__import__": "use an import statement",
    "compile": "write the code out, or give your own function another name",
    "exec": "write the code out, as a function where it is needed twice",
}


@dataclass(frozen=True)
class Policy:
    """What programs may import and call.

    Attributes:
        allowed_modules: When given, nothing else may be imported; a name stands for its submodules too.
        denied_modules: May not be imported, in no way that the scan knows.
        denied_calls: Builtins (``exec``) and attributes of modules (``sys.modules``) that may not be
            used, called or not.
    """

    allowed_modules: frozenset[str] | None = None
    denied_modules: frozenset[str] = DENIED_MODULES
    denied_calls: frozenset[str] = DENIED_CALLS

    def violation(self, code: str) -> str | None:
        """What the model is told; None for a program that may run. Never raises.

        A program that is not valid Python is no violation: it fails by itself, with its own message.
        """
        finding = first_finding(code, Rules(self.allowed_modules, self.denied_modules, self.denied_calls))
        return None if finding is None else self._text(finding)

    def _text(self, finding: Finding) -> str:
        hint = _INSTEAD.get(finding.name) or _INSTEAD.get(finding.name.split(".")[0])
        if finding.not_allowed and self.allowed_modules is not None:
            hint = f"available modules: {', '.join(sorted(self.allowed_modules)) or 'none'}"
        line = f"Refused by the code policy, line {finding.line}: {finding.what} is not allowed"
        return f"{line}; {hint or _COMPUTE}. Nothing was run."


def load_policy(source: str) -> Policy:
    """The policy called ``default``, or the one in a YAML file with the fields of :class:`Policy`.

    A field that the file leaves out keeps its default. ConfigError names the file and the key.
    """
    if source == "default":
        return Policy()
    from omegaconf import OmegaConf  # a server without a policy file does without it

    try:
        values = OmegaConf.to_container(OmegaConf.create(Path(source).read_text(encoding="utf-8")))
    except Exception as error:  # the YAML reader has many errors of its own
        raise ConfigError(f"policy {source}: {error}") from error
    known = {field.name for field in fields(Policy)}
    if not isinstance(values, dict) or not set(values) <= known:
        found = sorted(map(str, set(values) - known)) if isinstance(values, dict) else values
        raise ConfigError(f"policy {source}: known keys are {', '.join(sorted(known))}; found {found}")
    lists: dict[str, Any] = {str(key): _names(source, str(key), value) for key, value in values.items()}
    return Policy(**lists)


def _names(source: str, key: str, value: Any) -> frozenset[str] | None:
    if value is None and key == "allowed_modules":
        return None
    if not isinstance(value, Collection) or isinstance(value, (str, dict)):
        raise ConfigError(f"policy {source}: {key} must be a list of names, not {value!r}")
    if not all(isinstance(name, str) and name for name in value):
        raise ConfigError(f"policy {source}: {key} must hold names only, not {list(value)!r}")
    return frozenset(value)
