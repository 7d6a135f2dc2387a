"""For all tests."""

from __future__ import annotations

import signal
import socketserver
from typing import Any

import memory
import pytest
from hypothesis import settings

pytest_plugins = ["archive_fixtures", "finished_build_fixtures", "snap_store_fixtures"]

# How long an example takes says something of the machine, which may be busy, and nothing of the code.
settings.register_profile("image-builder", deadline=None)
settings.load_profile("image-builder")

# A server that sends the head of an answer and then its body would wait between them, until the client has said that it
# got the head: 40 ms for every answer.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

# Started in the background or by nohup, this process was told to ignore these, and would hand that down to every
# program it starts: none would end by Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    memory.use(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadscope":
        return None
    from streams import Streams

    return Streams(config, log)
