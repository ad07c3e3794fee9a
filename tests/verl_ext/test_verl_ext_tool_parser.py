"""verl's own tool agent reads our format: the plugin registers the parser."""

import asyncio
import json
import subprocess
import sys

import pytest

pytest.importorskip("verl")


def test_the_plugin_registers_the_parser() -> None:
    program = (
        "import verl\n"
        "from verl.experimental.agent_loop.tool_agent_loop import ToolAgentLoop\n"
        "from verl.experimental.agent_loop.tool_parser import ToolParser\n"
        "print(type(ToolParser.get_tool_parser('retool', None)).__module__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=250)
    assert done.stdout.strip().splitlines()[-1] == "recipe.retool.verl_ext.tool_parser", done.stderr[-2000:]


def test_it_reads_code_blocks() -> None:
    from scripted import tokenizer_of

    from recipe.retool.verl_ext.tool_parser import CodeTagsToolParser

    tokenizer = tokenizer_of("tiny")
    ids = tokenizer.encode("Hm.<code>print(1)</code>\n<code>é</code><code>open")
    content, calls = asyncio.run(CodeTagsToolParser(tokenizer).extract_tool_calls(ids))
    assert content == "Hm."
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("code_interpreter", {"code": "print(1)"}),
        ("code_interpreter", {"code": "é"}),
    ]
