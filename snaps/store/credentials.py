"""Store credentials as snapd's own tools take them. What is secret is in no text this module or its objects give."""

from __future__ import annotations

import base64
import binascii
import configparser
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from image_builder.errors import ConfigError
from snaps.store import macaroons

VARIABLE, FILE_VARIABLE = "UBUNTU_STORE_AUTH", "UBUNTU_STORE_AUTH_DATA_FILENAME"
_SECTION = "login.ubuntu.com"
_HINT = "make it with `snapcraft export-login FILE`; see docs/snaps.md"


class Credentials:
    """The value of the Authorization header; printed it is a row of stars."""

    def __init__(self, authorization: str) -> None:
        if not authorization.isprintable():
            raise ValueError("line breaks in credentials")
        self._authorization = authorization

    def header(self) -> str:
        """The secret itself: for a request to the store's own host, and for nothing else."""
        return self._authorization

    def __repr__(self) -> str:
        return "Credentials(***)"


def from_environment(environ: Mapping[str, str]) -> Credentials | None:
    """What UBUNTU_STORE_AUTH holds, else the file UBUNTU_STORE_AUTH_DATA_FILENAME names; None without both.

    Raises ConfigError that names the variable or the file, never a part of what is in it.
    """
    if text := environ.get(VARIABLE, "").strip():
        return parse(text, where=VARIABLE, only_base64=True)
    name = environ.get(FILE_VARIABLE, "").strip()
    if not name:
        return None
    try:
        text = Path(name).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigError("is no text", where=name, hint=_HINT) from None
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=name, hint=f"{FILE_VARIABLE} names it") from e
    return parse(text, where=name)


def parse(text: str, *, where: str, only_base64: bool = False) -> Credentials:
    """Read one of the three forms: base64 of JSON (snapcraft 7 and newer), JSON, or snapcraft's older INI file."""
    readers = (_base64_json,) if only_base64 else (_base64_json, _json, _ini)
    for reader in readers:
        try:
            found = reader(text)
        except (ValueError, KeyError, TypeError, AttributeError, configparser.Error, RecursionError):
            found = None
        if found is not None:
            return found
    # nothing of the text and no cause: both would show parts of the secret
    raise ConfigError("holds no credentials of a form that is known", where=where, hint=_HINT) from None


def _base64_json(text: str) -> Credentials | None:
    try:
        value: Any = json.loads(base64.b64decode("".join(text.split()), validate=True))
    except binascii.Error:
        return None
    if value.get("t") == "macaroon":
        return Credentials(f"Macaroon {_text(value['v'])}")
    if value.get("t") == "bearer":
        return Credentials(f"Bearer {_text(value['v'])}")
    if value.get("t") == "u1-macaroon":
        value = value["v"]
    return _from_macaroons(_text(value["r"]), [_text(value["d"])])


def _json(text: str) -> Credentials:
    value = json.loads(text)
    discharges = [_text(one) for one in value["discharges"]]
    if not discharges:
        raise ValueError("no discharge")
    return _from_macaroons(_text(value["macaroon"]), discharges)


def _ini(text: str) -> Credentials:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    section = parser[_SECTION]
    return _from_macaroons(_text(section["macaroon"]), [_text(section["unbound_discharge"])])


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or '"' in value:
        raise ValueError("no text")
    return value


def _from_macaroons(root: str, discharges: list[str]) -> Credentials:
    bound = "".join(f', discharge="{macaroons.bound(root, one)}"' for one in discharges)
    return Credentials(f'Macaroon root="{root}"{bound}')
