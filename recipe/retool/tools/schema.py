"""The schema of the code interpreter: the only copy.

SFT data, the RL tool and evaluation render this same object through the chat template, so that a
model never meets two descriptions of one tool. The text is the one that public ReTool checkpoints
were trained with (verl-recipe ``retool/sandbox_fusion_tool_config.yaml``).
"""

from typing import Any

TOOL_NAME = "code_interpreter"

CODE_INTERPRETER_SCHEMA: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": TOOL_NAME,
        "description": "A tool for executing code.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "The code to execute."}},
            "required": ["code"],
        },
    },
}
