"""Sphinx configuration; build with ``sphinx-build -W -b html docs docs/_build``."""

project = "ReTool recipe"
author = "The authors of the ReTool recipe"
project_copyright = author
extensions: list[str] = []
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "A language model learns to use a code interpreter",
    "page_width": "1080px",
}
highlight_language = "text"
nitpicky = True
