"""The command `retool`."""

import pytest

from recipe.retool.cli import VERBS, main


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
