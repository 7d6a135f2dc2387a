"""The build record and its published schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from image_builder.build import record as records
from image_builder.build.record import ArtefactRecord, BuildRecord, LayerRecord, TargetRecord, schema
from image_builder.config import BuildConfig
from image_builder.lock import ArchivePin, Lock

SCHEMA_FILE = Path(records.__file__).with_name("record.schema.json")
AT = datetime(2026, 9, 12, 7, 55, 41, tzinfo=UTC)
RECORD = BuildRecord(
    started="2026-09-12T08:00:00Z",
    seconds=12.5,
    status="failed",
    asked=BuildConfig(architecture="amd64", keyring=Path("/k")).model_dump(mode="json"),
    lock=Lock(
        created=AT,
        archives=(
            ArchivePin.model_validate(
                {
                    "uri": "http://deb.debian.org/debian",
                    "suite": "trixie",
                    "codename": "trixie",
                    "components": ["main"],
                    "architectures": ["amd64"],
                    "inrelease_sha256": "0" * 64,
                    "date": AT,
                    "signer": "A" * 40,
                    "from": "http://deb.debian.org/debian/dists/trixie/InRelease",
                }
            ),
        ),
    ),
    source_date_epoch=1700000000,
    tools={"live-build": "1:20250505"},
    targets=(
        TargetRecord(
            name="qcow2",
            status="done",
            layers=("a" * 64,),
            seconds=3.5,
            artefacts=(ArtefactRecord(file="livecd.debian.qcow2", size_bytes=5, sha256="0" * 64),),
        ),
        TargetRecord(name="vmdk", status="failed", layers=(), seconds=0, error="timeout"),
    ),
    layers=(
        LayerRecord(key="a" * 64, name="base", kind="base", below=None, targets=("qcow2",), action="built", reason="x"),
    ),
    warnings=("one",),
)


def test_the_published_schema_is_the_one_of_the_code() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == schema()
    jsonschema.Draft202012Validator.check_schema(schema())


def test_a_record_holds_to_its_schema() -> None:
    jsonschema.validate(json.loads(RECORD.text()), schema())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "good"}, "'good' is not one of"),
        ({"version": 2}, "1 was expected"),
        ({"more": 1}, "Additional properties"),
        ({"seconds": "long"}, "is not of type 'number'"),
        ({"lock": {}}, "is a required property"),
    ],
)
def test_what_is_no_record_is_refused_by_it(change: dict[str, Any], message: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match=message):
        jsonschema.validate({**json.loads(RECORD.text()), **change}, schema())


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "build-record.json").write_text(RECORD.text())
    assert BuildRecord.read(tmp_path) == RECORD
    assert RECORD.text().endswith("}\n")


@pytest.mark.parametrize("text", [None, "", "{}", "[1", '{"version": 2}'])
def test_what_cannot_be_read_is_no_record(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "build-record.json").write_text(text)
    assert BuildRecord.read(tmp_path) is None
