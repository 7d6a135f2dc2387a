"""Finished packages the user brought, laid out so that apt in a build's chroot takes them before all others."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from debian.debfile import DebFile

from image_builder.apt.lists import place as put
from image_builder.archive.builder.assignment import BuildRepository
from image_builder.archive.indices.local import LocalPackages
from image_builder.scratch import scratch

ORIGIN = "image-builder-local"


def offered(local: LocalPackages, folder: Path, suite: str) -> BuildRepository | None:
    """A flat repository of them below folder, by its content: a build that runs keeps the one it was given.

    suite: by which mmdebstrap looks for essential packages. None where there are no packages. Those of installers
    (.udeb) are left out: they are not for chroots.
    """
    debs = {name: path for name, path in sorted(local.binary_places.items()) if path.suffix == ".deb"}
    if not debs:
        return None
    said = [(name, entry.sha256) for name in debs if (entry := local.binaries[name].file) is not None]
    place = folder.absolute() / hashlib.sha256(json.dumps([suite, *said]).encode()).hexdigest()[:32]
    if not place.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with scratch(folder) as made:
            stanzas = [_stanza(local, name, path) for name, path in debs.items()]
            for path in debs.values():
                shutil.copyfile(path, made / path.name)
            data = "\n".join(stanzas).encode("utf-8", "surrogateescape")
            (made / "Packages").write_bytes(data)
            (made / "Release").write_text(
                f"Origin: {ORIGIN}\nLabel: packages of the user\nSuite: {suite}\nCodename: {suite}\n"
                "Date: Thu, 01 Jan 1970 00:00:00 UTC\n"
                f"SHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} Packages\n"
            )
            put(made, place)
    return BuildRepository(folder=place, origin=ORIGIN)


def _stanza(local: LocalPackages, name: str, path: Path) -> str:
    with DebFile(path) as deb:
        control = str(deb.debcontrol())
    entry = local.binaries[name].file
    assert entry is not None  # read_deb has measured it
    return f"{control.rstrip()}\nFilename: ./{path.name}\nSize: {entry.size}\nSHA256: {entry.sha256}\n"
