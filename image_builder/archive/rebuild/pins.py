"""The lock of a rebuild: which state of the archives it reads, and of which one its builders are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from image_builder.archive.builder import tools
from image_builder.archive.builder.assignment import Tools
from image_builder.archive.configuration import ArchiveConfig
from image_builder.lock import ArchivePin, Lock
from proxy.archive import stamp
from proxy.archive.freeze import freeze
from proxy.archive.sources import DEBIAN_KEYRING, Source


@dataclass
class Pins:
    """Reads the lock, completes it, writes it. Whatever else it has, an image's pins for one, stays.

    update: pin anew what is asked for, whatever the lock has of it.
    """

    config: ArchiveConfig
    keyring: Path
    cache: Path
    now: datetime
    update: bool

    def of(self, sources: Sequence[Source]) -> tuple[ArchivePin, ...]:
        """The lock's pins, with new ones for what it does not have. Raises PipelineError for what cannot be pinned."""
        before, wanted = Lock.read(self.config.lock), self._stamp()
        asked = [(s.uri, s.suite, s.components, s.architectures) for s in sources]
        anew = self.update or (wanted is not None and wanted.is_now)
        if before is not None and not anew and not before.missing(asked) and _are_of(wanted, sources, before.archives):
            return before.archives
        found = freeze(sources, keyring=self.keyring, cache=self.cache, now=self.now, stamp=wanted,
                       pins=() if anew or before is None else before.archives)  # fmt: skip
        made = Lock(created=self.now) if before is None else before
        made = made.model_copy(update={"created": self.now, "archives": _together(made.archives, found)})
        made.write(self.config.lock)
        return made.archives

    def of_tools(self, sources: Sequence[Source]) -> Tools:
        """What the builder's root is made of: as the lock has it; else as the rebuild's own archives, if these have it.

        of() has been called before, so there is a lock. Raises PipelineError, SurroundingsError.
        """
        config = self.config
        signed = next((s.signed_by for s in sources if s.uri == config.tool_mirror.rstrip("/")), ())
        source = tools.source_of(config.tool_mirror, config.tool_suite, signed[0] if signed else DEBIAN_KEYRING)
        before = Lock.read(config.lock) or Lock(created=self.now)
        wanted = self._stamp()
        anew = self.update or (wanted is not None and wanted.is_now)
        known = [*(() if anew else before.tool_archives), *before.archives]
        found = tools.pinned(source, known, keyring=self.keyring, cache=self.cache, now=self.now, stamp=wanted)
        together = _together(before.tool_archives, found.pins)
        if together != before.tool_archives:
            before.model_copy(update={"tool_archives": together}).write(config.lock)
        return found

    def _stamp(self) -> stamp.Stamp | None:
        return stamp.agreed(self.config.snapshot.split(), now=self.now, where="snapshot")


def _are_of(wanted: stamp.Stamp | None, sources: Sequence[Source], pins: Sequence[ArchivePin]) -> bool:
    """Whether the pins of these sources are the state at an instant, as far as whoever pinned them could know."""
    suites = {(one.uri, one.suite) for one in sources}
    ours = (pin for pin in pins if (pin.uri, pin.suite) in suites)
    return wanted is None or all(pin.stamp is not None and pin.date <= wanted.at <= pin.stamp for pin in ours)


def _together(before: Sequence[ArchivePin], found: Sequence[ArchivePin]) -> tuple[ArchivePin, ...]:
    return tuple({(pin.uri, pin.suite): pin for pin in (*before, *found)}.values())
