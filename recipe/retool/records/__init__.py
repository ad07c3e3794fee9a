"""What runs leave behind: folders, metrics, trajectories; read, counted, dumped."""
