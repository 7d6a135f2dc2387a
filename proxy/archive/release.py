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
# One message and nothing else, as apt wants it; within the text a line that begins with a dash has another one before.
_CLEARSIGNED = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:Hash: [A-Za-z0-9, -]+\r?\n)*\r?\n(?:(?!-)[^\n]*\n|- [^\n]*\n)*"
    rb"-----BEGIN PGP SIGNATURE-----\r?\n(?:(?!-)[^\n]*\n)*-----END PGP SIGNATURE-----\s*"
)
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
    origin: str = ""
    label: str = ""
    snapshots: str = ""  # address pattern of its snapshot service, with @SNAPSHOTID@; "no": it has none

    def packages(self, components: Sequence[str], architectures: Sequence[str]) -> dict[str, IndexFile]:
        """The Packages files of these components: name without compression -> the file to fetch.

        No components means an archive without dists/, whose only index lies beside the Release.
        A suite may lack an architecture or component (apt says so and goes on); what it lacks is left out.
        """
        wanted = [*architectures, *(["all"] if self.all_is_apart and "all" not in architectures else [])]
        names = [f"{c}/binary-{a}/Packages" for c in components for a in wanted] if components else ["Packages"]
        found = {name: self._best(name) for name in names}
        return {name: file for name, file in found.items() if file is not None}

    def sources(self, components: Sequence[str]) -> dict[str, IndexFile]:
        """The Sources files of these components, as packages() has the Packages files."""
        names = [f"{c}/source/Sources" for c in components] if components else ["Sources"]
        found = {name: self._best(name) for name in names}
        return {name: file for name, file in found.items() if file is not None}

    def _best(self, name: str) -> IndexFile | None:
        return next((self.files[name + c] for c in COMPRESSIONS if name + c in self.files), None)


def parse_release(text: str, *, where: str) -> Release:
    """Read the text a signature was checked over.

    Raises PipelineError for a Release without Date or SHA256, and for one that says something twice: the signature
    of its owner is good, but two readers could take it for two different things.
    """
    value = _fields(text, where)
    if "date" not in value or "sha256" not in value:
        raise PipelineError("a Release file without Date or SHA256 cannot be pinned", where=where)
    architectures = tuple(value.get("architectures", "").split())
    return Release(
        codename=value.get("codename", ""),
        suite=value.get("suite", ""),
        date=instant(value["date"], where),
        valid_until=instant(value["valid-until"], where) if "valid-until" in value else None,
        architectures=architectures,
        all_is_apart="all" in architectures
        and "Packages" not in value.get("no-support-for-architecture-all", "").split(),
        by_hash=value.get("acquire-by-hash", "").lower() == "yes",
        files=_files(value["sha256"], where),
        origin=value.get("origin", ""),
        label=value.get("label", ""),
        snapshots=value.get("snapshots", ""),
    )


def _fields(text: str, where: str) -> dict[str, str]:
    """Lower-case name -> value. One stanza: after an empty line nothing more may come, as for apt."""
    lines: dict[str, list[str]] = {}
    last, ended = "", False
    # Not splitlines(): it also breaks at signs that are no line ends for whoever else reads the file.
    for raw in text.split("\n"):
        line = raw.removesuffix("\r")
        if not line.strip(" \t"):
            ended = ended or bool(lines)
        elif ended:
            raise PipelineError("a Release file with more than one stanza", where=where)
        elif line[0] in " \t":
            if last:
                lines[last].append(line)
        else:
            name, colon, rest = line.partition(":")
            last = name.lower()
            if not colon or last in lines:
                what = f"the field {name[:80]!r} twice" if colon else f"not a field: {line[:80]!r}"
                raise PipelineError(f"a Release file with {what}", where=where)
            lines[last] = [rest]
    return {name: "\n".join(values).strip() for name, values in lines.items()}


def instant(text: str, where: str) -> datetime:
    """A date as Release files have it, in UTC. Raises PipelineError."""
    try:
        at = parsedate_to_datetime(re.sub(r"\b(UTC|Z)$", "+0000", text.strip()))
        return (at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)).replace(microsecond=0)
    except (ValueError, OverflowError) as e:
        raise PipelineError(f"not a date: {text[:80]!r}", where=where) from e


def _files(lines: str, where: str) -> dict[str, IndexFile]:
    found: dict[str, IndexFile] = {}
    for line in lines.split("\n"):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or not re.fullmatch(r"[0-9a-f]{64}", words[0]) or not re.fullmatch(r"[0-9]{1,18}", words[1]):
            raise PipelineError(f"not a line of SHA256: {line.strip()[:120]!r}", where=where)
        file = IndexFile(words[2], words[0], int(words[1]))
        if found.setdefault(file.path, file) != file:
            raise PipelineError(f"SHA256 has {file.path[:120]!r} twice, with different contents", where=where)
    return found


def judge(
    release: Release, *, suite: str, now: datetime, allow_expired: bool, where: str, skew: timedelta = CLOCK_SKEW
) -> None:
    """Refuse a Release that is of another suite, from after an instant, or past its Valid-Until then.

    now: the instant, of the present or of a snapshot. skew: how much later it may be signed; none for a snapshot.
    Raises PipelineError.
    """
    asked = suite.split("/", maxsplit=1)[0]
    names = {release.codename, release.suite} - {""}
    # "trixie/updates" is what security archives were called: the Release says "trixie" or the whole of it.
    if not suite.endswith("/") and names and not {asked, suite} & names:
        raise PipelineError(
            f"this is {' or '.join(sorted(names))}, not {suite}",
            where=where,
            hint="somebody serves another suite there",
        )
    if release.date > now + skew:
        if not skew:
            raise PipelineError(
                f"signed at {release.date:%Y-%m-%d %H:%M:%S} UTC, after {now:%Y-%m-%d %H:%M:%S} UTC", where=where
            )
        raise PipelineError(
            f"signed at {release.date:%Y-%m-%d %H:%M:%S} UTC, which is in the future",
            where=where,
            hint="set this machine's clock",
        )
    if release.valid_until is not None and release.valid_until <= now and not allow_expired:
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
    if not _CLEARSIGNED.fullmatch(inrelease):
        raise _not_good(keyrings, "not one clear-signed text and nothing else", where)
    with scratch(cache) as folder:
        file, output = folder / "InRelease", folder / "Release"
        file.write_bytes(inrelease)
        gpgv: _Words = ["--output", output, file]
        sqv: _Words = ["--cleartext", "--output", output, file]
        signer, reason = _signer(folder, keyrings, gpgv, sqv, where)
        if signer and output.exists():
            # Not read_text(): it would take the carriage returns of a text for line ends.
            return output.read_bytes().decode("utf-8", errors="replace"), signer
    raise _not_good(keyrings, reason, where)


def verify_detached(data: bytes, signature: bytes, keyrings: Sequence[Path], *, cache: Path, where: str) -> str:
    """Check a file against a signature beside it: fingerprint of the primary key that signed. Raises like verify()."""
    with scratch(cache) as folder:
        file, beside = folder / "Release", folder / "Release.gpg"
        file.write_bytes(data)
        beside.write_bytes(signature)
        signer, reason = _signer(folder, keyrings, [beside, file], [beside, file], where)
    if not signer:
        raise _not_good(keyrings, reason, where)
    return signer


_Words = Sequence[str | Path]


def _signer(folder: Path, keyrings: Sequence[Path], gpgv: _Words, sqv: _Words, where: str) -> tuple[str, str]:
    """(who signed, "" for nobody; what the program said last). gpgv, sqv: what follows the keyring, for each."""
    program = next((path for name in ("gpgv", "sqv") if (path := shutil.which(name, path=BASE_ENV["PATH"]))), None)
    if program is None:
        raise SurroundingsError("neither gpgv nor sqv is installed", where=where, hint="apt-get install gpgv")
    keys = folder / "keys.gpg"
    keys.write_bytes(b"".join(_binary_keyring(path) for path in keyrings))
    if Path(program).name == "gpgv":
        # gpgv ends with 2 for a file that also carries a signature by an unknown key, which is fine.
        command: _Words = [program, "--homedir", folder, "--status-fd", "1", "--keyring", keys, *gpgv]
        said = run(["sh", "-c", '"$@" 2>&1 || :', "sh", *command])
        signer = gpgv_signer(said)
    else:
        try:
            said = run([program, "--keyring", keys, *sqv])
            signer = min(said.split(), default="")
        except CommandError as e:
            said, signer = e.what, ""
    reasons = [line for line in said.splitlines() if line.strip() and not line.startswith("[GNUPG:]")]
    return signer, reasons[-1].strip() if reasons else ""


def _not_good(keyrings: Sequence[Path], reason: str, where: str) -> PipelineError:
    return PipelineError(
        f"no good signature by a key of {', '.join(map(str, keyrings)) or 'any keyring'}"
        + (f" ({reason})" if reason else ""),
        where=where,
        hint="a wrong or old keyring, or a file changed on its way",
    )


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
