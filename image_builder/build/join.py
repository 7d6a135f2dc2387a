"""Several builds of one project, made on several machines from one lock, joined into one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from image_builder.artifacts import collect
from image_builder.build.record import RECORD_NAME, BuildRecord, JobRecord, LayerRecord, TargetRecord
from image_builder.errors import ConfigError, PipelineError
from image_builder.files import write_whole

# What of the configuration may differ between jobs: which part they built, and how their machine went about it.
OF_THE_JOB = frozenset({"targets", "store", "snapshot_store_size", "output", "jobs", "keep_going", "timeout_s"})


@dataclass(frozen=True)
class Part:
    """The build of one job. name: what errors call it."""

    name: str
    folder: Path
    record: BuildRecord


def find(folders: Iterable[Path]) -> list[Part]:
    """The builds in these folders: a build's own, one with builds/latest or latest, or one of such folders.

    Raises ConfigError for a folder without a build.
    """
    found: list[Part] = []
    for folder in folders:
        places = [p for p in (folder, folder / "latest", folder / "builds/latest") if (p / RECORD_NAME).is_file()][:1]
        places = places or sorted(p.parent for p in folder.glob(f"*/{RECORD_NAME}"))
        if not places:
            raise ConfigError("holds no build", where=folder, hint=f"a build's folder has a {RECORD_NAME}")
        for place in places:
            record = BuildRecord.read(place)
            if record is None:
                hint = "made by another version of image-builder, or cut short on its way?"
                raise ConfigError("cannot be read as a build record", where=place / RECORD_NAME, hint=hint)
            found.append(Part(str(place), place, record))
    return found


def disagreements(parts: Sequence[Part]) -> list[str]:
    """In which ways builds were not made of the same, in words that name both; empty when they fit. Pure."""
    said: list[str] = []
    first = parts[0]
    for other in parts[1:]:
        both = f"{first.name} and {other.name}"
        if first.record.lock.digest != other.record.lock.digest:
            said.append(f"{both} were built from different locks")
        for what, one, two in (
            ("configuration", _asked(first), _asked(other)),
            ("tools", first.record.tools, other.record.tools),
            ("hooks.d", first.record.hooks, other.record.hooks),
        ):
            if different := sorted(name for name in {*one, *two} if one.get(name) != two.get(name)):
                said.append(f"{both} differ in {what}: {', '.join(different)}")
        if first.record.source_date_epoch != other.record.source_date_epoch:
            said.append(f"{both} have different dates: SOURCE_DATE_EPOCH {first.record.source_date_epoch} and "
                        f"{other.record.source_date_epoch}")  # fmt: skip
    return said + _other_steps(parts)


def _asked(part: Part) -> Mapping[str, object]:
    return {name: value for name, value in part.record.asked.items() if name not in OF_THE_JOB}


def _other_steps(parts: Sequence[Part]) -> list[str]:
    """Steps of one name on the same layer that are two different ones, which they cannot be with the same inputs."""
    said: list[str] = []
    seen: dict[tuple[str | None, str, str], tuple[str, LayerRecord]] = {}
    for part in parts:
        for layer in part.record.layers:
            owner, other = seen.setdefault((layer.below, layer.kind, layer.name), (part.name, layer))
            if other.key != layer.key and not set(other.targets) & set(layer.targets):
                names = sorted({*other.inputs, *layer.inputs})
                different = [name for name in names if other.inputs.get(name) != layer.inputs.get(name)]
                # IMAGE_TARGET is meant to differ between targets
                if different and different != ["environment IMAGE_TARGET"]:
                    said.append(f"{owner} and {part.name} differ in the step {layer.name}: {', '.join(different)}")
    return said


def merged(parts: Sequence[Part]) -> BuildRecord:
    """One record of all. A target two jobs built counts as done when one of them finished it. Pure."""
    targets: dict[str, TargetRecord] = {}
    layers: dict[str, LayerRecord] = {}
    for part in parts:
        for target in part.record.targets:
            if target.name not in targets or targets[target.name].status != "done":
                targets[target.name] = target
        for layer in part.record.layers:
            before = layers.get(layer.key)
            if before is None or (before.action != "built" and layer.action == "built"):
                wanted = dict.fromkeys([*(before.targets if before else ()), *layer.targets])
                layers[layer.key] = layer.model_copy(update={"targets": tuple(wanted)})
            else:
                wanted = dict.fromkeys([*before.targets, *layer.targets])
                layers[layer.key] = before.model_copy(update={"targets": tuple(wanted)})
    first = min(parts, key=lambda part: part.record.started).record
    statuses = {target.status for target in targets.values()}
    return first.model_copy(
        update={
            "seconds": max(part.record.seconds for part in parts),
            "status": next((s for s in ("failed", "stopped") if s in statuses), "done"),
            "asked": {**first.asked, "targets": list(targets)},
            "targets": tuple(targets.values()),
            "layers": tuple(layers.values()),
            "jobs": tuple(
                JobRecord(
                    name=part.name,
                    targets=tuple(t.name for t in part.record.targets),
                    status=part.record.status,
                    seconds=part.record.seconds,
                )
                for part in parts
            ),
            "warnings": tuple(dict.fromkeys(w for part in parts for w in part.record.warnings)),
        }
    )


def clashes(parts: Sequence[Part]) -> list[str]:
    """Artefacts of one name with different content, in words that name both jobs. Pure."""
    seen: dict[str, tuple[str, str]] = {}
    said: list[str] = []
    for part in parts:
        for artefact in (a for target in part.record.targets for a in target.artefacts):
            owner, digest = seen.setdefault(artefact.file, (part.name, artefact.sha256))
            if digest != artefact.sha256:
                said.append(f"{artefact.file}: {owner} and {part.name} made different files")
    return list(dict.fromkeys(said))


def join(parts: Sequence[Part], folder: Path, *, expected: Sequence[str] = ()) -> BuildRecord:
    """Write the joined build into an empty or new folder; returns its record.

    Every artefact is hashed on its way. expected: targets that must be there. Raises PipelineError, before anything
    is written, for builds that do not fit together, a file that is not what its record says, or missing targets.
    """
    if problems := [*disagreements(parts), *clashes(parts)]:
        raise PipelineError(
            "the builds do not fit together:\n  " + "\n  ".join(problems),
            where="collect",
            hint="build all from one checkout and one lock: image-builder build --lock FILE",
        )
    record = merged(parts)
    if missing := [name for name in expected if name not in {t.name for t in record.targets}]:
        raise PipelineError(f"no job has built {', '.join(missing)}", where="collect", hint="add their folders")
    artefacts = {}
    for part in parts:
        for target in part.record.targets:
            artefacts[f"{part.name} {target.name}"] = [_checked(part, a.file, a.sha256) for a in target.artefacts]
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise PipelineError("is not empty", where=folder, hint="choose another --output")
    unique = {artefact.name: artefact for group in artefacts.values() for artefact in group}
    for artefact in unique.values():
        collect.put(artefact, folder)
    for part in parts:
        for target in part.record.targets:
            for name in filter(None, (target.manifest, target.files, target.sbom)):
                if not (folder / name).exists():
                    write_whole(folder / name, (part.folder / name).read_text(errors="surrogateescape"))
        for layer in part.record.layers:
            if layer.log and (part.folder / layer.log).is_file() and not (folder / layer.log).exists():
                (folder / layer.log).parent.mkdir(exist_ok=True)
                write_whole(folder / layer.log, (part.folder / layer.log).read_text(errors="surrogateescape"))
    write_whole(folder / "SHA256SUMS", collect.checksums([unique[name] for name in sorted(unique)]))
    write_whole(folder / RECORD_NAME, record.text())
    return record


def _checked(part: Part, name: str, sha256: str) -> collect.Artefact:
    path = part.folder / name
    if not path.exists():
        raise PipelineError(
            "its record names it, but it is not there", where=path, hint="was it left behind on the way?"
        )
    if not sha256:
        return collect.Artefact(name, 0, "", path, part.name)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise PipelineError(
            f"SHA-256 is {found}, its record says {sha256}", where=path, hint="damaged on its way; fetch it again"
        )
    return collect.Artefact(name, path.stat().st_size, sha256, path, part.name)
