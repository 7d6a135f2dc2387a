"""Build Debian and Ubuntu images from series files of hooks."""
