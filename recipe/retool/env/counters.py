"""What is counted of every trajectory: the only list of these names.

The agent loop fills them in, the reward passes them through to verl (which averages them in validation and
writes them beside each dumped trajectory), the sampler makes the training metrics of them. All are floats.
"""

from collections.abc import Mapping

COUNTERS: Mapping[str, str] = {
    "num_turns": "prompt, model and tool turns, as verl counts them",
    "model_turns": "turns of the model",
    "response_tokens": "tokens of the response, tool tokens included",
    "model_tokens": "tokens of the response that the model wrote",
    "model_chars": "characters that the model wrote",
    "first_call_chars": "characters of the response before the first call that was run; 0 without one",
    "tool_calls": "calls that were run",
    "tool_ok": "calls whose program ended without an error",
    "tool_errors": "calls that failed by the model's fault: exception, time-out, limit, bad arguments",
    "tool_timeouts": "calls stopped at the time limit",
    "tool_bad_arguments": "calls of a known tool with arguments that it does not take",
    "tool_name_errors": "calls whose program ended in a NameError",
    "tool_empty": "calls that printed nothing",
    "tool_unknown": "calls of a tool that does not exist",
    "tool_malformed": "calls that cannot be read: no JSON object, no name, no code",
    "tool_incomplete": "calls that were opened and never closed",
    "tool_not_run": "well-formed calls that a limit or a budget kept from running",
    "sandbox_unavailable": "calls that the sandbox did not answer: not the model's fault",
    "code_lines": "non-blank lines of code in the calls that were run",
    "tool_seconds": "seconds spent in calls, waiting included",
    "void_turns": "turns of the model with neither a whole call nor an answer (SimpleTIR, arXiv 2509.02479)",
    "truncated": "1 when a budget ended the trajectory",
    "over_tokens": "1 when that was the response length",
    "over_turns": "1 when that was the number of turns",
    "over_calls": "1 when that was the number of calls",
    "over_seconds": "1 when that was the wall clock",
    "aborted": "1 when the engine gave up a request of it: not the model's fault",
    "masked": "1 when no token of the trajectory is trained on, by option",
}


# Where the recipe's tools count under an agent loop that does not: a mapping of the names above.
TOOL_STATS = "tool_stats"


def new_counters() -> dict[str, float]:
    """All counters at zero."""
    return dict.fromkeys(COUNTERS, 0.0)
