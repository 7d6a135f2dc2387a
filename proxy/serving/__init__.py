"""Serving a frozen archive: what is asked, what is answered, and the bodies, which come from disk."""
