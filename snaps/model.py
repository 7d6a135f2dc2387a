"""Model assertions: what a device, or a whole kind of classic system, has for snaps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from image_builder.errors import ConfigError
from snaps.assertions.headers import Value, texts
from snaps.assertions.parse import Assertion, parse_stream
from snaps.assertions.refused import RefusedError
from snaps.assertions.trust import TrustRoot, generic_classic

_KINDS = ("app", "base", "core", "gadget", "kernel", "snapd")


@dataclass(frozen=True)
class ModelSnap:
    """A snap the model names. snap_id: "" where it leaves that open. optional: it may be missing."""

    name: str
    snap_id: str
    kind: str
    channel: str
    optional: bool


@dataclass(frozen=True)
class Model:
    """grade: "" for models made before Ubuntu Core 20, which say less of their snaps. required: names of snaps."""

    assertion: Assertion
    classic: bool
    architecture: str
    base: str
    grade: str
    required: tuple[str, ...]
    snaps: tuple[ModelSnap, ...]

    @property
    def where(self) -> str:
        return self.assertion.where


@dataclass(frozen=True)
class Given:
    """A model to seed with, what proves it, and the trust root that believes its file to be unchanged."""

    assertion: Assertion
    proofs: tuple[Assertion, ...]
    trust: TrustRoot


def choose(path: Path | None, trust: TrustRoot) -> Given:
    """The model in a file, with what else stands there; without one generic-classic, or that of the trust root's file.

    Raises ConfigError, RefusedError.
    """
    if path is None:
        return _default(trust)
    try:
        found = parse_stream(path.read_bytes(), where=str(path))
    except OSError as e:
        raise ConfigError(f"the model cannot be read: {e.strerror or e}", where=path) from e
    models = [one for one in found if one.kind == "model"]
    if len(models) != 1:
        raise RefusedError(f"holds {len(models)} models where one should be", where=path)
    return Given(models[0], tuple(one for one in found if one is not models[0]), trust.vouched(models))


def _default(trust: TrustRoot) -> Given:
    generic = generic_classic()
    if generic in trust.predefined:
        return Given(generic, (), trust)
    models = [one for one in trust.others if one.kind == "model"]
    if len(models) != 1:
        raise ConfigError(
            "this root of trust does not know generic-classic, and no model is given",
            where="model",
            hint="give one with --model, or put it into the trust root's file with the keys that prove it",
        )
    return Given(models[0], tuple(one for one in trust.others if one is not models[0]), trust)


def read(assertion: Assertion) -> Model:
    """Read a model. Raises RefusedError for one that is not understood."""
    where = assertion.where
    classic = assertion.optional("classic")
    if classic not in ("", "true", "false"):
        raise RefusedError(f"classic is {classic!r}, neither true nor false", where=where)
    snaps = _snaps(assertion.headers["snaps"], where) if "snaps" in assertion.headers else ()
    required = texts(assertion.headers.get("required-snaps", []))
    if required is None:
        raise RefusedError("required-snaps is no list of names", where=where)
    # A gadget or kernel may be pinned to a track: pc=18.
    hardware = [assertion.optional(name).partition("=")[0] for name in ("gadget", "kernel")]
    return Model(
        assertion,
        classic == "true",
        assertion.optional("architecture"),
        assertion.optional("base"),
        (assertion.optional("grade") or "signed") if snaps else "",
        tuple(dict.fromkeys(name for name in (*hardware, *required) if name)),
        snaps,
    )


def _snaps(value: Value, where: str) -> tuple[ModelSnap, ...]:
    if not isinstance(value, list):
        raise RefusedError("snaps is no list", where=where)
    found: dict[str, ModelSnap] = {}
    for item in value:
        if not isinstance(item, dict):
            raise RefusedError("snaps has an entry that is no map", where=where)
        name, presence = _text(item, "name", where), _text(item, "presence", where) or "required"
        kind = _text(item, "type", where) or "app"
        if not name or name in found or kind not in _KINDS or presence not in ("required", "optional"):
            raise RefusedError(f"snaps has an entry that is not understood: {name!r}", where=where)
        channel = _text(item, "default-channel", where) or "latest/stable"
        found[name] = ModelSnap(name, _text(item, "id", where), kind, channel, presence == "optional")
    return tuple(found.values())


def _text(item: dict[str, Value], name: str, where: str) -> str:
    value = item.get(name, "")
    if not isinstance(value, str):
        raise RefusedError(f"{name} of a snap is no text", where=where)
    return value
