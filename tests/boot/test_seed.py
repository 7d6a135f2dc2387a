"""The cloud-config of a seed."""

from __future__ import annotations

import pytest
import yaml

from image_builder.boot.seed import META_DATA, seeded, user_data


@pytest.mark.parametrize("password", ["secret", "a: b # c", "'\"\\", "yes"])
def test_a_password_arrives_as_it_was_given(password: str) -> None:
    text = user_data("debian", password)
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    assert config["chpasswd"]["users"] == [{"name": "debian", "password": password, "type": "text"}]
    assert config["chpasswd"]["expire"] is False
    assert "disable_root" not in config


def test_root_is_let_in() -> None:
    assert yaml.safe_load(user_data("root", "x"))["disable_root"] is False


def test_the_instance_has_a_name() -> None:
    assert yaml.safe_load(META_DATA) == {"instance-id": "image-builder-boot"}


def test_no_login_needs_no_seed() -> None:
    with seeded(None) as seed:
        assert seed is None
