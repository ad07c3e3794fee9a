from typing import Any

import pytest

from recipe.retool.data.io import SourceRow
from recipe.retool.data.sources import SOURCES, find_source, source_of, unwrap
from recipe.retool.errors import DataError

LEAD = (
    "Solve the following math problem step by step. "
    "The last line of your response should be of the form Answer: "
)
DAPO = LEAD + "$Answer (without quotes) where $Answer is the answer to the problem.\n\n"
ZHUZILIN = LEAD + "\\boxed{$Answer} where $Answer is the answer to the problem.\n\n"
TAIL = '\n\nRemember to put your answer on its own line after "Answer:".'

ROWS: dict[str, dict[str, Any]] = {
    "dapo-math-17k": {
        "prompt": [{"role": "user", "content": f"{DAPO}Q?{TAIL}"}],
        "reward_model": {"ground_truth": "34", "style": "x"},
        "extra_info": {"index": "9a9b-6eb4"},
    },
    "dapo-math-17k-zhuzilin": {"prompt": [{"role": "user", "content": f"{ZHUZILIN}Q?{TAIL}"}], "label": "34"},
    "aime-2024-dapo": {
        "prompt": [{"role": "user", "content": f"{DAPO}Q?{TAIL}"}],
        "reward_model": {"ground_truth": "34", "style": "x"},
        "extra_info": {"index": 7, "raw_problem": "Q?", "split": None},
    },
    "aime-2024": {"ID": "2024-II-4", "Problem": "Q?", "Solution": "...", "Answer": 34},
    "aime-2024-zhuzilin": {"prompt": f"{ZHUZILIN}Q?{TAIL}", "label": "34"},
    "aime-2024-retool": {"input": "Q?", "output": "34"},
    "aime-2025": {"id": "0", "problem": "Q?", "answer": "34", "solution": "..."},
    "aime-2025-retool": {"input": "Q?", "output": "34"},
}
UIDS = {"dapo-math-17k": "9a9b-6eb4", "aime-2024-dapo": "7", "aime-2024": "2024-II-4", "aime-2025": "0"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_every_source_reads_a_row_of_its_format(source: Any) -> None:
    problem = source.convert(SourceRow(5, "x row 5", ROWS[source.name]))
    assert (problem.question, problem.answer, problem.unwrapped) == ("Q?", "34", True)
    assert problem.uid == UIDS.get(source.name, "5")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_every_source_names_the_row_it_cannot_read(source: Any) -> None:
    for column in source.columns:
        if column.lower() == "id":
            continue
        row = {**ROWS[source.name], column: 1.5}
        with pytest.raises(DataError, match=r"x row 5: .*must be"):
            source.convert(SourceRow(5, "x row 5", row))


def test_names_and_hub_ids_are_unique() -> None:
    names = [name.casefold() for source in SOURCES for name in (source.name, *source.hub_ids)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_source_is_found_by_each_of_its_names(source: Any) -> None:
    for name in (source.name, source.name.upper(), *source.hub_ids):
        assert find_source(name) is source


def test_an_unknown_source_lists_the_known_ones() -> None:
    with pytest.raises(DataError) as caught:
        find_source("aime-2026")
    assert all(source.name in str(caught.value) for source in SOURCES)


def test_a_hub_id_as_the_input_implies_the_source() -> None:
    assert source_of("Maxwell-Jia/AIME_2024", None, "eval").name == "aime-2024"


@pytest.mark.parametrize(
    "location", ["data/aime-2024.parquet", "aime-2024.parquet", "AIME_2024", "someone/AIME_2024"]
)
def test_a_path_never_implies_the_source(location: str) -> None:
    with pytest.raises(DataError, match="--source"):
        source_of(location, None, "eval")


def test_an_evaluation_set_is_not_trained_on() -> None:
    with pytest.raises(DataError, match="aime-2024 is of the kind eval"):
        source_of("x.parquet", "aime-2024", "rl")


@pytest.mark.parametrize(
    ("text", "question", "unwrapped"),
    [
        (f"{DAPO}Q?{TAIL}", "Q?", True),
        (f"{ZHUZILIN}Q?\nAnswer: maybe.{TAIL}\n", "Q?\nAnswer: maybe.", True),
        ("Q?", "Q?", False),
        (f"{DAPO}Q?", "Q?", False),
        (f"Q? {DAPO}", f"Q? {DAPO}".strip(), False),
    ],
)
def test_the_wrapper_goes_and_the_question_stays(text: str, question: str, unwrapped: bool) -> None:
    assert unwrap(text) == (question, unwrapped)
