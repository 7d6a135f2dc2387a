"""Which suites of which archives a build takes packages from, in the words of sources.list(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from image_builder.errors import ConfigError
from proxy.credentials import without_logins

DEBIAN_URI = "http://deb.debian.org/debian"
DEBIAN_SECURITY_URI = "http://deb.debian.org/debian-security"
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ROLLING = frozenset({"sid", "unstable", "experimental", "rc-buggy"})  # no -updates and no -security beside them
SCHEMES = frozenset({"http", "https", "file", "copy"})


@dataclass(frozen=True)
class Source:
    """One suite of one archive."""

    uri: str  # without a slash at the end
    suite: str  # "trixie"; one that ends in "/" is the path of an archive without dists/ and components
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    signed_by: tuple[Path, ...] = ()  # keyrings of which any may sign; empty: the build's own
    trusted: bool = False  # [trusted=yes]: no signature is asked for
    source_packages: bool = False  # its Sources are wanted too (deb-src)

    def __post_init__(self) -> None:
        if "@" in urlsplit(self.uri).netloc:
            raise ConfigError(
                "an address with a login in it, which would be written into locks and logs",
                where=without_logins(self.uri),
                hint="put it into /etc/apt/auth.conf.d/NAME.conf: machine [http://]HOST login NAME password WORD",
            )

    @property
    def top(self) -> str:
        """Address of the folder that holds InRelease, with a slash at the end."""
        if self.suite.endswith("/"):
            return f"{self.uri}/{self.suite}"  # "./" as it is: apt asks for it so, and names its lists by it
        return f"{self.uri}/dists/{self.suite}/"

    def line(self, *, options: Mapping[str, str] = {}) -> str:
        """This source as one line of sources.list, for exactly these architectures."""
        words = {"arch": ",".join(self.architectures), **({"trusted": "yes"} if self.trusted else {}), **options}
        square = " ".join(f"{name}={value}" for name, value in words.items())
        return " ".join(["deb", f"[{square}]", self.uri, self.suite, *self.components])


def debian(
    suite: str,
    architecture: str,
    *,
    components: Sequence[str] = ("main",),
    uri: str = DEBIAN_URI,
    security_uri: str = DEBIAN_SECURITY_URI,
    keyring: Path = DEBIAN_KEYRING,
) -> list[Source]:
    """What a Debian system of this suite has in its sources.list: the release, its updates, its security updates."""
    wanted = [(uri, suite)]
    if suite not in ROLLING:
        wanted += [(uri, f"{suite}-updates"), (security_uri, f"{suite}-security")]
    return [Source(u.rstrip("/"), s, tuple(components), (architecture,), (keyring,)) for u, s in wanted]


def merged(sources: Iterable[Source]) -> list[Source]:
    """One source per (uri, suite), in first-seen order, with the components and architectures of all of them.

    apt reads one InRelease for all lines that name the same suite; so does the lock.
    """
    seen: dict[tuple[str, str], Source] = {}
    for source in sources:
        key = (source.uri, source.suite)
        if (other := seen.get(key)) is None:
            seen[key] = source
            continue
        seen[key] = Source(
            *key,
            components=tuple(dict.fromkeys(other.components + source.components)),
            architectures=tuple(dict.fromkeys(other.architectures + source.architectures)),
            signed_by=tuple(dict.fromkeys(other.signed_by + source.signed_by)),
            trusted=other.trusted and source.trusted,
            source_packages=other.source_packages or source.source_packages,
        )
    return list(seen.values())


def parse(
    text: str, *, where: str | Path, architecture: str, keyrings: Sequence[Path] = (), source_packages: bool = False
) -> list[Source]:
    """The sources in a file of config/archives/ or sources.list.d/, either of apt's two formats.

    where: the file, for errors; its suffix .sources (also before .chroot or .binary) says deb822. architecture:
    taken where the entry names none. keyrings: those that may sign where the entry has no Signed-By of its
    own. Disabled entries are left out, and deb-src unless source_packages says otherwise. Raises ConfigError naming
    the line.
    """
    name = re.sub(r"\.(chroot|binary)$", "", str(where))
    entries = _deb822(text, where) if name.endswith(".sources") else _one_line(text, where)
    found: list[Source] = []
    for line, types, uris, suites, components, options in entries:
        if "deb" not in types and not (source_packages and "deb-src" in types):
            continue
        signed_by = tuple(Path(p) for p in options.get("signed-by", "").split(",") if p.startswith("/")) or tuple(
            keyrings
        )
        architectures = tuple(filter(None, options.get("arch", "").split(","))) or (architecture,)
        for uri in uris:
            if "@" in urlsplit(uri).netloc:
                raise ConfigError(
                    f"line {line}: an address with a login in it, which would be written into locks and logs",
                    where=where,
                    hint="put it into /etc/apt/auth.conf.d/NAME.conf: machine [http://]HOST login NAME password WORD",
                )
            if urlsplit(uri).scheme not in SCHEMES:
                raise ConfigError(
                    f"line {line}: {uri!r} is not an address apt could read here",
                    where=where,
                    hint=f"it begins with one of {', '.join(sorted(SCHEMES))}",
                )
            for suite in suites:
                if bool(components) == suite.endswith("/"):
                    raise ConfigError(
                        f"line {line}: {suite!r} needs {'no components' if components else 'a component'}",
                        where=where,
                        hint="a suite has components (main); a path that ends in / has none",
                    )
                trusted = options.get("trusted", "no").lower() in ("yes", "true", "1")
                also = source_packages and "deb-src" in types
                found.append(Source(uri.rstrip("/"), suite, components, architectures, signed_by, trusted, also))
    return found


_Entry = tuple[int, tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...], dict[str, str]]
_ONE_LINE = re.compile(
    r"(?P<type>deb|deb-src)\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)"
)


def _one_line(text: str, where: str | Path) -> list[_Entry]:
    entries: list[_Entry] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        match = _ONE_LINE.fullmatch(line)
        if match is None:
            raise ConfigError(
                f"line {number}: not a source: {without_logins(raw.strip())[:120]!r}",
                where=where,
                hint="deb [options] ADDRESS SUITE COMPONENT...",
            )
        options = dict(word.partition("=")[::2] for word in (match["options"] or "").split())
        options = {name.rstrip("+-").lower(): value for name, value in options.items()}
        entries.append(
            (number, (match["type"],), (match["uri"],), (match["suite"],), tuple(match["rest"].split()), options)
        )
    return entries


def _deb822(text: str, where: str | Path) -> list[_Entry]:
    entries: list[_Entry] = []
    fields: dict[str, str] = {}
    start, last = 1, ""
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        if raw.startswith("#"):
            continue
        if not raw.strip():
            if fields and fields.get("enabled", "yes").lower() not in ("no", "false", "0"):
                entries.append(_stanza(fields, start, where))
            fields, last = {}, ""
        elif raw[0] in " \t" and last:
            fields[last] += "\n" + raw.strip()
        elif ":" in raw and raw[0] not in " \t":
            start = start if fields else number
            last = raw.partition(":")[0].strip().lower()
            fields[last] = raw.partition(":")[2].strip()
        else:
            raise ConfigError(
                f"line {number}: not a field: {without_logins(raw.strip())[:120]!r}", where=where, hint="Name: value"
            )
    return entries


def _stanza(fields: Mapping[str, str], start: int, where: str | Path) -> _Entry:
    missing = [name for name in ("types", "uris", "suites") if not fields.get(name)]
    if missing:
        raise ConfigError(f"line {start}: no {', '.join(m.capitalize() for m in missing)}", where=where)
    options = {"trusted": fields.get("trusted", "no"), "arch": ",".join(fields.get("architectures", "").split())}
    if (signed_by := fields.get("signed-by", "")).startswith("/"):
        options["signed-by"] = ",".join(signed_by.split())
    words = {name: tuple(fields.get(name, "").split()) for name in ("types", "uris", "suites", "components")}
    return start, words["types"], words["uris"], words["suites"], words["components"], options
