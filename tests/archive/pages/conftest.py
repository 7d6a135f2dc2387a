"""A rebuild to look at; nobody changes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from seen_rebuild import Seen

from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(tmp_path_factory.mktemp("seen")).make()


@pytest.fixture
def view(seen: Seen) -> Iterator[Database]:
    with open_database(seen.address) as database:
        yield database
