"""Stages: compose a config, start the engine, check what came out."""
