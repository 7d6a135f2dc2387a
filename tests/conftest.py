"""For all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

pytest_plugins = ["archive_fixtures", "finished_build_fixtures", "snap_store_fixtures"]

# How long an example takes says something of the machine, which may be busy, and nothing of the code.
settings.register_profile("image-builder", deadline=None)
settings.load_profile("image-builder")

# Started in the background or by nohup, this process was told to ignore these, and would hand that down to every
# program it starts: none would end by Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
