r"""What the model itself wrote, out of a response that also holds the tool's text.

Only the model's words may earn: code can print ``\boxed{42}`` and every tag around it.

Exact path: the recipe's agent loop decodes the tokens with ``response_mask == 1`` into
``extra_info["model_text"]``. Nothing can be forged there, and nothing else is read.

Fallback (verl's own ``tool_agent``): only the decoded whole is known, and a printed tag looks like a
real one. Two facts hold whatever code prints. A real closing tag comes after all text of its tool,
so when the model had the last turn, everything after the last closing tag is the model's. And the
model had the last turn exactly when ``num_turns`` (prompt + tool turns + model turns, counted by
verl, not read from the text) is even. Without that proof a response with tool text is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recipe.retool.reward.values import as_number

MODEL_TEXT_KEY = "model_text"
TOOL_TEXT_TAGS = (("<tool_response>", "</tool_response>"), ("<interpreter>", "</interpreter>"))
TOOL_CALL_ENDS = ("</tool_call>", "</code>")
_HEADER = "assistant\n"  # left of "<|im_start|>assistant\n" when special tokens are skipped


@dataclass(frozen=True)
class ModelText:
    """The text that may be scored.

    Attributes:
        text: The model's words; empty when refused.
        exact: True when it comes from the token mask.
        refused: True when the model's words cannot be told from a tool's.
    """

    text: str
    exact: bool
    refused: bool = False


def model_text(response: str, extra_info: Mapping[str, Any]) -> ModelText:
    """Return the model's share of a trajectory.

    Args:
        response: The decoded whole response, tool text included.
        extra_info: verl's per-sample dict; ``model_text`` and ``num_turns`` are read.
    """
    known = extra_info.get(MODEL_TEXT_KEY)
    if isinstance(known, str):
        return ModelText(known, exact=True)
    return _from_response(response, as_number(extra_info.get("num_turns")))


def _from_response(response: str, num_turns: float | None) -> ModelText:
    tagged = any(tag in response for pair in TOOL_TEXT_TAGS for tag in pair)
    if num_turns is None:
        # A finished call without a tagged result may be followed by an untagged one.
        refused = tagged or any(end in response for end in TOOL_CALL_ENDS)
        return _refusal() if refused else ModelText(response, exact=False)
    if num_turns < 2 or num_turns % 2:
        return _refusal()  # the tool spoke last (a cut trajectory), or the count makes no sense
    if not tagged:
        # Tool turns without a known tag: another chat template, whose tool text cannot be found.
        return ModelText(response, exact=False) if num_turns == 2 else _refusal()
    return _after_last_tag(response)


def _after_last_tag(response: str) -> ModelText:
    end, closing = max((response.rfind(closing), closing) for _, closing in TOOL_TEXT_TAGS)
    if end < 0 or any(response.find(opening, end) >= 0 for opening, _ in TOOL_TEXT_TAGS):
        return _refusal()  # opened and not closed: cut inside a result, or a tag the model wrote
    return ModelText(response[end + len(closing) :].lstrip().removeprefix(_HEADER), exact=False)


def _refusal() -> ModelText:
    return ModelText("", exact=False, refused=True)
