from __future__ import annotations

import pytest

from proxy.archive.by_hash import claimed_date, hashes

A, B = "a" * 64, "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("page", "found"),
    [
        pytest.param("", [], id="empty"),
        pytest.param(f'<a href="{A}">{A[:20]}..&gt;</a> 2026-03-01 12:00  92K', [A], id="Apache"),
        pytest.param(f"<a href='./{A}'>x</a><A HREF=\"/ubuntu/dists/x/by-hash/SHA256/{B}\">y</A>", [A, B], id="others"),
        pytest.param(f"<a href={A}>", [A], id="no quotes"),
        pytest.param(f'<a href="{A}"></a><a href="{A}"></a>', [A], id="icon and name"),
        pytest.param(f"{A} <a href='{A}0'> <a href='{A[1:]}'> <a href='{A}.gpg'>", [], id="no links to such files"),
        pytest.param("<html>404", [], id="an error page"),
    ],
)
def test_links_in_a_listing(page: str, found: list[str]) -> None:
    assert hashes(page) == found


@pytest.mark.parametrize(
    ("head", "date"),
    [
        pytest.param(
            b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: x\nDate: Sun, 01 Mar 2026 12:00:00 UTC\n",
            "2026-03-01T12:00:00+00:00",
            id="InRelease",
        ),
        pytest.param(
            b"-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nDate: Sun, 01 Mar 2026 12:00:00 UTC\r\n",
            "2026-03-01T12:00:00+00:00",
            id="carriage returns",
        ),
        pytest.param(b"Origin: x\nDate: Sun, 01 Mar 2026 12:00:00 UTC\n", None, id="Release"),
        pytest.param(b"-----BEGIN PGP SIGNATURE-----\n", None, id="Release.gpg"),
        pytest.param(b"\x1f\x8b\x08", None, id="Contents.gz"),
        pytest.param(b"-----BEGIN PGP SIGNED MESSAGE-----\n\nDate: Sun, 01 Ma", None, id="cut off"),
        pytest.param(b"-----BEGIN PGP SIGNED MESSAGE-----\n\nDate: never\n", None, id="no date"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_what_the_first_bytes_say(head: bytes, date: str | None) -> None:
    found = claimed_date(head)
    assert (found.isoformat() if found else None) == date
