"""Environment room: the state transition from a model's raw text to tool results and back, without any engine."""
