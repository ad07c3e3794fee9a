"""Figures of trajectories: what the policy does, beside how well it scores."""
