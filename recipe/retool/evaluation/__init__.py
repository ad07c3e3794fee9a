"""Answers of one model to a set of problems: asked for, kept, counted."""
