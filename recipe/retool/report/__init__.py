"""Runs as one HTML page: charts, and a viewer of trajectories."""
