"""Which snaps a hook sees, and what of them is part of its key. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from image_builder.errors import ConfigError
from image_builder.lock import SnapPin
from snaps.closure import subset

SEED_AT = "var/lib/image-builder/snap-seed"  # in the root, for the length of the step; in no layer and no image
# What of a pin decides the bytes of a seed: not the cohort it was chosen by.
_IN_THE_SEED = {"name", "snap_id", "revision", "sha3_384", "size_bytes", "channel", "type", "base", "classic"}


@dataclass(frozen=True)
class Seeding:
    """The snaps of a build. names: those a target takes that is not in targets. proofs: pins -> their assertions."""

    pins: tuple[SnapPin, ...] = ()
    names: tuple[str, ...] = ()
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proofs: Callable[[Sequence[SnapPin]], Sequence[str]] = field(default=lambda _: (), compare=False)
    others: tuple[str, ...] = ()  # digests of what else decides the seed's bytes: model, trust root
    host: str = ""  # digest of what snap-preseed takes from this host; "": it cannot run here

    def taken(self, words: Sequence[str] | None, target: str, hook: str) -> tuple[SnapPin, ...] | None:
        """The snaps a hook sees, with all they need. words: of its header, "all" or names; None: it sees none.

        Raises ConfigError when no snaps are asked for, or when it names one that is not in the lock.
        """
        if words is None:
            return None
        if not self.names:
            raise ConfigError(
                "seeds snaps, and none are asked for", where=f"{hook} (of {target})",
                hint="`snaps: [hello]` in image-builder.yaml, or EXTRA_SNAPS",
            )  # fmt: skip
        names = self.targets.get(target, self.names) if "all" in words else words
        return subset(self.pins, names, where=f"{hook} (of {target})")

    def digest(self, pins: Sequence[SnapPin]) -> str:
        """SHA-256 (hex) of all that decides the bytes of a seed of these snaps."""
        said = [pin.model_dump(mode="json", include=_IN_THE_SEED) for pin in pins]
        return hashlib.sha256(json.dumps([said, *self.proofs(pins), *self.others], sort_keys=True).encode()).hexdigest()
