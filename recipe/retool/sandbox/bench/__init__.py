"""Measuring sandbox servers: a cheap client, the figures of a process tree, ``retool sandbox bench``."""
