"""The one door to other programs on the host."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from image_builder.errors import CommandError

log = logging.getLogger(__name__)

BASE_ENV: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    hint: str = "",
    timeout_s: float | None = None,
    env: Mapping[str, str] = {},
    cwd: str | os.PathLike[str] | None = None,
    stdin: str | None = None,
    accept: Collection[int] = (0,),
) -> str:
    """Run one program and return its standard output. Raises CommandError with the end of its stderr.

    argv is a list, never a shell line. BASE_ENV and env are all it sees, so who starts a build does
    not change it. The program leads a process group of its own, which is ended as a whole when time
    is up or the caller is interrupted. accept: the exit statuses that are no failure.
    """
    command = [os.fspath(a) for a in argv]
    where = shlex.join(command)
    log.debug("+ %s", where)
    try:
        child = subprocess.Popen(
            command,
            env={**BASE_ENV, **env},
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
    except OSError as e:
        raise CommandError(str(e), where=where, hint=hint) from e
    try:
        stdout, stderr = child.communicate(stdin, timeout=timeout_s)
    except BaseException as e:  # Ctrl-C too: nothing started here outlives the call
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if isinstance(e, subprocess.TimeoutExpired):
            raise CommandError(f"not done after {timeout_s} s", where=where, hint=hint) from e
        raise
    if child.returncode not in accept:
        raise CommandError(f"exit {child.returncode}\n{stderr[-2000:]}", where=where, hint=hint)
    return stdout
