"""Decides what is built: the tree of layers, each with its key and the reason for it. Pure."""
