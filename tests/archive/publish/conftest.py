"""A small rebuilt archive with real packages, and a key to sign it with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from published import DATE, Rebuilt

from image_builder.archive.publish.signing import Signer


@pytest.fixture(scope="session")
def signer() -> Iterator[Signer]:
    with tempfile.TemporaryDirectory() as folder:
        yield Signer.own(Path(folder), DATE - 1000)


@pytest.fixture
def rebuilt(tmp_path: Path, signer: Signer) -> Rebuilt:
    made = Rebuilt(tmp_path, signer)
    made.build("hello", {"hello": "amd64", "hello-doc": "all"})
    made.build("extra", {"extra": "amd64"}, component="contrib")
    made.source("hello")
    return made
