"""Signed statements of the snap world: read and print, verify down to a root of trust, fetch with all they rest on."""
