"""The questions one can ask the store: which revision, which cohort, what is there; an assertion, a snap's bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

import requests

from snaps.store import answers
from snaps.store.answers import Offer, Question
from snaps.store.settings import Settings
from snaps.store.transport import Transport

FIELDS = (
    "architectures", "base", "confinement", "download", "epoch", "name", "publisher", "revision", "snap-id", "type",
    "version",
)  # fmt: skip
INFO_FIELDS = (
    "architectures", "base", "channel-map", "confinement", "download", "license", "name", "publisher", "revision",
    "snap-id", "summary", "type", "version",
)  # fmt: skip


class StoreClient:
    """Safe in threads. Everything it gives is unverified but for its form; assertions say what is true."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._transport = Transport(settings)

    def offers(self, questions: Sequence[Question]) -> list[Offer]:
        """Which revision each question means now, in one request. Raises as answers.offers() and Transport do."""
        if not questions:
            return []
        url = f"{self.settings.api}/v2/snaps/refresh"
        body = {"context": [], "actions": answers.actions(questions), "fields": list(FIELDS)}
        return answers.offers(questions, self._transport.json("POST", url, body, self._device()), where=url)

    def cohorts(self, names: Sequence[str]) -> dict[str, str]:
        """A new cohort key for each snap. Raises NotFoundError for an unknown one."""
        url = f"{self.settings.api}/v2/cohorts"
        value = self._transport.json("POST", url, {"snaps": list(names)}, self._device())
        return answers.cohort_keys(names, value, where=url)

    def info(self, name: str) -> dict[str, Any]:
        """What the store tells of a snap: name, snap-id, snap, channel-map. To look at: it knows of no cohorts."""
        url = f"{self.settings.api}/v2/snaps/info/{quote(name, safe='')}"
        query = f"?architecture={quote(self.settings.architecture)}&fields={quote(','.join(INFO_FIELDS))}"
        return answers.check_info(name, self._transport.json("GET", url + query, headers=self._device()), where=url)

    def assertion(self, kind: str, primary_key: Sequence[str], *, max_format: int) -> bytes:
        """The newest revision of one assertion, as the store has it: not verified. Raises NotFoundError.

        max_format: the highest format of this type the caller understands; the store then sends no higher one.
        """
        parts = "/".join(quote(part, safe="") for part in (kind, *primary_key))
        url = f"{self.settings.assertions}/v2/assertions/{parts}?max-format={max_format}"
        return self._transport.read(
            "GET", url, headers={"Accept": "application/x.ubuntu.assertion", **self._old_names()}
        )

    def download(self, url: str, *, offset: int = 0) -> AbstractContextManager[requests.Response]:
        """The bytes of a snap from an offset on, whatever the answer's status. Raises as Transport.open() does."""
        headers = {"Accept-Encoding": "identity", "X-Ubuntu-Classic": "true", **self._old_names()}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        if not self.settings.cdn:
            headers["Snap-CDN"] = "none"
        return self._transport.open("GET", url, headers=headers)

    def _device(self) -> Mapping[str, str]:
        found = {
            "Snap-Device-Series": self.settings.series,
            "Snap-Device-Architecture": self.settings.architecture,
            "Snap-Classic": "true",
            "Snap-Device-Capabilities": "default-tracks",
        }
        return {**found, **({"Snap-Device-Store": self.settings.store_id} if self.settings.store_id else {})}

    def _old_names(self) -> Mapping[str, str]:
        """The headers of snapd's first API, which downloads and assertions are still asked with."""
        found = {"X-Ubuntu-Series": self.settings.series, "X-Ubuntu-Architecture": self.settings.architecture}
        return {**found, **({"X-Ubuntu-Device-Store": self.settings.store_id} if self.settings.store_id else {})}
