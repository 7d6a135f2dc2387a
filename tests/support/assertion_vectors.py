"""Real assertions to hold the verifier against, where this machine has them; else ones of the same kinds, made here.

They are published by Canonical and belong to it, so this project carries only those it cannot do without (the pinned
root of trust). SNAP_ASSERTION_VECTORS names the folder with the rest; without it, vectors/assertions is looked for in
the folders beside the checkout. Names begin with what they are: trusted, generic, staging, store, stream.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assertion_signer import Authority, SigningKey, sign, stream

from snaps.assertions import pinned

PROJECT = Path(__file__).parents[2]

# The key the public store signs with: its account-key is nowhere published whole, but the key follows from two of its
# signatures, and has the right id.
STORE_KEY_ID = "BWDEoaqyr25nF5SNCvEv2v7QnM9QsfCc0PBMYD_i2NGSQ32EF2d4D0hqUel3m8ul"
STORE_KEY = """\
AcbBTQRWhcGAARAA0KKYYQWuHOrsFVi4p4l7ZzSvX7kLgJFFeFgOkzdWKBTHEnsMKjl5mefFe9ji
qe8NlmJdfY7BenP7XeBtwKp700H/t9lLrZbpTNAPHXYxEWFJp5bPqIcJYBZ+29oLVLN1Tc5X482R
vCiDqL8+pPYqBrK2fNlyPlNNSum9wI70rDDL4r6FVvr+osTnGejibdV8JphWX+lrSQDnRSdM8KJi
UM43vTgLGTi9W54oRhsA2OFexRfRksTrnqGoonCjqX5wO3OFSaMDzMsO2MJ/hPfLgDqw53qjzuKL
Iec9OL3k5basvu2cj5u9tKwVFDsCKK2GbKUsWWpx2KTpOifmhmiAbzkTHbH9KaoMS7p0kJwhTQGA
o9aJ9VMTWHJc/NCBx7eu451u6d46sBPCXS/OMUh2766fQmoRtO1OwCTxsRKG2kkjbMn54UdFULl9
VfzvyghMNRKIezsEkmM8wueTqGUGZWa6CEZqZKwhe/PROxOPYzqtDH18XZknbU1n5lNb7vNfem9F
2ai+3+JyFnW9UhfvpVF7gzAgdyCqNli4C6BIN43uwoS8HkykocZS/+Gv52aUQ/NZ8BKOHLw+7ant
Q0o8W9ltSLZbEMxFIPSN0stiZlkXAp6DLyvh1Y4wXSynDjUondTpej2fSvSlCz/W5v5V7qA4nIcG
vUvV7RjVzv17ut0AEQEAAQ=="""


@dataclass(frozen=True)
class Vectors:
    """files: name -> bytes. The key that signed store.* and the user's key of streams stand with their ids."""

    files: Mapping[str, bytes]
    store_key_id: str
    store_key: str

    def named(self, *starts: str) -> dict[str, bytes]:
        return {name: data for name, data in self.files.items() if name.split(".")[0] in starts}


def folder() -> Path | None:
    """Where the real ones are, if anywhere."""
    if given := os.environ.get("SNAP_ASSERTION_VECTORS"):
        return Path(given)
    return next(iter(sorted(PROJECT.parent.glob("*/vectors/assertions"))), None)


def load(authority: Authority) -> Vectors:
    """The real ones, or the same cast played by an authority of the test."""
    place = folder()
    if place is not None:
        files = {path.name: path.read_bytes() for path in sorted(place.glob("*.assert"))}
        return Vectors(files, STORE_KEY_ID, STORE_KEY)
    key = SigningKey()
    user = {
        "type": "system-user",
        "authority-id": "someone",
        "brand-id": "someone",
        "email": "someone@example.com",
        "models": ["pc", "pi"],
        "name": "Some One",
        "since": "2024-01-01T00:00:00Z",
        "until": "2034-01-01T00:00:00Z",
        "username": "someone",
        "password": "$6$salt$hash",
    }
    hex_hash = "5a" * 48
    made = {
        "trusted.account.assert": pinned.ACCOUNT.encode(),
        "trusted.account-key.assert": pinned.ROOT_KEY.encode(),
        "generic.account.assert": pinned.GENERIC_ACCOUNT.encode(),
        "generic.account-key.assert": pinned.GENERIC_MODELS_KEY.encode(),
        "generic.model.assert": pinned.GENERIC_CLASSIC.encode(),
        "staging.account.assert": authority.root_account,
        "staging.account-key.assert": authority.root_account_key,
        "staging.brand.account.assert": authority.brand_account,
        "staging.models.account-key.assert": authority.models_account_key,
        "staging.store.account-key.assert": authority.store_account_key,
        "staging.model.assert": authority.model(),
        "store.snap-declaration.assert": authority.snap_declaration("y" * 32, "word-salad", "someone"),
        "store.snap-revision.assert": authority.snap_revision(hex_hash, 8192, "y" * 32, 7, "someone"),
        "stream.user.assert": stream(
            authority.account("someone", "someone"), authority.account_key("someone", key, "key"), sign(user, key)
        ),
    }
    return Vectors(made, authority.store.id, authority.store.body)
