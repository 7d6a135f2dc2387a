"""Locks on keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from image_builder.layers.locks import KeyLocks

A, B = "a" * 64, "b" * 64


def test_shared_and_alone(tmp_path: Path) -> None:
    one, two = KeyLocks(tmp_path / "lock"), KeyLocks(tmp_path / "lock")
    one.share(A)
    two.share(A)
    assert not one.take(A)
    two.release(A)
    assert one.take(A)
    assert not two.take(A)
    assert two.take(B)
    one.close()
    assert two.take(A)
    two.close()


def test_two_objects_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    one, two = KeyLocks(tmp_path / "lock"), KeyLocks(tmp_path / "lock")
    assert [one.take(A), two.take(A)] == [True, False]
    one.close()
    one.close()
    two.close()


def test_a_copy_of_the_descriptor_does_not_keep_the_locks(tmp_path: Path) -> None:
    """As a child has one between fork and exec."""
    one, two = KeyLocks(tmp_path / "lock"), KeyLocks(tmp_path / "lock")
    assert one.take(A)
    copy = os.dup(one.descriptor)
    one.close()
    assert two.take(A)
    os.close(copy)
    two.close()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from image_builder.layers.locks import KeyLocks
locks = KeyLocks(Path({str(tmp_path / "lock")!r}))
locks.take({A!r})
print("held", flush=True)
sys.stdin.read()
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    locks = KeyLocks(tmp_path / "lock")
    try:
        assert child.stdout
        assert child.stdout.readline() == "held\n"
        assert not locks.take(A)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert locks.take(A)
    locks.close()
