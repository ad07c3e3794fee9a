"""The few typed errors of the recipe.

A bad *rollout* is data (a text to the model and a counter), never one of these.
A bad *input* (config, file, row) or a dead *service* is one of these, and its message names the
key, file or row and the fix. The command line prints the message alone and exits with 2.
"""


class RetoolError(Exception):
    """Base of every error that is the caller's to mend."""


class ConfigError(RetoolError):
    """A setting is missing, unknown or contradicts another one."""


class DataError(RetoolError):
    """A file or a row cannot be used."""


class SandboxError(RetoolError):
    """The code sandbox cannot be started or reached."""


class StageError(RetoolError):
    """A stage (SFT, merge, RL, evaluation) of the pipeline failed."""
