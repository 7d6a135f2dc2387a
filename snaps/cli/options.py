"""What several commands share: which store, which cache, whom to trust, one snap of a channel or cohort."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from snaps import proofs
from snaps.assertions.trust import TrustRoot
from snaps.files import SnapFiles
from snaps.store import settings
from snaps.store.client import StoreClient

LOCK_NAME = "image-builder.lock"
F = TypeVar("F", bound=Callable[..., None])


def store_options(command: F) -> F:
    """--arch and --series, as livecd-rootfs' snap-tool has them."""
    for option in (
        click.option("--series", default="", help="Series of the store (default: 16; there has been no other)."),
        click.option(
            "--arch", default="", help="Architecture, amd64 (default: UBUNTU_STORE_ARCH, else this machine's)."
        ),
    ):
        command = option(command)
    return command


def choice_options(command: F) -> F:
    """--channel and --cohort-key."""
    for option in (
        click.option("--cohort-key", envvar=["COHORT_KEY", "UBUNTU_STORE_COHORT_KEY"], default="",
                     help='Cohort key; "+" is the newest revision whatever its share (default: COHORT_KEY).'),
        click.option("--channel", default="", help="track/risk/branch (default: stable)."),
    ):  # fmt: skip
        command = option(command)
    return command


def file_options(command: F) -> F:
    """--cache and --trust."""
    for option in (
        click.option("--trust", "trust_file", type=click.Path(path_type=Path),
                     help="Account and account-key of a private store's root, in place of Canonical's."),
        click.option("--cache", type=click.Path(path_type=Path), envvar="SNAP_TOOL_CACHE",
                     help="Where fetched snaps are kept (default: ~/.cache/snap-tool)."),
    ):  # fmt: skip
        command = option(command)
    return command


def lock_option(command: F) -> F:
    return click.option(
        "--lock", "lock_path", type=click.Path(path_type=Path), default=Path(LOCK_NAME), show_default=True,
        help="The lock.",
    )(command)  # fmt: skip


@dataclass(frozen=True)
class Ground:
    """What a command works with."""

    client: StoreClient
    files: SnapFiles
    trust: TrustRoot
    now: datetime


def ground(*, arch: str = "", series: str = "", cache: Path | None = None, trust_file: Path | None = None) -> Ground:
    """From the values of the options above. Raises ConfigError."""
    now = datetime.now(UTC)
    return Ground(
        StoreClient(settings.from_environment(architecture=arch, series=series)),
        SnapFiles(cache or default_cache()),
        proofs.trusted(trust_file, now),
        now,
    )


def default_cache() -> Path:
    """~/.cache/snap-tool, or where XDG_CACHE_HOME says."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "snap-tool"
