"""The build record: one JSON file per build, with a published schema (record.schema.json beside this module)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from image_builder.lock import Lock

RECORD_NAME = "build-record.json"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArtefactRecord(_Model):
    """One published file."""

    file: str = Field(description="name in the build's folder")
    size_bytes: int
    sha256: str = Field(description="hex; empty for a folder")
    tree_sha256: str = Field(
        default="", description="of a folder: over path, type, mode, owner, attributes and content of all in it"
    )


class TargetRecord(_Model):
    """What became of one image target."""

    name: str
    status: Literal["done", "failed", "stopped"]
    artefacts: tuple[ArtefactRecord, ...] = ()
    layers: tuple[str, ...] = Field(description="keys of its layers, lowest first")
    manifest: str = Field(default="", description="package manifest in the build's folder")
    files: str = Field(default="", description="file list in the build's folder")
    snaps: dict[str, int] = Field(default_factory=dict, description="seeded snaps: name -> revision")
    sbom: str = Field(default="", description="bill of materials (SPDX 2.3, JSON) in the build's folder")
    seconds: float = Field(description="of the steps done for it in this build, shared ones included")
    error: str = ""


class LayerRecord(_Model):
    """One layer of the plan: what it is, what was decided, and why."""

    key: str
    name: str
    kind: str
    below: str | None
    targets: tuple[str, ...]
    action: Literal["built", "reused", "skipped", "failed", "blocked", "stopped"]
    reason: str
    began_s: float | None = Field(default=None, description="seconds after the build's start, if it ran in it")
    seconds: float = 0.0
    size_bytes: int = 0
    source_date_epoch: int | None = None
    inputs: dict[str, str] = Field(default_factory=dict, description="what the key is made of, beside the key below")
    log: str = ""
    notes: tuple[str, ...] = Field(default=(), description="what the step said for the record, when it was built")


class NetworkRecord(_Model):
    """What the steps reached. pinned: nothing but the snapshot proxy; the counts are its own."""

    pinned: bool = Field(description="false: --no-snapshot, the steps had the live network")
    stamp: str = Field(default="", description="the instant the archive was seen at, YYYYMMDDTHHMMSSZ")
    requests: int = 0
    sent_bytes: int = 0
    from_store: int = 0
    fetched: int = 0
    from_other_builds: int = 0
    fetched_bytes: int = 0
    refused: int = Field(default=0, description="not named by the lock, or not from an archive of this build")
    failed: int = Field(default=0, description="named by the lock, and not to be had")
    refusals: dict[str, str] = Field(default_factory=dict, description="address -> reason, the first hundred")
    failures: dict[str, str] = Field(default_factory=dict, description="address -> reason, the first hundred")
    blocked: dict[str, int] = Field(
        default_factory=dict, description='what was tried past the proxy, "tcp 192.0.2.1 port 22" -> packets'
    )
    names: dict[str, int] = Field(default_factory=dict, description='names looked up, "deb.debian.org A" -> times')


class JobRecord(_Model):
    """One of several builds that were joined."""

    name: str
    targets: tuple[str, ...]
    status: Literal["done", "failed", "stopped"]
    seconds: float


class BuildRecord(_Model):
    """Everything a later reader needs to know of one build."""

    version: Literal[1] = 1
    started: str = Field(description="UTC, ISO 8601")
    seconds: float
    status: Literal["done", "failed", "stopped"]
    asked: dict[str, Any] = Field(description="the configuration, with every default")
    lock: Lock
    source_date_epoch: int
    tools: dict[str, str]
    targets: tuple[TargetRecord, ...]
    layers: tuple[LayerRecord, ...]
    hooks: dict[str, str] = Field(default_factory=dict, description="every file of hooks.d: path -> SHA-256")
    jobs: tuple[JobRecord, ...] = Field(default=(), description="when it was joined from builds on several machines")
    network: NetworkRecord | None = Field(default=None, description="null: no step was run")
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> BuildRecord | None:
        """The record of a build's folder; None where there is none that can be read."""
        try:
            return cls.model_validate_json((folder / RECORD_NAME).read_text())
        except (OSError, ValueError):
            return None


def schema() -> dict[str, Any]:
    """The published JSON Schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **BuildRecord.model_json_schema(by_alias=True, mode="serialization"),
    }
