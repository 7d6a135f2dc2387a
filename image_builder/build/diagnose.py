"""Why a step failed, in words a user can act on. Pure: reads the end of its log."""

from __future__ import annotations

import re
from typing import NamedTuple


class Diagnosis(NamedTuple):
    """surroundings: it was not the hook's or the package's fault, and a retry may help."""

    reason: str
    hint: str
    surroundings: bool


MAKE_ROOM = "make room: image-builder store prune --max-size 20G"
OUT_OF_MEMORY = Diagnosis("out of memory", "run fewer steps at once: --jobs 1", True)
SIGNS = (
    (r"No space left on device|write error.*[Dd]isk full|ENOSPC", Diagnosis(
        "no space left on the disk", MAKE_ROOM, True)),
    (r"Out of memory|Cannot allocate memory|oom-kill|virtual memory exhausted|FATAL ERROR:.*memory", OUT_OF_MEMORY),
    (r"[Cc]an(?:no|')t fork|fork: .*Resource temporarily unavailable|can't start new thread|pthread_create failed",
        Diagnosis("too many processes", "a step may have 4096 of them at once", False)),
    (r"Temporary failure resolving|Could not resolve|Name or service not known", Diagnosis(
        "the network is lost: a host name could not be resolved", "check the network, then try again", True)),
    (r"Connection timed out|Connection refused|Network is unreachable|Connection failed|Could not connect|"
     r"Unable to connect|Connection reset by peer", Diagnosis(
        "the network is lost: a host could not be reached", "check the network, then try again", True)),
    (r"apt saw another archive than the lock", Diagnosis(
        "the archive has moved on since the lock was made", "make a new lock: image-builder build --update", False)),
    (r"Hash Sum mismatch|File has unexpected size", Diagnosis(
        "a mirror served a file that is not the one its index names", "run the same command in some minutes", True)),
    (r"hooks\.d/\S*: (?:No such file|not found)|cannot open \S*hooks\.d/", Diagnosis(
        "a hook read a file it does not declare",
        "name it in the hook's header (# inputs: FILE), or set hook_inputs: all for a tree from elsewhere", False)),
    (r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate", Diagnosis(
        "a package is not in the archive", "check its spelling and archive_areas in image-builder.yaml", False)),
)  # fmt: skip


def diagnose(log_end: str, *, exit_status: int, timed_out: bool, timeout_s: float) -> Diagnosis:
    """log_end: the last lines of the step's log."""
    if timed_out:
        return Diagnosis(f"timeout: not done after {timeout_s:.0f} s", "give it more: --timeout SECONDS", False)
    for sign, diagnosis in SIGNS:
        if match := re.search(sign, log_end):
            word = next((g for g in match.groups() if g), None)
            return diagnosis._replace(reason=diagnosis.reason + (f": {word}" if word else ""))
    if exit_status == 137:
        return Diagnosis("killed, most likely because memory ran out", "run fewer steps at once: --jobs 1", True)
    return Diagnosis(f"exit status {exit_status}", "", False)


def last_lines(log: str, count: int = 15) -> str:
    """The end of a log without the noise of clean-up after the failure."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    return "\n".join(lines[-count:])
