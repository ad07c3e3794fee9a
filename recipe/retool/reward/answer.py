r"""Find the final answer in a text and bring it to one spelling.

Pure functions, linear in the text: a response full of ``\boxed{`` costs no more than any other.
"""

import re
from dataclasses import dataclass

MAX_TEXT = 200_000  # characters; only the tail of a longer text is searched
MAX_ANSWER = 1_000  # characters; no answer to a competition problem is longer

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_BARE_VALUE = re.compile(r"[ \t]{0,8}([-+−]?[0-9][0-9,.]{0,64})")
_LIST_GAP = re.compile(
    r"(?:[\s$,;]|\\[,;:! ()\[\]]|\\q?quad|\\text\{\s*(?:and|or)\s*\}|and|or)*", re.IGNORECASE
)
_MAX_GAP = 40  # characters between two boxes of one list
_ANSWER_LINE = re.compile(
    r"[\s*#>_]{0,16}(?:the )?(?:final )?answer[\s*_]{0,8}[:：][\s*_]{0,8}(.+)", re.IGNORECASE
)

# Blocks whose content is not an answer: what the model feeds to a tool, and tool results it made up.
_BLOCK_OPEN = re.compile(r"<(code|tool_call|interpreter|tool_response)>|```(?:python|py)\b", re.IGNORECASE)
_FENCE = "```"

_WRAPPERS = (
    ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), (r"\'", r"\'"), (r"\"", r"\""),
    ("'", "'"), ('"', '"'), ("`", "`"), ("**", "**"), ("‘", "’"), ("“", "”"), ("´", "´"),
)  # fmt: skip
_FINAL_MARKS = re.compile(r"(?:(?<!\\)\\[,;!:]|[.,;。\s])+\Z")
_MACRO_BRACE = re.compile(r"(?:\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathit|mbox|boxed|fbox))?\s*\{")
_MAX_UNWRAP = 16
_ONE_SPELLING = str.maketrans("−–﹣－０１２３４５６７８９，．", "----0123456789,.", "\u200b\ufeff")

_THOUSANDS = r"(?:,|\{,\}|\\,|\\!,|,\\!\s*|\\ |~| |\u00a0|\u2009|\u202f)"
_INTEGER = re.compile(
    rf"([-+]?)\s*([0-9]+|[0-9]{{1,3}}(?:{_THOUSANDS}[0-9]{{3}})+)(?:\.0*)?(?:\^\\circ|\^\{{\\circ\}}|°)?"
)


@dataclass(frozen=True)
class Answer:
    """The final answer of a text.

    Attributes:
        text: The answer in one spelling (see :func:`clean`); empty when there is none.
        boxed: True when it came from a closed box and not from an ``Answer:`` line.
    """

    text: str
    boxed: bool


def extract(text: str) -> Answer:
    r"""Return the answer of ``text``: the last box, or else the last ``Answer:`` line.

    ``\boxed`` and ``\fbox`` are boxes, with braces or (``\boxed 34``) with a bare number. Boxes with
    nothing between them but commas, "and" or "or" are one answer, a list. A last box that is never
    closed is a cut-off answer: no answer. Empty boxes, and the word ``\boxed`` alone, are skipped.
    Boxes inside code, tool calls and tool results are not answers.
    """
    visible = without_blocks(text[-MAX_TEXT:])
    starts = [(found.start(), found.end()) for found in _BOX.finditer(visible)]
    values: list[str] = []
    right = -1  # where the box to the right begins; -1 while none was taken
    for start, end in reversed(starts):
        stop, value = _box(visible, end)
        if stop < 0:  # opened, not closed
            return Answer(clean(", ".join(values)), True) if values else Answer("", False)
        if not value.strip():
            continue
        if values and not _is_list_gap(visible, stop, right):
            break
        if not values or value.strip() != values[0]:
            values.insert(0, value.strip())
        right = start
        if len(values) > MAX_ANSWER:
            break
    if values:
        return Answer(clean(", ".join(values)), True)
    return Answer(_answer_line(visible), False)


def without_blocks(text: str) -> str:
    """Return ``text`` without closed code, tool-call and tool-result blocks; unclosed ones stay."""
    kept: list[str] = []
    unclosed: set[str] = set()  # a kind without a closing tag is not searched for twice: linear time
    position = cursor = 0
    while (found := _BLOCK_OPEN.search(text, cursor)) is not None:
        kind = found.group(1)
        closing = f"</{kind.lower()}>" if kind else _FENCE
        cursor = found.end()
        end = -1 if closing in unclosed else text.find(closing, cursor)
        if end < 0:
            unclosed.add(closing)
            continue
        kept.append(text[position : found.start()])
        position = cursor = end + len(closing)
    kept.append(text[position:])
    return "\n".join(kept)


def clean(answer: str) -> str:
    r"""Return ``answer`` without what does not change its value.

    Removes outer blanks, final punctuation, quotes, ``$ $``, ``\( \)``, braces and ``\text{}``
    around the whole, and dollar signs that mean money; newlines become blanks; Unicode minus signs and
    full-width digits become ASCII.
    """
    text = " ".join(answer[: MAX_ANSWER + 1].translate(_ONE_SPELLING).replace(r"\$", "").split())
    for _ in range(_MAX_UNWRAP):
        inner = _unwrap(_FINAL_MARKS.sub("", text).removeprefix(r"\displaystyle").strip())
        if inner == text:
            break
        text = inner
    return text


def canonical_integer(answer: str) -> str | None:
    r"""Return the decimal spelling of an integer answer, else None.

    ``034``, ``1,234``, ``1{,}234``, ``1\,234``, ``1 234``, ``34.0``, ``34^\circ`` are integers.
    The value stays text: integers of any length compare without ``int()`` and its digit limit.
    """
    found = _INTEGER.fullmatch(answer)
    if found is None:
        return None
    digits = re.sub(r"[^0-9]", "", found.group(2)).lstrip("0")
    if not digits:
        return "0"
    return f"-{digits}" if found.group(1) == "-" else digits


def _box(text: str, end: int) -> tuple[int, str]:
    """Return (end of the box, its content); (-1, "") when its brace is never closed."""
    opening = end
    while text[opening : opening + 1].isspace():
        opening += 1
    if text[opening : opening + 1] == "{":
        closing = _closing_brace(text, opening)
        return (closing + 1, text[opening + 1 : closing]) if closing >= 0 else (-1, "")
    bare = _BARE_VALUE.match(text, end)
    return (bare.end(), bare.group(1)) if bare else (end, "")


def _closing_brace(text: str, opening: int) -> int:
    """Return the position of the brace that closes the one at ``opening``, or -1."""
    depth = 0
    for found in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, opening):
        if found.group() == "{":
            depth += 1
        elif found.group() == "}":
            depth -= 1
            if depth == 0:
                return found.start()
    return -1


def _is_list_gap(text: str, start: int, end: int) -> bool:
    """True when text[start:end] only joins two members of a list."""
    return 0 < end - start <= _MAX_GAP and _LIST_GAP.fullmatch(text, start, end) is not None


def _answer_line(text: str) -> str:
    """Return the value of the last line ``Answer: value``, or an empty text."""
    for line in reversed(text.splitlines()):
        found = _ANSWER_LINE.match(line[: 2 * MAX_ANSWER])
        if found:
            return clean(found.group(1).rstrip("*. "))
    return ""


def _unwrap(text: str) -> str:
    r"""Remove one pair of quotes, dollars or braces (or ``\text{}``) around the whole of ``text``."""
    if text.count("$") == 1:  # half a pair at an end delimits nothing
        text = text.strip("$ ")
    for left, right in _WRAPPERS:
        if len(text) > len(left + right) and text.startswith(left) and text.endswith(right):
            inner = text[len(left) : len(text) - len(right)]
            if right not in inner:
                return inner.strip()
    macro = _MACRO_BRACE.match(text)
    if macro and _closing_brace(text, macro.end() - 1) == len(text) - 1:
        return text[macro.end() : -1].strip()
    return text
