"""Entry point of the group ``verl.plugins``.

verl only *loads* its entry points and calls nothing (verl/__init__.py), so this one module acts when
it is imported. A failure is shown before verl swallows it into a DEBUG line.
"""

import logging
from importlib import import_module
from types import ModuleType

from recipe.retool.verl_ext.cpu_plugin import register
from recipe.retool.verl_ext.on_import import patch_on_import


def _add_tool_parser(module: ModuleType) -> None:
    import_module("recipe.retool.verl_ext.tool_parser")


try:
    register()
    patch_on_import("verl.experimental.agent_loop.tool_parser", _add_tool_parser)
except Exception:
    logging.getLogger(__name__).exception("the plugin of the ReTool recipe could not be loaded")
    raise
