"""Rebuilding an archive from source, in stages, into a repository that is a pure function of its results."""
