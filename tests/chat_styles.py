"""Chat templates that behave like those of model families, written for the tests.

* ``plain``: ChatML; tools in the system message; the turns of tools are merged into one user turn.
* ``qwen2_5``: besides, a default system message where the dialogue has none.
* ``qwen3``: besides, no default; thinking of turns before the last question is left out, that of later ones
  is shown, the last turn without any gets an empty block; without ``enable_thinking`` the generation
  prompt holds an empty block.
"""

_TOOLS = """\
{%- macro tool_block(system) %}
{{- '<|im_start|>system\\n' + system + '\\n# Tools\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' + tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nWrite <tool_call>{"name": ..., "arguments": ...}</tool_call>.<|im_end|>\\n' }}
{%- endmacro %}
{%- macro calls(message, before) %}
{%- for call in message.tool_calls or [] %}
{%- if before or not loop.first %}{{- '\\n' }}{%- endif %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson + '}\\n</tool_call>' }}
{%- endfor %}
{%- endmacro %}
{%- macro answer(message, index) %}
{%- if index == 0 or messages[index - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{%- if index == messages | length - 1 or messages[index + 1].role != 'tool' %}
{{- '<|im_end|>\\n' }}{%- endif %}
{%- endmacro %}
"""
_SYSTEM = """\
{%- set named = messages[0].content if messages[0].role == 'system' else DEFAULT %}
{%- if tools %}{{- tool_block(named) }}
{%- elif named %}{{- '<|im_start|>system\\n' + named + '<|im_end|>\\n' }}{%- endif %}
"""
_PLAIN_TURNS = """\
{%- for message in messages %}
{%- if message.role == 'user' %}{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' + message.content + calls(message, message.content) + '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}{{- answer(message, loop.index0) }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
_THINKING_TURNS = """\
{%- set found = namespace(last=0) %}
{%- for message in messages %}
{%- if message.role == 'user' %}{%- set found.last = loop.index0 %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
{%- if message.role == 'user' %}{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{%- set thought = message.reasoning_content or '' %}
{%- set said = message.content or '' %}
{%- if not thought and '</think>' in said %}
{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
{%- set said = said.split('</think>')[-1].lstrip('\\n') %}
{%- endif %}
{{- '<|im_start|>assistant\\n' }}
{%- if loop.index0 > found.last and (loop.last or thought) %}
{{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}
{%- endif %}
{{- said + calls(message, said) + '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}{{- answer(message, loop.index0) }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
"""

STYLES = {
    "plain": _TOOLS + _SYSTEM.replace("DEFAULT", "''") + _PLAIN_TURNS,
    "qwen2_5": _TOOLS + _SYSTEM.replace("DEFAULT", "'You are a helpful assistant.'") + _PLAIN_TURNS,
    "qwen3": _TOOLS + _SYSTEM.replace("DEFAULT", "''") + _THINKING_TURNS,
}
