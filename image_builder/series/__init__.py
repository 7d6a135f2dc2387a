"""Series files: which hooks an image target needs, in which order, from which line of which file.

Standard library only: hooks.d/make-hooks runs on it, and starts in milliseconds.
"""
