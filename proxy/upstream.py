"""The way out: straight to a host or through a company's proxy, and with which login."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from image_builder.errors import ConfigError
from proxy import credentials

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Settings:
    """What the configuration says of the way out; None: what the environment or apt's files say."""

    http_proxy: str | None = field(default=None, repr=False)  # "http://[user:password@]host:port"; "": none
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None
    auth_files: tuple[Path, ...] | None = None


@dataclass(frozen=True)
class Proxy:
    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Route:
    """Where a connection goes. Two addresses with equal routes can share one."""

    scheme: str
    host: str
    port: int
    proxy: Proxy | None = None


_settings = Settings()


def configure(settings: Settings) -> None:
    """From now on, for the whole process. Raises ConfigError for a proxy that cannot be used."""
    global _settings  # noqa: PLW0603 - one process has one way out, and everything that reads an address takes it
    for scheme, proxy in (("http", settings.http_proxy), ("https", settings.https_proxy)):
        _proxy(proxy or "", f"{scheme}_proxy", [])
    _settings = settings


def settings() -> Settings:
    """What was configured last: a process that is started passes it on."""
    return _settings


def shown(url: str) -> str:
    """An address as it may be written down: a login in it, and what a query may hold, are left out."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query and "...", ""))


def route(url: str, environ: Mapping[str, str] = os.environ) -> Route:
    """How to reach an http or https address. Raises ConfigError for an address or a proxy that cannot be used."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        host.encode("idna")
    except (ValueError, KeyError) as e:
        raise ConfigError("not an http or https address", where=shown(url)) from e
    if "@" in parts.netloc:
        raise ConfigError(
            "has a login in the address, which would be written into locks, logs and lists",
            where=shown(url),
            hint=f"/etc/apt/auth.conf.d/NAME.conf: machine {parts.scheme}://{host} login NAME password WORD",
        )
    return Route(parts.scheme, host, port, _proxy_for(parts.scheme, host, port, environ))


def authorization(url: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The Authorization header for exactly this address; asked again for each redirect."""
    login = credentials.find(url, _logins(environ))
    return login.header() if login else None


def _logins(environ: Mapping[str, str]) -> list[credentials.Login]:
    files = credentials.FILES if _settings.auth_files is None else _settings.auth_files
    return credentials.known(environ, files)


def _proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    configured = _settings.http_proxy if scheme == "http" else _settings.https_proxy
    names = [f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    proxy = configured if configured is not None else next((environ[n] for n in names if environ.get(n)), "")
    without = _settings.no_proxy
    if without is None:
        without = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not proxy or bypassed(host, port, without):
        return None
    return _proxy(proxy, names[0], _logins(environ))


def bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Whether a host is reached without the proxy. no_proxy: names (with all below them), addresses, networks, "*".

    >>> bypassed("deb.corp.example", 80, "localhost, .corp.example"), bypassed("10.1.2.3", 80, "10.0.0.0/8")
    (True, True)
    """
    for entry in no_proxy.lower().replace(",", " ").split():
        name, colon, wanted = entry.rpartition(":")
        if colon and wanted.isdigit() and "]" not in wanted and (name.count(":") == 0 or name.endswith("]")):
            if int(wanted) != port:
                continue
        else:
            name = entry
        name = name.strip("[]").removeprefix("*").strip(".") if entry != "*" else entry
        if name in ("*", host) or (name and host.endswith(f".{name}")):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:
            continue
    return False


def _proxy(text: str, where: str, logins: list[credentials.Login]) -> Proxy | None:
    if not text:
        return None
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        parts, host, port = urlsplit("none:"), "", 0
    if parts.scheme != "http" or not host:
        raise ConfigError(
            f"{shown(url)} is not a proxy that can be used here", where=where, hint="http://[NAME:WORD@]HOST:PORT"
        )
    if parts.username:
        return Proxy(host, port, credentials.basic(unquote(parts.username), unquote(parts.password or "")))
    login = credentials.find(f"http://{parts.netloc}/", logins)
    return Proxy(host, port, login.header() if login else None)
