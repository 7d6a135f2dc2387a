"""A rebuild without builds: simulated machines and time below the real scheduler and the real database."""
