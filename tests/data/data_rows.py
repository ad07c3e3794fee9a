"""Raw ReTool-SFT rows built by hand."""

from typing import Any

LEAD = (
    "Solve the following problem step by step. Each code snippet is wrapped with `<code>\n```python\n"
    "code snippet\n```\n</code>`.\nThe last part of your response should be in the following format:\n"
    "<answer>\n\\boxed{{'The final answer goes here.'}}\n</answer>\n\n*user question:*\n"
)
TAIL = (
    "\n\nRemember to place the final answer in the last part using the format: \n"
    "<answer>\n\\boxed{{'The final answer goes here.'}}\n</answer>"
)


def code(text: str) -> str:
    return f"<code>\n```python\n{text}\n```\n</code>"


def output(text: str) -> str:
    return f"<interpreter>\n{text}\n</interpreter>"


def raw_row(assistant: str, question: str = "What is 1+2?") -> dict[str, Any]:
    user = f"{LEAD}{question}{TAIL}"
    return {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]}


GOOD = (
    f"Let me add.\n\n{code('print(1+2)')}\n{output('3')}\n\nSo it is 3.\n\n<answer>\n\\boxed{{3}}\n</answer>"
)
