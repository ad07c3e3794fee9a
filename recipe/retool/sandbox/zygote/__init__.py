"""A fork server with namespaces: programs start in a millisecond, and in a world of their own.

``main``, ``loop``, ``box``, ``program``, ``tree``, ``linux`` and ``messages`` run in the fork server and use
the standard library alone, for the interpreter of the programs may have nothing else. ``runner``,
``process``, ``seccomp``, ``probe`` and ``choice`` run in the server.
"""
