"""Stop strings from the command line and from YAML survive the shell and Hydra."""

import json
import os
import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from recipe.retool.cli import main
from recipe.retool.env.code_tags import CodeTagsEnv
from recipe.retool.env.settings import EnvSettings
from recipe.retool.stages.compose import compose_config, resolved

STOPS = (["</code>"], ["</code>", "</answer>"], ["<|im_end|>"], ["a b", "c,d", "$HOME", "it's", "[x]"])


def override(stop: list[str]) -> str:
    return f"retool.env.stop={json.dumps(stop)}"


def stop_of(words: list[str]) -> list[str] | None:
    values = resolved(compose_config("retool_ppo", words))
    assert values["data"]["env"]["stop"] == values["retool"]["env"]["stop"]
    return values["retool"]["env"]["stop"]


@pytest.mark.parametrize("stop", STOPS)
def test_the_printed_command_means_the_same_to_a_shell_and_to_hydra(
    stop: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rl", "--dry-run", "device=cpu", "env=retool", override(stop)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "verl.trainer.main_ppo" in line)
    # A real shell splits the line; the program that it names is replaced by one that shows its words.
    show = "import json, sys; print(json.dumps(sys.argv[1:]))"
    shell = f'show() {{ "$PYTHON" -c \'{show}\' "$@"; }}\nshow {line}'
    env = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=env, check=True)
    words = [word for word in json.loads(done.stdout) if word.startswith("retool.env.stop=")]
    (parsed,) = OverridesParser.create().parse_overrides(words)
    assert parsed.value() == stop or [str(text) for text in parsed.value()] == stop
    assert stop_of(["device=cpu", "env=retool", *words]) == stop


def test_words_as_a_shell_gives_them_from_single_quotes() -> None:
    shell = "printf '%s' 'retool.env.stop=[\"</code>\"]'"
    word = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert stop_of(["device=cpu", "env=retool", word]) == ["</code>"]


def test_nothing_given_takes_the_environment_s_own() -> None:
    values = resolved(compose_config("retool_ppo", ["device=cpu", "env=retool"]))
    settings = EnvSettings.from_config(values["retool"]["env"])
    assert CodeTagsEnv(settings=settings).stop == ("</code>",)
