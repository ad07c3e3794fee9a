"""A response as boxes: what the model wrote, its code, what the tools answered, and what is trained on."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from recipe.retool.env import code_tags, hermes
from recipe.retool.env.transcript import SEGMENTS

TEXT, CODE, TOOL = "text", "code", "tool"
Segment = tuple[int, int | None, str]  # trained (1) or not (0), tokens, text
Part = dict[str, Any]

# As hermes templates and code tags look when special tokens are left out of the decoded text. A tool's answer
# that was cut off ends with the text.
_TOOL_TEXT = {
    "hermes": re.compile(
        r"\n?user\n(?:<tool_response>\n.*?(?:\n</tool_response>\n?|\Z))+(?:assistant\n|\Z)", re.DOTALL
    ),
    "retool": re.compile(r"\n?<interpreter>\n.*?(?:\n</interpreter>\n?|\Z)", re.DOTALL),
}
_CALL = re.compile(
    f"(?P<json>{hermes.OPEN}(?P<body>.*?)(?:{hermes.CLOSE}|\\Z))"
    f"|(?P<tags>{code_tags.OPEN}(?P<code>.*?)(?:{code_tags.CLOSE}|\\Z))",
    re.DOTALL,
)
_FENCE = re.compile(r"\A\s*```[a-z]*\n(.*?)\n?```\s*\Z", re.DOTALL)


def response_segments(row: Mapping[str, Any], environment: str) -> tuple[list[Segment], bool]:
    """The response cut where it changes between trained and not trained.

    Args:
        row: A dumped trajectory; ``segments`` are exact, ``output`` is all that older dumps have.
        environment: ``retool.env.name`` of the run; an unknown one is tried as both formats.

    Returns:
        The segments, and whether they were inferred from the text.
    """
    listed = row.get(SEGMENTS)
    found = [_exact(one) for one in listed] if isinstance(listed, (list, tuple)) else []
    given = [segment for segment in found if segment is not None]
    if given and len(given) == len(found):
        return given, False
    return list(_inferred(str(row.get("output") or ""), environment)), True


def parts(segments: Iterable[Segment]) -> list[Part]:
    """The boxes of a response.

    Returns:
        For each its kind ``k``, its text ``t``, whether it is trained on ``m``; ``n`` tokens for the first
        box of a segment whose tokens are known; for code the tool ``a`` and the code ``c`` as the
        tool gets it.
    """
    found: list[Part] = []
    for trained, tokens, text in segments:
        boxes = list(_calls(text)) if trained else [{"k": TOOL, "t": text}]
        for place, box in enumerate(boxes):
            known = {"n": tokens} if tokens is not None and place == 0 else {}
            found.append({**box, "m": trained, **known})
    return found


def _exact(one: Any) -> Segment | None:
    if not isinstance(one, Sequence) or isinstance(one, str) or len(one) != 3:
        return None
    mask, tokens, text = one
    return int(bool(mask)), tokens if isinstance(tokens, int) else None, str(text)


def _inferred(text: str, environment: str) -> Iterator[Segment]:
    if environment == "text":
        patterns = []
    else:
        patterns = [_TOOL_TEXT[environment]] if environment in _TOOL_TEXT else list(_TOOL_TEXT.values())
    spans = sorted(match.span() for pattern in patterns for match in pattern.finditer(text))
    position = 0
    for start, end in spans:
        if start < position:
            continue
        if start > position:
            yield 1, None, text[position:start]
        yield 0, None, text[start:end]
        position = end
    if position < len(text) or not spans:
        yield 1, None, text[position:]


def _calls(text: str) -> Iterator[Part]:
    position = 0
    for match in _CALL.finditer(text):
        if match.start() > position:
            yield {"k": TEXT, "t": text[position : match.start()]}
        yield _code_box(match)
        position = match.end()
    if position < len(text) or not text:
        yield {"k": TEXT, "t": text[position:]}


def _code_box(match: re.Match[str]) -> Part:
    if match["json"] is None:
        fenced = _FENCE.match(match["code"])
        return {"k": CODE, "t": match[0], "c": fenced[1] if fenced else match["code"].strip("\n")}
    call = hermes.parse_call(match["body"])
    arguments = call.arguments if isinstance(call.arguments, dict) else {}
    code = arguments.get("code")
    if call.problem or not isinstance(code, str):
        return {"k": CODE, "t": match[0], "a": call.name}
    return {"k": CODE, "t": match[0], "a": call.name, "c": code}
