from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recipe.retool.data.prompts import ANSWER_INSTRUCTION
from recipe.retool.data.rl import Cleaner, normalised, write_problems
from recipe.retool.data.sources import Kind, Problem, find_source
from recipe.retool.errors import DataError

EVAL = find_source("aime-2024-retool")
RL = find_source("dapo-math-17k-zhuzilin")


def clean(*pairs: tuple[str, str], kind: Kind = "rl") -> tuple[list[str], dict[str, int]]:
    cleaner = Cleaner(kind)
    for number, (question, answer) in enumerate(pairs):
        cleaner.add(Problem(question, answer, str(number), f"row {number}"), RL)
    left = [problem.question for problem, _ in cleaner.finish()]
    dropped = dict(+cleaner.dropped)
    assert len(left) + sum(dropped.values()) == len(pairs)
    return left, dropped


def test_copies_go() -> None:
    assert clean(("a", "1"), ("b", "2"), ("a", "1"), ("a", "1")) == (["a", "b"], {"exact duplicate": 2})


@pytest.mark.parametrize(
    "other",
    [
        "find $x$, where $f(x)=\\frac{1}{2}$",
        "Find  $x$ where\n$f(x) = \\frac{1}{2}$.",
        "Find \\(x\\), where \\(f(x) = \\dfrac{1}{2}\\).",
        "Find $x$, where $f\\left(x\\right)\\,=\\;\\tfrac{1}{2}$?",
        "Find $x$， where $f(x) = \\frac{1}{2}$。",
    ],
)
def test_near_copies_go(other: str) -> None:
    first = "Find $x$, where $f(x) = \\frac{1}{2}$."
    assert clean((first, "1"), (other, "1")) == ([first], {"near duplicate": 1})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 1.5 + 2?", "What is 15 + 2?"),
        ("Find f(1, 2).", "Find f(12)."),
        ("The ratio 1:2", "The ratio 12"),
        ("What is 5!", "What is 5"),
        ("x = -1", "x = 1"),
        ("f'(x)", "f(x)"),
        ("a < b", "a > b"),
        ("x^2", "x_2"),
        ("x²", "x2"),
        ("\\frac{1}{2}", "\\frac{12}"),
        ("求 3", "球 3"),
    ],
)
def test_different_questions_stay_apart(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_a_question_with_two_answers_goes_as_a_whole() -> None:
    left, dropped = clean(("a", "1"), ("A", "2"), ("a", "1"), ("b", "3"))
    assert left == ["b"]
    assert dropped == {"exact duplicate": 1, "question with different ground truths": 2}


def test_spellings_of_one_answer_are_no_conflict() -> None:
    assert clean(("a", "033"), ("a", " 33")) == (["a"], {"exact duplicate": 1})


def test_a_conflict_is_listed_with_its_rows() -> None:
    cleaner = Cleaner("rl")
    for number, answer in enumerate("12"):
        cleaner.add(Problem("a", answer, str(number), f"row {number}"), RL)
    cleaner.finish()
    assert [drop.reason for drop in cleaner.drops] == [
        "question with different ground truths: '1' (row 0), '2' (row 1)"
    ]


@pytest.mark.parametrize("answer", ["", " ", "nan", "1.2e+20"])
@pytest.mark.parametrize("kind", ["rl", "eval"])
def test_a_truth_that_is_none_goes(answer: str, kind: Kind) -> None:
    assert clean(("a", answer), kind=kind) == ([], {"no usable ground truth": 1})


def test_a_probably_rounded_truth_is_not_trained_on_but_measured() -> None:
    rounded = str(2**60)
    assert clean(("a", rounded), kind="rl")[0] == []
    assert clean(("a", rounded), kind="eval")[0] == ["a"]


@pytest.mark.parametrize("answer", ["3/4", "12345678901234567891"])
def test_odd_truths_are_kept_and_noted(answer: str) -> None:
    cleaner = Cleaner("rl")
    cleaner.add(Problem("a", answer, "0", "row 0"), RL)
    assert len(cleaner.finish()) == 1
    assert sum(cleaner.noted.values()) == 1
    assert answer in cleaner.notes[0].reason


def test_an_empty_question_goes() -> None:
    assert clean(("", "1"), ("b", "1")) == (["b"], {"empty question": 1})


@pytest.mark.parametrize(
    ("question", "count"), [("Give \\boxed{x}", 1), ("Answer: 3?", 1), ("The answer is", 0)]
)
def test_questions_that_speak_of_formats_are_counted(question: str, count: int) -> None:
    cleaner = Cleaner("rl")
    cleaner.add(Problem(question, "1", "0", "row 0"), RL)
    assert len(cleaner.finish()) == 1
    assert sum(cleaner.noted.values()) == count


def test_a_missing_wrapper_is_noted() -> None:
    cleaner = Cleaner("rl")
    cleaner.add(Problem("a", "1", "0", "row 0", unwrapped=False), RL)
    cleaner.finish()
    assert dict(cleaner.noted) == {"the source's wrapper text was not found": 1}


def test_rows_as_verl_reads_them(jsonl: Callable[..., str], tmp_path: Path) -> None:
    path = jsonl({"input": "What is 1+2?", "output": "03"})
    write_problems([(path, EVAL)], tmp_path / "out.parquet", "eval")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {
            "data_source": "aime_2024",
            "prompt": [{"role": "user", "content": f"What is 1+2?\n{ANSWER_INSTRUCTION}"}],
            "ability": "MATH",
            "reward_model": {"style": "rule", "ground_truth": "3"},
            "extra_info": {"index": "0", "split": "test", "question": "What is 1+2?"},
            "agent_name": "retool_agent",
        }
    ]


def test_several_inputs_are_cleaned_together(jsonl: Callable[..., str], tmp_path: Path) -> None:
    one = jsonl({"input": "a", "output": "1"}, name="one.jsonl")
    two = jsonl({"input": "a", "output": "1"}, {"input": "b", "output": "2"}, name="two.jsonl")
    report = write_problems([(one, EVAL), (two, EVAL)], tmp_path / "out.parquet", "eval")
    assert (report.rows_read, report.rows_written, report.dropped) == (3, 2, {"exact duplicate": 1})


def test_limit_keeps_the_first_and_the_report_says_so(jsonl: Callable[..., str], tmp_path: Path) -> None:
    path = jsonl(*({"input": f"q {n}", "output": "1"} for n in range(5)))
    report = write_problems([(path, EVAL)], tmp_path / "out.parquet", "eval", limit=2)
    assert (report.rows_written, report.dropped) == (2, {"beyond --limit": 3})


def test_nothing_left_is_an_error_and_writes_nothing(jsonl: Callable[..., str], tmp_path: Path) -> None:
    path = jsonl({"input": "a", "output": ""})
    with pytest.raises(DataError, match=r"no usable problem in 1 rows \(1 no usable ground truth\)"):
        write_problems([(path, EVAL)], tmp_path / "out.parquet", "eval")
    assert not (tmp_path / "out.parquet").exists()


def test_a_row_of_the_wrong_type_names_file_and_line(jsonl: Callable[..., str], tmp_path: Path) -> None:
    path = jsonl({"input": "a", "output": "1"}, {"input": "b", "output": [2]})
    with pytest.raises(DataError, match=r"rows\.jsonl line 2: output must be text, found list"):
        write_problems([(path, EVAL)], tmp_path / "out.parquet", "eval")


def test_verl_reads_the_file(jsonl: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("verl")
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    path = tmp_path / "out.parquet"
    write_problems([(jsonl({"input": "a", "output": "1"}), EVAL)], path, "eval")
    config = {"filter_overlong_prompts": False, "cache_dir": str(tmp_path / "cache")}
    tokenizer: Any = None
    row = RLHFDataset([str(path)], tokenizer, OmegaConf.create(config))[0]
    assert row["raw_prompt"] == [{"role": "user", "content": f"a\n{ANSWER_INSTRUCTION}"}]
    assert row["index"] == "0"
    assert row["agent_name"] == "retool_agent"
