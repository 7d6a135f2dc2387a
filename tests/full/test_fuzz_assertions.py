"""The parser and the verifier under a fuzzer that goes by coverage, for a bounded time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import assertion_vectors
import pytest
from assertion_signer import Authority

pytestmark = pytest.mark.full

SECONDS = 60


def test_nothing_but_refusals(tmp_path: Path, snap_authority: Authority) -> None:
    corpus, made = tmp_path / "corpus", tmp_path / "made"
    for folder in (corpus, made):
        folder.mkdir()
    by = snap_authority
    texts = [
        *assertion_vectors.load(by).files.values(),
        by.account_key("test-root", by.store, "x", format="1", constraints=[{"headers": {"type": "model"}}]),
        by.snap_declaration("x" * 32, "hello", "dev", revision_authority=[{"account-id": "x", "provenance": ["y"]}]),
        by.snap_revision("ab" * 48, 1, "x" * 32, 1, "dev", provenance="own"),
    ]
    for number, text in enumerate(texts):
        (corpus / str(number)).write_bytes(text)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fuzz_assertions.py"), made, corpus, f"-max_total_time={SECONDS}",
         "-max_len=6000", "-timeout=10", f"-artifact_prefix={tmp_path}/"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=SECONDS * 3,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr
    assert not [path.name for path in tmp_path.iterdir() if path.is_file()]
