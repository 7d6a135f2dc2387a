"""What records say of a layer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from image_builder.build.history import explain, find, records
from image_builder.build.record import RECORD_NAME, BuildRecord, LayerRecord
from image_builder.cli.explain import explain as command
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.lock import Lock


def layer(key: str, name: str, below: str | None = None, **inputs: str) -> LayerRecord:
    return LayerRecord.model_validate(
        {"key": key * 16, "name": name, "kind": "chroot", "below": below and below * 16, "targets": ("one",),
         "action": "built", "reason": "changed: hook", "inputs": inputs}
    )  # fmt: skip


def record(*layers: LayerRecord) -> BuildRecord:
    return BuildRecord.model_validate(
        {
            "started": "2026-09-12T08:00:00Z", "seconds": 1, "status": "done", "source_date_epoch": 1, "tools": {},
            "asked": BuildConfig(architecture="amd64").model_dump(mode="json"), "targets": (), "layers": layers,
            "lock": Lock.model_validate({"created": "2026-09-12T08:00:00Z"}),
        }
    )  # fmt: skip


NEW = record(layer("ba5e", "base"), layer("0101", "chroot base/x.chroot", "ba5e", hook="2", config="c", new="n"))
OLD = record(layer("ba5e", "base"), layer("0202", "chroot base/x.chroot", "ba5e", hook="1", config="c", old="o"))
ELSEWHERE = record(layer("0404", "chroot base/x.chroot", None, hook="9"))


def test_which_input_changed_from_what_to_what() -> None:
    found = explain("x.chroot", [("new", NEW), ("same", NEW), ("elsewhere", ELSEWHERE), ("old", OLD)])
    assert found.place == ("base", "chroot base/x.chroot")
    assert found.before is not None
    assert (found.before[0], found.before[1].key) == ("old", "0202" * 16)
    assert (found.inputs.changed, found.inputs.added, found.inputs.removed) == (
        {"hook": ("1", "2")}, {"new": "n"}, {"old": "o"},
    )  # fmt: skip
    assert not found.below_changed


def test_a_layer_that_only_stands_on_another_one() -> None:
    other = record(layer("ba5f", "base"), layer("0303", "chroot base/x.chroot", "ba5f", **dict(NEW.layers[1].inputs)))
    found = explain("0101", [("new", NEW), ("other", other)])
    assert found.below_changed
    assert not found.inputs


def test_the_first_of_its_kind() -> None:
    assert explain("base", [("new", NEW)]).before is None


@pytest.mark.parametrize("wanted", ["0101", "01010101", "chroot base/x.chroot", "x.chroot"])
def test_by_key_and_by_name(wanted: str) -> None:
    assert find(wanted, NEW).key == "0101" * 16


@pytest.mark.parametrize(("wanted", "said"), [("nothing", "no layer is called 'nothing'"), ("b", "are several layers")])
def test_none_and_several_are_refused_with_what_there_is(wanted: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        find(wanted, NEW)
    assert "base (ba5eba5eba5e)" in str(caught.value)


def test_the_newest_is_the_latest_also_where_the_clock_was_set_back(tmp_path: Path) -> None:
    for name, one in (("2026-09-12T08.00.00Z", NEW), ("2026-09-12T09.00.00Z", OLD), ("2026-09-12T07.00.00Z", OLD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD_NAME).write_text(one.text())
    (tmp_path / "latest").symlink_to("2026-09-12T08.00.00Z")
    assert [name[11:13] for name, _ in records(tmp_path)] == ["08", "09", "07"]


def test_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no build yet"):
        CliRunner().invoke(command, ["base", "-C", str(tmp_path)], catch_exceptions=False)
    for name, one in (("2026-09-12T08.00.00Z", OLD), ("2026-09-12T09.00.00Z", NEW)):
        (tmp_path / "builds" / name).mkdir(parents=True)
        (tmp_path / "builds" / name / RECORD_NAME).write_text(one.text())
    (tmp_path / "builds/2026-09-12T10.00.00Z").mkdir()  # killed before its record
    assert [name for name, _ in records(tmp_path / "builds")] == ["2026-09-12T09.00.00Z", "2026-09-12T08.00.00Z"]
    words = ["x.chroot", "-C", str(tmp_path)]
    said = CliRunner().invoke(command, words, catch_exceptions=False).stdout
    assert "  against 2026-09-12T08.00.00Z (020202020202):\n" in said
    assert "    ~ hook: 1 => 2\n" in said
    told = json.loads(CliRunner().invoke(command, [*words, "--json"], catch_exceptions=False).stdout)
    assert told["inputs"]["changed"] == {"hook": ["1", "2"]}
