"""The Ascend ReTool best practice, setting by setting, against what we compose (docs/npu_settings.csv)."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from composed import CONFIGS, rl_values

from recipe.retool.device.variables import variables
from recipe.retool.stages.choices import Choices

REPO = CONFIGS.parent
CHOSEN = Choices("npu", "qwen2_5_7b", "dapo", "verl_0_9")
OLD = Choices("npu", "qwen2_5_7b", "dapo", "verl_0_6")
MISSING = object()


@dataclass(frozen=True)
class Row:
    setting: str
    value: str
    read: str
    what: str
    key: str
    ours: str
    where: str
    why: str


with (REPO / "docs" / "npu_settings.csv").open() as stream:
    ROWS = [Row(*cells) for cells in list(csv.reader(stream))[1:]]
SAME = [row for row in ROWS if row.what == "same"]
WITH_VALUE = [row for row in ROWS if row.key and row.ours]


def composed(key: str, chosen: Choices = CHOSEN) -> Any:
    if "." not in key:
        return variables(chosen.device, chosen.stack).get(key, MISSING)
    found: Any = rl_values(chosen)
    for part in key.split("."):
        found = found.get(part, MISSING) if isinstance(found, dict) else MISSING
    return found


def plain(text: str) -> Any:
    value = yaml.safe_load(text)
    try:
        return float(value) if not isinstance(value, bool) else value
    except (TypeError, ValueError):
        return value


def test_the_table_is_complete() -> None:
    assert len([row for row in ROWS if row.setting]) == 74
    assert len({row.setting or row.key for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.setting or row.key)
def test_a_row_says_where_or_why(row: Row) -> None:
    assert row.what in ("same", "replaced", "dropped", "path", "added")
    assert row.why or row.what == "same"
    assert (row.ours == row.value and row.key == row.setting) == (row.what == "same")
    assert bool(row.where) == (row.what != "dropped")


@pytest.mark.parametrize("row", WITH_VALUE, ids=lambda row: row.key)
def test_the_composed_value_is_that_of_the_table(row: Row) -> None:
    found, wanted = composed(row.key), plain(row.ours)
    if row.key.endswith("tool_config_path"):
        assert Path(found).resolve() == REPO / row.ours
    elif isinstance(found, str) and isinstance(wanted, float):
        assert float(found) == wanted
    else:
        assert found == wanted


@pytest.mark.parametrize(
    "row", [row for row in WITH_VALUE if row.where.endswith(".yaml")], ids=lambda row: row.key
)
def test_the_value_lives_where_the_table_says(row: Row) -> None:
    content = yaml.safe_load((CONFIGS / row.where).read_text())
    for part in row.key.split("."):
        assert part in content, row.where
        content = content[part]


@pytest.mark.parametrize("row", [row for row in ROWS if row.what == "dropped"], ids=lambda row: row.setting)
def test_what_is_dropped_is_not_set(row: Row) -> None:
    if "." not in row.setting:
        assert composed(row.setting) is MISSING
    else:
        written = [path for path in CONFIGS.rglob("*.yaml") if "verl_0_6" not in path.stem]
        leaf = row.setting.rpartition(".")[2]
        assert not [path for path in written if f"  {leaf}:" in path.read_text() and "tiny" not in path.stem]


def test_the_timeout_of_the_ranks_is_set_where_it_is_read() -> None:
    assert composed("actor_rollout_ref.nccl_timeout", OLD) == 3600  # verl 0.6.1: workers/fsdp_workers.py
    assert composed("actor_rollout_ref.nccl_timeout") == 600  # verl 0.9.1 leaves its own default unread


# On the guide's own versions, what it sets is set as it says, but for these.
OTHERWISE = {
    "VLLM_ENABLE_GRAPH_MODE",  # nothing reads it there either
    "LD_PRELOAD",  # when the file exists
    "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu",  # nothing reads it there either
    "actor_rollout_ref.rollout.multi_turn.tool_config_path",
    "data.custom_cls.path",
    "custom_reward_function.path",  # absolute
    "trainer.logger",
}
PUBLISHED = [row for row in ROWS if row.setting and row.what != "path" and row.setting not in OTHERWISE]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.setting)
def test_the_old_stack_has_the_values_of_the_guide(row: Row) -> None:
    found, wanted = composed(row.setting, OLD), plain(row.value)
    if isinstance(found, str) and isinstance(wanted, float):
        found = float(found)
    assert found == wanted
