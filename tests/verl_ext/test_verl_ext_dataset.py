"""The RL data set: what verl lets pass in silence is an error."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from recipe.retool.errors import DataError
from recipe.retool.verl_ext.dataset import CustomRLHFDataset

TOOLS = Path(__file__).parents[2] / "configs" / "tool" / "two_tools.yaml"


def dataset(folder: Path, selection: Any, **more: Any) -> Any:
    row = {"data_source": "x", "reward_model": {"ground_truth": "1"}, "extra_info": {"index": 0}}
    row |= {"prompt": [{"role": "user", "content": "?"}]}
    row["extra_info"] |= {"tool_selection": selection}
    row |= more
    pq.write_table(pa.Table.from_pylist([row]), folder / "rows.parquet")
    config = {"filter_overlong_prompts": False, "truncation": "right", "cache_dir": str(folder / "cache")}
    config |= {"tool_config_path": str(TOOLS)}
    tokenizer: Any = None
    return CustomRLHFDataset([str(folder / "rows.parquet")], tokenizer, OmegaConf.create(config))


@pytest.mark.parametrize("selection", [["check_equal"], ["check_equal", "code_interpreter"], [], None])
def test_a_row_may_choose_among_the_tools(
    selection: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETOOL_SANDBOX_URL", "http://127.0.0.1:9")
    assert dataset(tmp_path, selection)[0]["raw_prompt"]


@pytest.mark.parametrize("selection", [["chek_equal"], "check_equal"])
def test_a_name_that_no_tool_has_is_an_error(
    selection: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETOOL_SANDBOX_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"tool_selection=.*check_equal, code_interpreter"):
        dataset(tmp_path, selection)


def test_pictures_that_the_loop_would_leave_out_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETOOL_SANDBOX_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="row 0: column 'images' is not empty"):
        dataset(tmp_path, None, images=["a.png"])


def test_pictures_for_another_loop_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOOL_SANDBOX_URL", "http://127.0.0.1:9")
    assert len(dataset(tmp_path, None, images=["a.png"], agent_name="tool_agent")) == 1
