"""Release files: who signed one, and what the signed text says."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from image_builder.errors import CommandError, PipelineError, SurroundingsError
from image_builder.run import BASE_ENV, run
from image_builder.scratch import scratch

COMPRESSIONS = (".xz", ".gz", "")  # best first: what can be read with Python alone
CLOCK_SKEW = timedelta(minutes=10)
WEAK_DIGESTS = frozenset({"1", "2", "3"})  # MD5, SHA-1, RIPEMD-160 in RFC 4880's numbers; apt trusts none of them


@dataclass(frozen=True)
class IndexFile:
    """One file a Release vouches for."""

    path: str  # below the folder of the Release: "main/binary-amd64/Packages.xz"
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Release:
    """What the signed text of a Release file says."""

    codename: str
    suite: str
    date: datetime
    valid_until: datetime | None
    architectures: tuple[str, ...]
    all_is_apart: bool  # Architecture: all has Packages files of its own, which apt reads as well
    by_hash: bool
    files: Mapping[str, IndexFile]

    def packages(self, components: Sequence[str], architectures: Sequence[str]) -> dict[str, IndexFile]:
        """The Packages files of these components: name without compression -> the file to fetch.

        No components means an archive without dists/, whose only index lies beside the Release.
        A suite may lack an architecture or component (apt says so and goes on); what it lacks is left out.
        """
        wanted = [*architectures, *(["all"] if self.all_is_apart and "all" not in architectures else [])]
        names = [f"{c}/binary-{a}/Packages" for c in components for a in wanted] if components else ["Packages"]
        found = {name: self._best(name) for name in names}
        return {name: file for name, file in found.items() if file is not None}

    def _best(self, name: str) -> IndexFile | None:
        return next((self.files[name + c] for c in COMPRESSIONS if name + c in self.files), None)


def parse_release(text: str, *, where: str) -> Release:
    """Read the text a signature was checked over. Raises PipelineError for a Release without Date or SHA256."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t") and last:
            fields[last] += line + "\n"
        elif ":" in line:
            name, _, rest = line.partition(":")
            last = name.strip().lower()
            fields[last] = rest.strip() + "\n"
    value = {name: lines.strip() for name, lines in fields.items()}
    if "date" not in value or "sha256" not in value:
        raise PipelineError("a Release file without Date or SHA256 cannot be pinned", where=where)
    architectures = tuple(value.get("architectures", "").split())
    return Release(
        codename=value.get("codename", ""),
        suite=value.get("suite", ""),
        date=_instant(value["date"], where),
        valid_until=_instant(value["valid-until"], where) if "valid-until" in value else None,
        architectures=architectures,
        all_is_apart="all" in architectures
        and "Packages" not in value.get("no-support-for-architecture-all", "").split(),
        by_hash=value.get("acquire-by-hash", "").lower() == "yes",
        files=_files(value["sha256"], where),
    )


def _instant(text: str, where: str) -> datetime:
    try:
        at = parsedate_to_datetime(text.replace("UTC", "+0000"))
    except ValueError as e:
        raise PipelineError(f"not a date: {text!r}", where=where) from e
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)).replace(microsecond=0)


def _files(lines: str, where: str) -> dict[str, IndexFile]:
    found: dict[str, IndexFile] = {}
    for line in lines.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or not re.fullmatch(r"[0-9a-f]{64}", words[0]) or not words[1].isdecimal():
            raise PipelineError(f"not a line of SHA256: {line.strip()[:120]!r}", where=where)
        found[words[2]] = IndexFile(words[2], words[0], int(words[1]))
    return found


def judge(release: Release, *, suite: str, now: datetime, allow_expired: bool, where: str) -> None:
    """Refuse a Release that is of another suite, from the future, or past its Valid-Until. Raises PipelineError."""
    asked = suite.split("/", maxsplit=1)[0]
    names = {release.codename, release.suite} - {""}
    if not suite.endswith("/") and names and asked not in names:
        raise PipelineError(
            f"this is {' or '.join(sorted(names))}, not {suite}",
            where=where,
            hint="somebody serves another suite there",
        )
    if release.date > now + CLOCK_SKEW:
        raise PipelineError(
            f"signed at {release.date:%Y-%m-%d %H:%M:%S} UTC, which is in the future",
            where=where,
            hint="set this machine's clock",
        )
    if release.valid_until is not None and release.valid_until < now and not allow_expired:
        raise PipelineError(
            f"not valid since {release.valid_until:%Y-%m-%d %H:%M:%S} UTC: a stale mirror, or one that hides updates",
            where=where,
            hint="use another mirror, or say that an expired Release is wanted",
        )


def verify(inrelease: bytes, keyrings: Sequence[Path], *, cache: Path, where: str) -> tuple[str, str]:
    """Check a clear-signed file: (the text the signature covers, fingerprint of the primary key that signed).

    The text is what gpgv or sqv put out, never the input: what stands around the signed part is not believed.
    Either program will do, since apt itself needs one of them. A key that has expired since it signed is refused by
    gpgv and accepted by sqv, which judges it by the time of the signature. Raises PipelineError for a file none of
    the keys has signed; SurroundingsError where a keyring or both programs are missing.
    """
    program = next((path for name in ("gpgv", "sqv") if (path := shutil.which(name, path=BASE_ENV["PATH"]))), None)
    if program is None:
        raise SurroundingsError("neither gpgv nor sqv is installed", where=where, hint="apt-get install gpgv")
    with scratch(cache) as folder:
        signed, output, keys = (folder / part for part in ("InRelease", "Release", "keys.gpg"))
        signed.write_bytes(inrelease)
        keys.write_bytes(b"".join(_binary_keyring(path) for path in keyrings))
        if Path(program).name == "gpgv":
            command: list[str | Path] = [
                program,
                "--homedir",
                folder,
                "--status-fd",
                "1",
                "--keyring",
                keys,
                "--output",
                output,
                signed,
            ]
            # gpgv ends with 2 for a file that also carries a signature by an unknown key, which is fine.
            said = run(["sh", "-c", '"$@" 2>&1 || :', "sh", *command])
            signer = gpgv_signer(said)
        else:
            try:
                said = run([program, "--keyring", keys, "--cleartext", "--output", output, signed])
                signer = min(said.split(), default="")
            except CommandError as e:
                said, signer = e.what, ""
        if not signer or not output.exists():
            reasons = [line for line in said.splitlines() if line.strip() and not line.startswith("[GNUPG:]")]
            raise PipelineError(
                f"no good signature by a key of {', '.join(map(str, keyrings)) or 'any keyring'}"
                + (f" ({reasons[-1].strip()})" if reasons else ""),
                where=where,
                hint="a wrong or old keyring, or a file changed on its way",
            )
        return output.read_text("utf-8", errors="replace"), signer


def gpgv_signer(status: str) -> str:
    """Who signed, from gpgv's status lines: of the primary keys of good signatures the first in order, "" for none.

    A bad signature anywhere spoils the file. VALIDSIG alone is not enough: gpgv says it of expired and revoked
    keys too, after EXPKEYSIG or REVKEYSIG in the place of GOODSIG.
    """
    signers: list[str] = []
    good = False
    for line in status.splitlines():
        if not line.startswith("[GNUPG:] "):
            continue
        words = line.split()[1:]
        match words[:1]:
            case ["BADSIG"]:
                return ""
            case ["NEWSIG" | "EXPKEYSIG" | "REVKEYSIG" | "EXPSIG" | "ERRSIG" | "GOODSIG"]:
                good = words[0] == "GOODSIG"
            case ["VALIDSIG"] if good and len(words) >= 11 and words[8] not in WEAK_DIGESTS:
                signers.append(words[10])
    return min(signers, default="")


def _binary_keyring(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as e:
        raise SurroundingsError(
            f"the keyring cannot be read: {e.strerror}", where=path, hint="apt-get install debian-archive-keyring"
        ) from e
    # gpgv reads no ASCII armour, which config/archives/*.key and most third parties use.
    blocks = re.findall(
        rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", data, re.S
    )
    if not blocks:
        return data
    keys = b""
    for block in blocks:
        body = re.split(rb"\r?\n[ \t]*\r?\n", block, maxsplit=1)[-1]
        lines = [line for line in body.split() if not line.startswith(b"=")]  # "=xxxx" is the checksum
        try:
            keys += base64.b64decode(b"".join(lines), validate=True)
        except ValueError as e:
            raise PipelineError(f"not an armoured key: {e}", where=path) from e
    return keys
