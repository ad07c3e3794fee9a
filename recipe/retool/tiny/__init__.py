"""The world in miniature: a tiny model and an arithmetic task on which tool use can be learnt in minutes."""
