"""Reward room: answer extraction, answer equality, compute_score."""
