"""mitmproxy in a Python environment of its own: its pins bind nothing else. Made once, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import sys
from pathlib import Path

from image_builder.errors import CommandError, SurroundingsError
from image_builder.run import run

log = logging.getLogger(__name__)

VARIABLE = "SNAPSHOT_PROXY_PYTHON"  # a Python that has mitmproxy: no environment is made then
_ADDON = Path(__file__).parent / "addon"
# What pip may need to reach an index: the rest of who starts a build does not change what is installed.
_PASSED_ON = (
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PIP_",
    "SSL_CERT_FILE",
    "XDG_",
    "HOME",
)


def requirements(version: tuple[int, int] = sys.version_info[:2]) -> Path:
    """The pinned list for a version of Python: mitmproxy 11.1 and newer need 3.12."""
    return _ADDON / ("mitmproxy-11.txt" if version < (3, 12) else "mitmproxy-12.txt")


def place() -> Path:
    """Where the environment of this Python is, or will be: another list of pins or another Python, another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_of = requirements().read_bytes() + os.fsencode(os.path.realpath(sys.executable)) + sys.version.encode()
    digest = hashlib.sha256(made_of).hexdigest()[:12]
    return cache / "image-builder" / f"{requirements().stem}-python{sys.version_info[0]}.{sys.version_info[1]}-{digest}"


def ensure() -> Path:
    """The Python that has mitmproxy. Makes its environment the first time, which needs a package index.

    Raises SurroundingsError that says what to do without one.
    """
    if given := os.environ.get(VARIABLE):
        return Path(given)
    target = place()
    python = target / "bin" / "python"
    if (target / "complete").exists():
        return python
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_suffix(".lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)  # who waits here finds it made
            if not (target / "complete").exists():
                _make(target)
    except OSError as e:
        raise SurroundingsError(e.strerror or str(e), where=target.parent) from e
    return python


def _make(target: Path) -> None:
    log.info("making the environment of mitmproxy: once, about half a minute, 25 MB from the package index")
    shutil.rmtree(target, ignore_errors=True)  # of one that was killed
    env = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    # At its own place from the start, since an environment cannot be moved; "complete" is written last.
    hint = (
        f"it needs a package index once. Without one: put the wheels of {requirements()} into a folder and set"
        f" PIP_FIND_LINKS to it and PIP_NO_INDEX=1; or copy {target} from a machine with the same Python; or set"
        f" {VARIABLE} to a Python that has mitmproxy"
    )
    try:
        run([sys.executable, "-m", "venv", target], timeout_s=300, env=env, hint=hint)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run([target / "bin/python", *install, "--requirement", requirements()], timeout_s=900, env=env, hint=hint)
        run([target / "bin/python", "-I", "-c", "import mitmproxy.tools.dump"], timeout_s=120, hint=hint)
        (target / "complete").touch()
    except CommandError as e:
        shutil.rmtree(target, ignore_errors=True)
        raise SurroundingsError(
            f"the environment of mitmproxy cannot be made: {e.what}", where=target, hint=hint
        ) from e
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(ensure())
