"""What apt in a chroot reads, as it is laid out for one build."""

from __future__ import annotations

from pathlib import Path

import pytest
from assignments import BUILT, DEBIAN, assignment

from image_builder.archive.builder import recipe
from image_builder.archive.builder.perform import settings_of_apt
from image_builder.errors import SurroundingsError


def test_sources_preferences_and_keys(tmp_path: Path) -> None:
    secret = tmp_path / "secret/keys.asc"
    secret.parent.mkdir(mode=0o700)
    secret.write_text("a key")
    secret.chmod(0o600)
    made = assignment(sources=(DEBIAN.model_copy(update={"signed_by": (secret,)}),), repository=BUILT)
    bind = settings_of_apt(made, tmp_path / "job/apt")
    assert bind.target == recipe.APT
    lines = (bind.source / "sources.list").read_text().splitlines()
    assert lines == recipe.source_lines(made)
    key = bind.source / "keys" / recipe.key_name(secret)
    assert f"signed-by={recipe.KEYS}/{key.name}]" in lines[0]
    assert (key.read_text(), key.suffix, key.stat().st_mode & 0o777) == ("a key", ".asc", 0o644)
    assert (bind.source / "preferences").read_text() == recipe.preferences(made)
    assert {path.stat().st_mode & 0o777 for path in (bind.source, bind.source / "keys")} == {0o755}


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    made = assignment(sources=(DEBIAN.model_copy(update={"signed_by": (tmp_path / "gone.gpg",)}),))
    with pytest.raises(SurroundingsError, match="keys of a source cannot be read"):
        settings_of_apt(made, tmp_path / "apt")
