"""Snaps: a download with its SHA3-384 against curl and openssl one after the other, over the loopback interface."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from command import main
from ground import Ground
from mirror import nginx
from report import Cost, Report, Row, against, measured

from image_builder.errors import PipelineError
from image_builder.run import BASE_ENV

SIZE_MIB, ROUNDS = 1024, 5
SPEED = 0.9  # of theirs, at least
PROGRAM = """
import sys
from pathlib import Path
from snaps.cli.display import Lines
from snaps.download import Wanted, download
from snaps.files import SnapFiles
from snaps.store.client import StoreClient
from snaps.store.settings import Settings
address, sha3_384, size, folder = sys.argv[1:]
wanted = Wanted("large", 1, sha3_384, int(size), f"{address}/large.snap")
download(StoreClient(Settings(api=address, assertions=address)), [wanted], SnapFiles(Path(folder)), Lines())
"""


def bench(ground: Ground, quick: bool) -> Report:
    return compare(ground.folder, 64 if quick else SIZE_MIB, 1 if quick else ROUNDS)


def compare(folder: Path, size_mib: int, rounds: int) -> Report:
    """folder: an empty one."""
    root = folder / "www"
    root.mkdir()
    digest = _make(root / "large.snap", size_mib)
    size = size_mib << 20
    with nginx(folder / "nginx", root) as (origin, _):
        target = folder / "target"

        def ours() -> None:
            _run(sys.executable, "-c", PROGRAM, origin, digest, str(size), str(target))
            (target / digest).unlink()

        def theirs() -> None:
            target.mkdir(exist_ok=True)
            _run("curl", "--silent", "--fail", "--output", str(target / "large"), f"{origin}/large.snap")
            said = _run("openssl", "dgst", "-sha3-384", str(target / "large"))
            if digest not in said:
                raise PipelineError("another hash", where=said)
            (target / "large").unlink()

        costs = {name: _median(call, rounds) for name, call in (("ours", ours), ("theirs", theirs))}
    rows = [
        Row("download and hash: snap-tool's", costs["ours"]),
        Row("curl, then openssl dgst -sha3-384", costs["theirs"]),
        against("download and hash against both", costs["ours"], costs["theirs"], round(1 / SPEED, 3)),
    ]
    notes = [
        f"one file of {size_mib} MiB, served by nginx; medians of {rounds}, Python's start counted in ours",
        "ours ends with the file on the disk (fsync) and renamed; curl's does not",
        f"at most {1 / SPEED:.3f} is a speed of {SPEED} of theirs",
    ]
    return Report("Snaps: download and hash", rows, notes)


def _make(path: Path, size_mib: int) -> str:
    """A file of random bytes; its SHA3-384."""
    total = hashlib.sha3_384()
    with path.open("wb") as file:
        for _ in range(size_mib):
            chunk = os.urandom(1 << 20)
            total.update(chunk)
            file.write(chunk)
    return total.hexdigest()


def _median(call: Callable[[], None], rounds: int) -> Cost:
    costs = [measured(call)[0] for _ in range(rounds)]
    return Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs))


def _run(*words: str) -> str:
    environment = {**BASE_ENV, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "CI": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError(f"exit {done.returncode}\n{done.stderr[-1000:]}", where=words[0])
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
