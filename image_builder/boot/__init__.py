"""Images started in QEMU, to look at or to be checked."""
