"""A small rebuild of real packages on one machine, with nothing set up by hand, and the proof that its results work."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from image_builder.archive.builder import root
from image_builder.archive.builder.perform import network
from image_builder.archive.builder.recipe import TOP
from image_builder.archive.configuration import ArchiveConfig
from image_builder.archive.rebuild.ground import Ground
from image_builder.errors import CommandError
from image_builder.files import write_whole
from image_builder.layers import Store
from image_builder.sandbox import Bind, Sandbox, execute

# lzop needs liblzo2-dev to build, which lzo2 makes.
CONFIGURATION = """\
# A rebuild of two packages, of which one needs the other to build. docs/archive.md has all keys.
name: demo
sources:
  - deb {mirror} {suite} main
suite: {suite}
packages:
  include: [lzo2, lzop]
toolchain:
  version_suffix: +demo1
  build_options: [nocheck]
passes:
  - {{stage: 0, base: old, packages: all}}
  - {{stage: 1, base: both, packages: all}}
schedule:
  slots: 2
  trigger_min_seconds: 1
  heartbeat_seconds: 5
publish:
  origin: demo
store: {store}
tool_mirror: {mirror}
"""
PROGRAM = "lzop"
MOUNTED = f"{TOP}/published"


@dataclass(frozen=True)
class Proof:
    """What a fresh chroot said. policy: of apt-cache policy; said: of the program that was built."""

    policy: str
    said: str


def begin(folder: Path, *, store: Path, suite: str, mirror: str) -> Path:
    """Write the configuration, unless there is one already; return its path."""
    path = folder / "archive.yaml"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, CONFIGURATION.format(store=store, suite=suite, mirror=mirror))
    return path


def prove(ground: Ground, published: Path, folder: Path) -> Proof:
    """Install the program in a fresh chroot, from Debian and what was published, and run it. Raises CommandError."""
    config = ground.config
    log = folder / "proof.log"
    log.unlink(missing_ok=True)
    journal = config.work / "proof"
    shutil.rmtree(journal, ignore_errors=True)  # of an earlier time
    with Store(config.store) as store:
        builder = root.made(store, ground.tools, log)
        with network(None, ground.pinned, journal, threading.Event()) as view:
            sandbox = Sandbox(
                root=builder.path,
                binds=[Bind(published, MOUNTED), *view.binds],
                network=view.handle,
                tmpfs=(f"{TOP}/tmp",),
                environment={"TMPDIR": f"{TOP}/tmp"},
            )
            outcome = execute(sandbox, ["sh", "-euc", _script(config, ground)], log=log, timeout_s=900)
    said = log.read_text(errors="replace")
    if outcome.exit_status != 0:
        raise CommandError(f"a fresh chroot could not install {PROGRAM}:\n{said[-2000:]}", where=log)
    _, policy, ran = said.split("=====\n")
    return Proof(policy, ran)


def _script(config: ArchiveConfig, ground: Ground) -> str:
    """mmdebstrap and two commands in what it made; each answer after a line of equals signs."""
    debian = "\n".join(
        f"deb {source.uri} {source.suite} {' '.join(source.components)}" for source in ground.pinned.sources
    )
    key = f"{MOUNTED}/archive-key.asc"
    ours = f"deb [signed-by={key}] copy:{MOUNTED} {config.publish.codename or config.suite} main"
    new = f"{TOP}/tmp/root"
    inside = f"mkdir -p {new}{MOUNTED} && mount --bind {MOUNTED} {new}{MOUNTED}"
    return f"""
mmdebstrap --mode=root --variant=apt --skip=check/empty --setup-hook='mkdir -p "$1"{MOUNTED}' \\
    --setup-hook='mount --bind {MOUNTED} "$1"{MOUNTED}' --include={PROGRAM} \\
    --customize-hook='umount "$1"{MOUNTED}' --skip=cleanup/apt/lists {config.suite} {new} - <<'EOF'
{debian}
{ours}
EOF
{inside}
echo =====
chroot {new} apt-cache policy {PROGRAM}
echo =====
chroot {new} {PROGRAM} --version
"""
