"""The build record and its published schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from finished_build_fixtures import build_record, layer_record

from image_builder.build import record as records
from image_builder.build.record import ArtefactRecord, BuildRecord, TargetRecord, schema

SCHEMA_FILE = Path(records.__file__).with_name("record.schema.json")
RECORD = build_record(
    status="failed",
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
    layers=(layer_record("base", kind="base", targets=("qcow2",)),),
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
