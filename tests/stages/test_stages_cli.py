"""The command `retool`."""

from pathlib import Path

import pytest

from recipe.retool.cli import VERBS, main
from recipe.retool.stages.commands import home, ppo_command


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert verb in capsys.readouterr().out


def test_unknown_verb_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sfft"]) == 2
    assert "sft" in capsys.readouterr().err


def test_a_word_that_is_no_override_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rl", "--dry-run", "devicecpu"]) == 2
    assert "'devicecpu'" in capsys.readouterr().err


def test_dry_run_prints_verl_s_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rl", "--dry-run", "device=cpu", "data.train_files=a b.parquet"]) == 0
    printed = capsys.readouterr().out
    assert "-m verl.trainer.main_ppo --config-dir" in printed
    assert "'data.train_files=a b.parquet'" in printed
    assert "VERL_PLATFORM=cpu" in printed


def test_a_missing_file_stops_before_ray_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rl", "data.train_files=no.parquet", "data.val_files=no.parquet"]) == 2
    assert "data.train_files=no.parquet: no such file" in capsys.readouterr().err


def test_ranks_must_be_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sft", "--dry-run", "data.train_files=a", "model.path=b", "trainer.n_gpus_per_node=two"]
    assert main(words) == 2
    assert "trainer.n_gpus_per_node=two" in capsys.readouterr().err


def test_a_file_in_place_of_the_run_folder_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("")
    (tmp_path / "a").write_text("")
    files = [f"data.train_files={tmp_path}/a", f"model.path={tmp_path}"]
    assert main(["sft", *files, "--output", str(tmp_path / "out")]) == 2
    assert str(tmp_path / "out") in capsys.readouterr().err


def test_the_written_command_does_not_depend_on_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOOL_HOME", str(home()))
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    monkeypatch.setenv("RETOOL_SANDBOX_TOKEN", "hunter2")
    command = ppo_command(["device=cpu"], {})
    line = command.shell()
    assert command.env["RETOOL_SANDBOX_TOKEN"] == "hunter2"
    assert "hunter2" not in line  # it is printed, and kept in the run folder
    assert f"RETOOL_HOME={home()}" in line
    assert "VERL_PLATFORM=cpu" in line


def test_a_micro_batch_that_does_not_divide_comes_with_one_that_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["sft", "--dry-run", "data.train_files=a", "model.path=b", "trainer.n_gpus_per_node=2"]
    assert main(words) == 2
    assert "data.micro_batch_size_per_gpu=32: set the latter to 16" in capsys.readouterr().err
