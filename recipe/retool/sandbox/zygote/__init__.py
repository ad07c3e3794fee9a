"""A fork server with namespaces: programs start in a millisecond, and in a world of their own.

``main``, the loops, ``box`` (walls with namespaces), ``cell`` (without), ``keeper``, ``sweep``, ``landlock``,
``program``, ``payload``, ``tree``, ``linux`` and ``messages`` run in the fork server and use the standard
library alone: the interpreter of the programs may have nothing else. ``runner``, ``session``, ``process``,
``seccomp``, ``container``, ``uids``, the probes and ``choice`` run in the server.
"""
