"""Why a step failed, in the words the user needs."""

from __future__ import annotations

import pytest

from image_builder.build.diagnose import diagnose, last_lines


@pytest.mark.parametrize(
    ("line", "reason", "surroundings"),
    [
        ("tar: x: Cannot write: No space left on device", "no space left on the disk", True),
        ("write failed: ENOSPC", "no space left on the disk", True),
        ("sh: 1: Cannot fork", "too many processes", False),
        ("bash: fork: retry: Resource temporarily unavailable", "too many processes", False),
        ("RuntimeError: can't start new thread", "too many processes", False),
        ("mksquashfs: Out of memory", "out of memory", True),
        ("xz: (stdin): Cannot allocate memory", "out of memory", True),
        ("FATAL ERROR: Failed to allocate memory", "out of memory", True),
        (
            "W: Failed to fetch x  Temporary failure resolving 'deb.debian.org'",
            "the network is lost: a host name",
            True,
        ),
        ("curl: (6) Could not resolve host: mirror", "the network is lost: a host name", True),
        ("Could not connect to mirror:80 (10.0.0.1), connection timed out", "the network is lost: a host could", True),
        ("connect: Network is unreachable", "the network is lost: a host could", True),
        ("Connection reset by peer", "the network is lost: a host could", True),
        ("E: apt saw another archive than the lock: it has moved", "the archive has moved on since the lock", False),
        ("E: Failed to fetch x  Hash Sum mismatch", "a mirror served a file that is not", True),
        ("E: Unable to locate package vmi", "a package is not in the archive: vmi", False),
        ("E: Package 'vim-x' has no installation candidate", "a package is not in the archive: vim-x", False),
        ("E: Package vim-x has no installation candidate", "a package is not in the archive: vim-x", False),
        ("hook: line 3: frobnicate: not found", "exit status 1", False),
        ("", "exit status 1", False),
    ],
)
def test_reasons(line: str, reason: str, surroundings: bool) -> None:
    found = diagnose(f"first\n{line}\nlast\n", exit_status=1, timed_out=False, timeout_s=60)
    assert found.reason.startswith(reason)
    assert found.surroundings is surroundings


def test_a_timeout_is_a_timeout_whatever_the_log_says() -> None:
    found = diagnose("No space left on device", exit_status=137, timed_out=True, timeout_s=90.4)
    assert found.reason == "timeout: not done after 90 s"
    assert "--timeout" in found.hint


def test_a_killed_step_most_likely_took_too_much_memory() -> None:
    found = diagnose("quiet", exit_status=137, timed_out=False, timeout_s=60)
    assert "memory" in found.reason
    assert found.surroundings
    assert diagnose("No space left on device", exit_status=137, timed_out=False, timeout_s=60).reason.startswith(
        "no sp"
    )


def test_every_sign_of_the_surroundings_says_what_to_try() -> None:
    for line in ("No space left on device", "Out of memory", "Could not resolve", "Connection refused"):
        assert diagnose(line, exit_status=1, timed_out=False, timeout_s=60).hint


def test_the_end_of_a_log_has_no_empty_lines() -> None:
    log = "".join(f"line {n}  \n\n" for n in range(40))
    assert last_lines(log, 3) == "line 37\nline 38\nline 39"
    assert last_lines("") == ""
