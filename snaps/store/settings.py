"""Which store is asked, for which architecture, as whom: snapd's own variables."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from image_builder.errors import ConfigError
from snaps.store import credentials
from snaps.store.credentials import Credentials

API = "https://api.snapcraft.io"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el"}


@dataclass(frozen=True)
class Settings:
    """api, assertions: addresses without a slash at the end; their hosts are the only ones that get credentials."""

    api: str = API
    assertions: str = API
    architecture: str = "amd64"
    series: str = "16"  # of the store, not of a distribution: there has been no other
    store_id: str = ""  # a brand store
    cdn: bool = True
    credentials: Credentials | None = field(default=None, repr=False)

    def is_own(self, url: str) -> bool:
        """Whether an address is the store's own, by scheme, host and port."""
        return origin(url) in {origin(self.api), origin(self.assertions)}


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address; the port by default where none is given."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def native_architecture() -> str:
    """Debian's name for this machine's architecture, which is the store's too."""
    return _MACHINES.get(platform.machine(), platform.machine())


def from_environment(
    environ: Mapping[str, str] = os.environ,
    *,
    architecture: str = "",
    series: str = "",
    store: str = "",
) -> Settings:
    """The settings for this environment; arguments that are not empty win. Raises ConfigError for a bad address."""
    api = environ.get("SNAPPY_FORCE_API_URL") or environ.get("UBUNTU_STORE_URL") or store or API
    assertions = environ.get("SNAPPY_FORCE_SAS_URL") or api
    return Settings(
        api=_address(api, "address of the store"),
        assertions=_address(assertions, "SNAPPY_FORCE_SAS_URL"),
        architecture=architecture or environ.get("UBUNTU_STORE_ARCH") or native_architecture(),
        series=series or environ.get("UBUNTU_STORE_SERIES") or "16",
        store_id=environ.get("UBUNTU_STORE_ID", ""),
        cdn=not environ.get("SNAPPY_STORE_NO_CDN"),
        credentials=credentials.from_environment(environ),
    )


def _address(url: str, where: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"{url!r} is no address", where=where, hint=f"like {API}")
    if parts.username or parts.password:
        raise ConfigError("holds a user or password", where=where, hint=f"credentials go into {credentials.VARIABLE}")
    return url.rstrip("/")
