"""Environment room: from a model's raw text to tool results and back, without any engine."""
