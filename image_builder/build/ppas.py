"""EXTRA_PPAS: archives at Launchpad, each with the key that Launchpad says it is signed with.

The lock remembers who signed, so a build with a lock asks Launchpad nothing; a key is fetched once and kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from image_builder.apt.keys import certificate
from image_builder.config import PPA, BuildConfig
from image_builder.errors import ConfigError, PipelineError
from image_builder.lock import Lock
from image_builder.scratch import scratch
from proxy import http

ANSWER_BYTES = 1 << 20  # Launchpad's description of an archive has a few thousand
KEY_BYTES = 8 << 20  # a key that many have signed
FINGERPRINT = re.compile(r"[0-9A-Fa-f]{40}")


@dataclass(frozen=True)
class Ppa:
    """One archive. priority: its pin, "" for apt's own choice."""

    owner: str
    name: str
    priority: str
    uri: str
    fingerprint: str  # 40 hexadecimal digits, capital
    key: bytes  # without armour

    @property
    def origin(self) -> str:
        """The Origin in its Release: the archive that is called just "ppa" goes by its owner alone."""
        return f"LP-PPA-{self.owner}" + ("" if self.name == "ppa" else f"-{self.name}")


def wanted(config: BuildConfig, lock: Lock | None, cache: Path) -> tuple[Ppa, ...]:
    """Every PPA that is asked for, with its key.

    lock: the one this build may use; the key it has on record is taken. None: Launchpad is asked. cache: where keys
    are kept. Raises ConfigError for a PPA that is not there or not public, SurroundingsError when nobody answers.
    """
    return tuple(_one(config, text, lock, cache) for text in config.extra_ppas)


def _one(config: BuildConfig, text: str, lock: Lock | None, cache: Path) -> Ppa:
    match = PPA.fullmatch(text)
    assert match is not None  # by BuildConfig
    owner, name = match["owner"], match["name"]
    uri = f"{config.ppa_mirror}/{owner}/{name}/ubuntu"
    pins = lock.archives if lock is not None else ()
    known = next((pin.signer for pin in pins if pin.uri == uri and FINGERPRINT.fullmatch(pin.signer)), "")
    fingerprint = known or _fingerprint(config, owner, name)
    return Ppa(owner, name, match["priority"] or "", uri, fingerprint, _key(config, fingerprint, cache))


def _fingerprint(config: BuildConfig, owner: str, name: str) -> str:
    """What Launchpad says."""
    address = f"{config.launchpad}/~{owner}/+archive/ubuntu/{name}"
    where = f"EXTRA_PPAS {owner}/{name}"
    try:
        answer = _fetched(address, ANSWER_BYTES)
    except http.NotThereError as e:
        raise ConfigError("is not at Launchpad, or not public", where=where, hint=f"asked: {address}") from e
    try:
        said = json.loads(answer)["signing_key_fingerprint"]
    except (ValueError, KeyError, TypeError) as e:
        raise PipelineError(f"says no signing_key_fingerprint: {answer[:200]!r}", where=address) from e
    if said is None:
        raise ConfigError("has no key yet: Launchpad makes one some time after the first package", where=where)
    if not (isinstance(said, str) and FINGERPRINT.fullmatch(said)):
        raise PipelineError(f"{said!r} is no fingerprint", where=address)
    return said.upper()


def _key(config: BuildConfig, fingerprint: str, cache: Path) -> bytes:
    """The key, from the cache or the key server. Whoever it comes from, its fingerprint is what was asked for."""
    kept = cache / "keys" / f"{fingerprint}.gpg"
    if kept.is_file():
        return certificate(kept.read_bytes(), fingerprint, where=str(kept))
    address = f"{config.keyserver}/pks/lookup?op=get&options=mr&search=0x{fingerprint}"
    found = certificate(_fetched(address, KEY_BYTES), fingerprint, where=address)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with scratch(cache) as folder:
        (folder / kept.name).write_bytes(found)
        (folder / kept.name).replace(kept)
    return found


def _fetched(address: str, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    http.stream(address, parts.append, parts.clear, max_bytes=max_bytes)
    return b"".join(parts)


def archives(ppas: Sequence[Ppa]) -> dict[str, bytes]:
    """Files of config/archives, under livecd-rootfs' names."""
    if not ppas:
        return {}
    pins = "".join(
        f"Package: *\nPin: release o={ppa.origin}\nPin-Priority: {ppa.priority}\n\n" for ppa in ppas if ppa.priority
    )
    files = {
        "list": "".join(f"deb {ppa.uri} @DISTRIBUTION@ main\n" for ppa in ppas).encode(),
        "key": b"".join(ppa.key for ppa in ppas),
        **({"pref": pins.encode()} if pins else {}),
    }
    return {f"extra-ppas.{kind}.{phase}": data for kind, data in files.items() for phase in ("chroot", "binary")}


def check(ppas: Sequence[Ppa], lock: Lock) -> None:
    """Each PPA is signed by its own key, and by no other's. Raises PipelineError."""
    signers = {pin.uri: pin.signer for pin in lock.archives}
    for ppa in ppas:
        if (signer := signers.get(ppa.uri, "")) != ppa.fingerprint:
            raise PipelineError(
                f"is signed by {signer or 'nobody'}, and Launchpad says {ppa.fingerprint}",
                where=f"EXTRA_PPAS {ppa.owner}/{ppa.name} ({urlsplit(ppa.uri).netloc})",
                hint="if Launchpad has given it another key, make a new lock with --update",
            )
