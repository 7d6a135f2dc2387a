from __future__ import annotations

from pathlib import Path

import pytest

from image_builder.errors import CommandError
from proxy.blobs import Blobs
from proxy.store.share import pull, push


@pytest.fixture
def here(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "here/sha256", shared=())


@pytest.fixture
def there(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "there/sha256", shared=())


def names(store: Blobs) -> set[str]:
    return {path.name for path in store.folder.iterdir()}


def test_pull(here: Blobs, there: Blobs) -> None:
    common, mine, theirs = here.add(b"common"), here.add(b"mine"), there.add(b"theirs")
    there.add(b"common")
    (there.folder / ".coming.part").write_bytes(b"x")
    assert pull(here, str(there.folder)).taken == (theirs,)
    assert names(here) == {common, mine, theirs}
    assert pull(here, str(there.folder)).taken == ()
    assert not list(here.folder.parent.glob("tmp/*/[!.]*"))


def test_what_is_not_what_its_name_says_is_refused(here: Blobs, there: Blobs) -> None:
    bad = there.add(b"theirs")
    there.path(bad).write_bytes(b"wrong")
    assert pull(here, str(there.folder)).refused == (bad,)
    assert names(here) == set()


def test_push(here: Blobs, there: Blobs) -> None:
    mine, _ = here.add(b"mine"), there.add(b"theirs")
    push(here, str(there.folder))
    assert there.read(mine) == b"mine"
    assert len(names(there)) == 2


def test_no_such_store(here: Blobs, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="HOST:FOLDER/sha256"):
        pull(here, str(tmp_path / "nowhere"))
