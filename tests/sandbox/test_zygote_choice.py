"""``--isolation``: what is chosen when namespaces work, and when they do not."""

import asyncio
import logging
import sys

import pytest

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.cli import main
from recipe.retool.sandbox.runner import SubprocessRunner
from recipe.retool.sandbox.zygote import choice
from recipe.retool.sandbox.zygote.choice import IsolationMode, choose_runner
from recipe.retool.sandbox.zygote.probe import Isolation, probe_isolation
from recipe.retool.sandbox.zygote.runner import ZygoteRunner

_NONE = Isolation((), (("namespaces", "not on this host"),), works=False)
_NOT_ROOT = Isolation((), (("root", "not root"),), works=False)
_SOME = Isolation(("container", "landlock"), (), works=True)


def test_process_never_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "probe_isolation", None)
    runner = choose_runner(IsolationMode.PROCESS, sys.executable, False)
    assert isinstance(runner, SubprocessRunner)
    asyncio.run(runner.aclose())


def test_auto_falls_back_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "probe_isolation", lambda _: _NONE)
    monkeypatch.setattr(choice, "probe_container", lambda _: _NOT_ROOT)
    with caplog.at_level(logging.WARNING):
        runner = choose_runner(IsolationMode.AUTO, sys.executable, False)
    assert isinstance(runner, SubprocessRunner)
    assert "not on this host" in caplog.text
    assert "not root" in caplog.text
    asyncio.run(runner.aclose())


def test_namespaces_or_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(choice, "probe_isolation", lambda _: _NONE)
    with pytest.raises(SandboxError, match="not on this host"):
        choose_runner(IsolationMode.NAMESPACES, sys.executable, False)
    assert main(["serve", "--port", "0", "--isolation", "namespaces"]) == 2
    assert "not on this host" in capsys.readouterr().err


def test_auto_takes_container_where_there_are_no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "probe_isolation", lambda _: _NONE)
    monkeypatch.setattr(choice, "probe_container", lambda _: _SOME)
    runner = choose_runner(IsolationMode.AUTO, sys.executable, False)
    assert isinstance(runner, ZygoteRunner)
    assert runner.isolation == ("container", "landlock")
    asyncio.run(runner.aclose())


def test_container_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "probe_isolation", None)
    monkeypatch.setattr(choice, "probe_container", lambda _: _NOT_ROOT)
    with pytest.raises(SandboxError, match="not root"):
        choose_runner(IsolationMode.CONTAINER, sys.executable, False)


@pytest.mark.namespaces
def test_auto_takes_namespaces_where_they_work() -> None:
    runner = choose_runner(IsolationMode.AUTO, sys.executable, False)
    assert isinstance(runner, ZygoteRunner)
    asyncio.run(runner.aclose())


@pytest.mark.namespaces
def test_the_probe_names_what_is_there_and_what_is_not() -> None:
    found = probe_isolation()
    assert {"user namespace", "net namespace", "no_new_privs", "read-only root"} <= set(found.active)
    assert all(why for _, why in found.missing)
    assert "landlock" in found.text()
