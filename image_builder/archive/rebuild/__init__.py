"""A rebuild as it is run: what it stands on, how a package becomes a job, and the passes one after the other."""
