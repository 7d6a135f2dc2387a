"""Builds one source package with sbuild, in a chroot made for it, and leaves what came of it in a folder."""
