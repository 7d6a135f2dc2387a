"""Work handed to workers: the interface, and the executor of this machine behind it."""
