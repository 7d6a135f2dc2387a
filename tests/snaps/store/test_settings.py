from __future__ import annotations

import pytest

from image_builder.errors import ConfigError
from snaps.store.settings import API, from_environment


def test_without_any_word_it_is_the_public_store() -> None:
    found = from_environment({})
    assert (found.api, found.assertions, found.series, found.store_id, found.cdn) == (API, API, "16", "", True)
    assert found.credentials is None


def test_snapds_variables() -> None:
    found = from_environment(
        {"UBUNTU_STORE_URL": "http://127.0.0.1:8/", "UBUNTU_STORE_ARCH": "arm64", "UBUNTU_STORE_ID": "Brand",
         "SNAPPY_STORE_NO_CDN": "1"}
    )  # fmt: skip
    assert (found.api, found.assertions, found.architecture, found.store_id, found.cdn) == (
        "http://127.0.0.1:8", "http://127.0.0.1:8", "arm64", "Brand", False,
    )  # fmt: skip
    forced = {"SNAPPY_FORCE_API_URL": "http://a", "SNAPPY_FORCE_SAS_URL": "http://b", "UBUNTU_STORE_URL": "http://c"}
    found = from_environment(forced, architecture="riscv64", store="http://d")
    assert (found.api, found.assertions, found.architecture) == ("http://a", "http://b", "riscv64")


def test_what_is_the_stores_own() -> None:
    found = from_environment({"UBUNTU_STORE_URL": "https://store.example"})
    assert found.is_own("https://store.example:443/x")
    for other in ("http://store.example/x", "https://store.example.evil/x", "https://store.example:444/", "https://x/"):
        assert not found.is_own(other)


@pytest.mark.parametrize("url", ["store", "ftp://x", "https://", "http://x:99999", ":/what"])
def test_no_address(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        from_environment({"UBUNTU_STORE_URL": url})


def test_no_password_in_an_address() -> None:
    with pytest.raises(ConfigError, match="holds a user or password") as e:
        from_environment({"UBUNTU_STORE_URL": "https://me:secret@store.example"})
    assert "secret" not in str(e.value)
