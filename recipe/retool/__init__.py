"""ReTool on verl: teach a language model to use a code interpreter (arXiv 2504.11536)."""

__version__ = "0.1.0"
