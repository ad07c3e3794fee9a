"""A run in the terminal: what it does now, and what should be looked at."""
