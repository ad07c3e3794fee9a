"""Entry point of the group ``verl.plugins``.

verl only *loads* its entry points and calls nothing (verl/__init__.py), so this one module acts when
it is imported. A failure is shown before verl swallows it into a DEBUG line.
"""

import logging

from recipe.retool.verl_ext.cpu_plugin import register

try:
    register()
except Exception:
    logging.getLogger(__name__).exception("the CPU platform of the ReTool recipe could not be registered")
    raise
