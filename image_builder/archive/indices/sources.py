"""Sources indices into source packages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from image_builder.archive.indices import words
from image_builder.archive.indices.stanzas import stanzas
from image_builder.archive.indices.versions import key
from image_builder.archive.model import PackageListEntry, SourcePackage

FIELDS = (
    "Package",
    "Version",
    "Section",
    "Priority",
    "Architecture",
    "Binary",
    "Package-List",
    "Build-Depends",
    "Build-Depends-Arch",
    "Build-Depends-Indep",
    "Build-Conflicts",
    "Build-Conflicts-Arch",
    "Build-Conflicts-Indep",
    "Directory",
    "Checksums-Sha256",
    "Extra-Source-Only",
    "Testsuite",
)


def read_sources(path: Path, component: str = "main") -> list[SourcePackage]:
    """All stanzas of a Sources index, in its order; a source may stand there in several versions.

    Raises PipelineError, with the stanza, for a name, version, architecture or path that cannot be one.
    """
    return [
        source_of(stanza, component, words.place(path, stanza.get("Package", ""))) for stanza in stanzas(path, FIELDS)
    ]


def latest(sources: Iterable[SourcePackage]) -> dict[str, SourcePackage]:
    """name -> its highest version. What is there only for Built-Using is not built and left out; of equals the last."""
    newest: dict[str, SourcePackage] = {}
    for source in sources:
        if source.extra_source_only:
            continue
        other = newest.get(source.name)
        if other is None or key(source.version) >= key(other.version):
            newest[source.name] = source
    return newest


def source_of(stanza: Mapping[str, str], component: str, where: str) -> SourcePackage:
    """The source package of one stanza; where: for errors. Raises PipelineError."""
    get = stanza.get
    return SourcePackage(
        name=words.package_name(get("Package", ""), where),
        version=words.version(get("Version", ""), where),
        component=component,
        section=get("Section", ""),
        priority=get("Priority", ""),
        architectures=words.architectures(get("Architecture", ""), where),
        binaries=tuple(get("Binary", "").replace(",", " ").split()),
        package_list=package_list(get("Package-List", "")),
        build_depends=flat(get("Build-Depends", "")),
        build_depends_arch=flat(get("Build-Depends-Arch", "")),
        build_depends_indep=flat(get("Build-Depends-Indep", "")),
        build_conflicts=flat(get("Build-Conflicts", "")),
        build_conflicts_arch=flat(get("Build-Conflicts-Arch", "")),
        build_conflicts_indep=flat(get("Build-Conflicts-Indep", "")),
        directory=words.relative_path(get("Directory", ""), where),
        files=words.files(get("Checksums-Sha256", ""), where),
        extra_source_only=get("Extra-Source-Only", "").lower() == "yes",
        testsuite=flat(get("Testsuite", "")),
    )


def package_list(text: str) -> tuple[PackageListEntry, ...]:
    """The lines of Package-List: name, kind, section, priority, then words like arch=any,all."""
    entries = []
    for line in text.split("\n"):
        parts = line.split()
        if len(parts) < 4:
            continue
        name, kind, section, priority, *more = parts
        architectures: tuple[str, ...] = ("any",)
        profiles, essential = "", False
        for word in more:
            name_, _, value = word.partition("=")
            if name_ == "arch":
                architectures = tuple(value.split(","))
            elif name_ == "profile":
                profiles = value
            elif name_ == "essential":
                essential = value == "yes"
        entries.append(PackageListEntry(name, kind, section, priority, architectures, profiles, essential))
    return tuple(entries)


def flat(text: str) -> str:
    """A folded field on one line."""
    return " ".join(text.split()) if "\n" in text else text
