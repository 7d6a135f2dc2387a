"""Credentials in every form snapd's tools take, and nothing of them in what goes wrong."""

from __future__ import annotations

import base64
import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from image_builder.errors import ConfigError
from snaps.store.credentials import from_environment, parse
from snaps.store.macaroons import bound

# Made by another implementation of macaroons (pymacaroons 0.13): root, discharge, the discharge bound to the root.
VERSION_1 = (
    "MDAxYmxvY2F0aW9uIHN0b3JlLmV4YW1wbGUKMDAxNGlkZW50aWZpZXIgcm9vdAowMDBlY2lkIGEgPSBiCjAwMmZzaWduYXR1cmUg0WBl0--BlOlF"
    "zdylErbv4OSa-D1BIg_irCiIWoBVEGAK",
    "MDAxYmxvY2F0aW9uIGxvZ2luLmV4YW1wbGUKMDAxOWlkZW50aWZpZXIgZGlzY2hhcmdlCjAwMmZzaWduYXR1cmUgZ_6dyZJXxEGEqk9bl8o5Ugdy"
    "2eM6c_g54hoNZzgT2-oK",
    "MDAxYmxvY2F0aW9uIGxvZ2luLmV4YW1wbGUKMDAxOWlkZW50aWZpZXIgZGlzY2hhcmdlCjAwMmZzaWduYXR1cmUgP-jogHstqHlwglSk0SkIyOG9"
    "MU5Ty-SwAl64chltpYIK",
)
VERSION_2 = (
    "AgENc3RvcmUuZXhhbXBsZQIEcm9vdAACBWEgPSBiAAAGINFgZdPvgZTpRc3cpRK27-Dkmvg9QSIP4qwoiFqAVRBg",
    "AgENbG9naW4uZXhhbXBsZQIJZGlzY2hhcmdlAAAGIGf-ncmSV8RBhKpPW5fKOVIHctnjOnP4OeIaDWc4E9vq",
    "AgENbG9naW4uZXhhbXBsZQIJZGlzY2hhcmdlAAAGID_o6IB7Lah5cIJUpNEpCMjhvTFOU8vksAJeuHIZbaWC",
)
ROOT, DISCHARGE, BOUND = VERSION_1
HEADER = f'Macaroon root="{ROOT}", discharge="{BOUND}"'


def packed(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(("root", "discharge", "expected"), [VERSION_1, VERSION_2])
def test_a_discharge_is_bound_to_its_root(root: str, discharge: str, expected: str) -> None:
    assert bound(root, discharge) == expected


@pytest.mark.parametrize("bad", ["", "?", "AAAA", ROOT[:-4], base64.b64encode(b"\x03" + bytes(60)).decode()])
def test_what_is_no_macaroon(bad: str) -> None:
    for pair in ((bad, DISCHARGE), (ROOT, bad)):
        with pytest.raises(ValueError, match="a macaroon"):
            bound(*pair)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        pytest.param(
            packed({"t": "u1-macaroon", "v": {"r": ROOT, "d": DISCHARGE}}), HEADER, id="snapcraft 7, Ubuntu One"
        ),
        pytest.param(packed({"r": ROOT, "d": DISCHARGE}), HEADER, id="snapcraft 7, first form"),
        pytest.param(packed({"t": "macaroon", "v": "abc"}), "Macaroon abc", id="macaroon of a brand store"),
        pytest.param(packed({"t": "bearer", "v": "abc"}), "Bearer abc", id="bearer"),
        pytest.param(json.dumps({"macaroon": ROOT, "discharges": [DISCHARGE]}), HEADER, id="JSON"),
        pytest.param(f"[login.ubuntu.com]\nmacaroon = {ROOT}\nunbound_discharge = {DISCHARGE}\n", HEADER, id="INI"),
    ],
)
def test_forms(text: str, header: str, tmp_path: Path) -> None:
    assert parse(text, where="x").header() == header
    file = tmp_path / "login"
    file.write_text(f"{text}\n")
    found = from_environment({"UBUNTU_STORE_AUTH_DATA_FILENAME": str(file)})
    assert found is not None
    assert found.header() == header
    assert repr(found) == str(found) == "Credentials(***)"


def test_the_variable_wins_over_the_file_and_is_base64() -> None:
    text = packed({"t": "bearer", "v": "abc"})
    found = from_environment({"UBUNTU_STORE_AUTH": text, "UBUNTU_STORE_AUTH_DATA_FILENAME": "/nowhere"})
    assert found is not None
    assert found.header() == "Bearer abc"
    with pytest.raises(ConfigError, match="UBUNTU_STORE_AUTH: holds no credentials"):
        from_environment({"UBUNTU_STORE_AUTH": json.dumps({"macaroon": ROOT, "discharges": [DISCHARGE]})})
    assert from_environment({}) is None


@pytest.mark.parametrize(
    "text",
    [
        "SECRET",
        packed("SECRET"),
        packed({"t": "SECRET", "v": "SECRET"}),
        packed({"t": "bearer", "v": ""}),
        packed({"t": "bearer", "v": 'SECRET"'}),
        packed({"t": "bearer", "v": "SECRET\r\nX-Header: 1"}),
        packed({"r": "SECRET", "d": "SECRET"}),
        packed(["SECRET"]),
        json.dumps({"macaroon": "SECRET", "discharges": []}),
        json.dumps({"macaroon": "SECRET"}),
        "[login.ubuntu.com]\nmacaroon = SECRET\n",
        "[login.ubuntu.com\nSECRET",
        base64.b64encode(b"SECRET {").decode(),
    ],
)
def test_what_cannot_be_read_is_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="holds no credentials of a form that is known") as e:
        parse(text, where="the file")
    told = "".join(traceback.format_exception(e.value))
    assert "SECRET" not in told.replace(Path(__file__).read_text(), "")
    assert text not in str(e.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="/nowhere: cannot be read: No such file"):
        from_environment({"UBUNTU_STORE_AUTH_DATA_FILENAME": "/nowhere"})
