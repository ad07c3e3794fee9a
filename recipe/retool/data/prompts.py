r"""The answer-format instruction: the only copy.

Every data set brings its own wrapper ("Solve the following math problem step by step ...", "Let's
think step by step and output the final answer within \boxed{}", ...). Converters remove it and
append this one, so a prompt never holds two contradicting formats.
"""

ANSWER_INSTRUCTION = "The answer format must be: \\boxed{The final answer goes here.}"


def with_instruction(question: str) -> str:
    """Return ``question`` (already stripped of its source's wrapper) with the answer format."""
    return f"{question.strip()}\n{ANSWER_INSTRUCTION}"
