"""For all tests."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["archive_fixtures"]

# How long an example takes says something of the machine, which may be busy, and nothing of the code.
settings.register_profile("image-builder", deadline=None)
settings.load_profile("image-builder")
