"""Drives live-build's own helper commands, one step at a time, in the tool root."""
