"""Release and Release.gpg made of an InRelease, for clients that know none: the same text, the same signature."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from image_builder.errors import PipelineError
from proxy.archive.release import verify_detached

_WHOLE = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\n(?:Hash: [A-Za-z0-9, -]+\n)*\n"
    rb"(?P<text>.*)\n(?P<signature>-----BEGIN PGP SIGNATURE-----\n.*\n-----END PGP SIGNATURE-----)\n*",
    re.DOTALL,
)


def derive(inrelease: bytes) -> tuple[bytes, bytes] | None:
    """(Release, Release.gpg) of a clear-signed file; None for one whose signature could not be good over a file.

    A clear-signed text is signed without the line end before the signature, and without blanks at the ends of lines:
    so the Release has no line end at its end, and a text with such blanks is refused. Pure: who uses the
    pair verifies it.
    """
    match = _WHOLE.fullmatch(inrelease.replace(b"\r\n", b"\n"))
    if match is None or match["text"].count(b"\n-----BEGIN PGP") or re.search(rb"[ \t\r](\n|$)", match["text"]):
        return None
    lines = match["text"].split(b"\n")
    if any(line.startswith(b"-") and not line.startswith(b"- ") for line in lines):
        return None
    return b"\n".join(line.removeprefix(b"- ") for line in lines), match["signature"] + b"\n"


def verified(inrelease: bytes, keyrings: Sequence[Path], *, cache: Path, where: str) -> tuple[bytes, bytes] | None:
    """The pair, if its signature is good by the same keys; None: such clients have to be refused."""
    pair = derive(inrelease)
    if pair is None:
        return None
    try:
        verify_detached(*pair, keyrings, cache=cache, where=where)
    except PipelineError:
        return None
    return pair
