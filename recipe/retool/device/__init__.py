"""Device room: which accelerator, and the environment variables that it needs."""
