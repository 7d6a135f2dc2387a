"""Published to S3: moto's server over a real socket, with requests that fail, wait and are cut off."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from faulty_wire import faulty_wire
from moto.server import ThreadedMotoServer
from published import DATE, Publication, Rebuilt, apt_root, broken, publication, whole

from image_builder.archive.publish.deploy import Deployment
from image_builder.archive.publish.place import place_at
from image_builder.archive.publish.s3 import S3Place
from image_builder.errors import ConfigError, PipelineError, SurroundingsError

BUCKET = "s3://rebuilt/debian"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def endpoint(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A server with one empty bucket."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3", endpoint_url=server, region_name="us-east-1")
    if any(one["Name"] == "rebuilt" for one in s3.list_buckets()["Buckets"]):
        for one in s3.list_objects_v2(Bucket="rebuilt").get("Contents", ()):
            s3.delete_object(Bucket="rebuilt", Key=one["Key"])
    else:
        s3.create_bucket(Bucket="rebuilt")
        anybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::rebuilt/*"}
        s3.put_bucket_policy(Bucket="rebuilt", Policy=json.dumps({"Version": "2012-10-17", "Statement": [anybody]}))
    return server


def place(address: str, state: Path, tries: int = 1, timeout_s: float = 20.0) -> S3Place:
    return S3Place(BUCKET, endpoint_url=address, state=state, tries=tries, timeout_s=timeout_s)


def test_apt_reads_it(rebuilt: Rebuilt, endpoint: str, tmp_path: Path) -> None:
    there = place_at(BUCKET, endpoint_url=endpoint, state=tmp_path)
    rebuilt.publish(there)
    assert broken(there.read, "stable") == []
    words = apt_root(tmp_path / "apt", f"{endpoint}/rebuilt/debian")
    (tmp_path / "apt/key.asc").write_bytes(there.read("archive-key.asc") or b"")
    done = subprocess.run(["apt-get", *words, "update"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run(["apt-get", *words, "download", "hello", "hello-doc"], check=True, capture_output=True, cwd=tmp_path)
    assert (tmp_path / "hello_1-1_amd64.deb").exists()


def test_only_what_changed_is_uploaded_and_old_files_go(rebuilt: Rebuilt, endpoint: str, tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def note(number: int, method: str, path: str) -> str:  # noqa: ARG001
        asked.append((method, path.partition("?")[0]))
        return ""

    with faulty_wire(endpoint, note) as wire:
        there = place(wire, tmp_path)
        rebuilt.publish(there)
        asked.clear()
        assert rebuilt.publish(there)[0].uploaded == 0
        assert [path for method, path in asked if method in ("PUT", "DELETE", "POST")] == []
        for number in range(3):
            rebuilt.build("extra", {"extra": "amd64"}, f"{number}-1", component="contrib")
            asked.clear()
            rebuilt.publish(there, DATE + number, keep=2)
        put = [path.removeprefix("/rebuilt/debian/") for method, path in asked if method == "PUT"]
    order = [name for name in put if not name.startswith((".generations", "dists/stable/main"))]
    assert re.fullmatch(r"pool/contrib/e/extra/\w+/extra_2-1_amd64.deb", order[0])
    assert all("/by-hash/" in name for name in order[1:3])
    assert put.index("dists/stable/InRelease") > max(put.index(name) for name in order[:-1])
    assert sorted(name.rpartition("/")[2] for name in place(endpoint, tmp_path).listing("pool/contrib")) == [
        "extra_1-1_amd64.deb", "extra_2-1_amd64.deb",
    ]  # fmt: skip


@pytest.mark.parametrize(("fault", "step"), [("503", 1), ("reset", 4), ("cut", 3)])
def test_whichever_request_fails_readers_see_one_whole_state(
    endpoint: str, tmp_path: Path, fault: str, step: int
) -> None:
    """No second try is made here: each request in turn is the one that ends the publication."""
    old, new = publication(tmp_path / "1", 1, ["a", "b"]), publication(tmp_path / "2", 2, ["a", "c", "d"])
    direct, left = place(endpoint, tmp_path), 0

    def carry_out(where: S3Place, one: Publication) -> None:
        Deployment(where, "stable", one[0], one[1]).carry_out(one[2], keep=1)

    def fails(*_: object) -> str:
        nonlocal left
        left -= 1
        return fault if left == -1 else ""

    with faulty_wire(endpoint, fails) as wire:
        wired = place(wire, tmp_path)
        for number in range(0, 100, step):
            if there := direct.listing(""):
                direct.remove(there)
            carry_out(direct, old)
            failed, left = False, number
            try:
                carry_out(wired, new)
            except SurroundingsError:
                failed = True
            assert whole(direct.read) in ((1, 2) if failed else (2,))
            carry_out(direct, new)
            assert whole(direct.read) == 2
            assert direct.listing("pool/").keys() == {"pool/a", "pool/c", "pool/d"}
            if not failed:
                break
    assert not failed
    assert number > 10


def test_failing_and_slow_requests_are_tried_again(rebuilt: Rebuilt, endpoint: str, tmp_path: Path) -> None:
    seen: set[str] = set()

    def first_time(number: int, method: str, path: str) -> str:
        if f"{method} {path}" in seen:
            return ""
        seen.add(f"{method} {path}")
        return ("503", "cut", "wait 0.3", "reset", "")[number % 5]

    with faulty_wire(endpoint, first_time) as wire:
        rebuilt.publish(place(wire, tmp_path, tries=5))
    assert broken(place(endpoint, tmp_path).read, "stable") == []


def test_a_service_that_does_not_answer_is_an_error_of_the_surroundings(endpoint: str, tmp_path: Path) -> None:
    with faulty_wire(endpoint, lambda *_: "hang") as wire, pytest.raises(SurroundingsError, match="goes on from here"):
        place(wire, tmp_path, timeout_s=0.3).read("dists/stable/InRelease")


def test_what_is_no_place(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("s3://", "s3:///x", "s3://UPPER/x"):
        with pytest.raises(ConfigError, match="not an address"):
            place_at(address, endpoint_url=endpoint, state=tmp_path)
    with pytest.raises(ConfigError, match="a folder, or s3://"):
        place_at("ftp://host/x", state=tmp_path)
    with pytest.raises(PipelineError, match="is the bucket there"):
        S3Place("s3://nothing-there", endpoint_url=endpoint, state=tmp_path, tries=1).put("a", b"b")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        place(endpoint, tmp_path).read("a")


def test_large_files_go_in_parts(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_builder.archive.publish.s3.IN_PARTS_BYTES", 1 << 20)
    (tmp_path / "large").write_bytes(b"0123456789abcdef" * (1 << 20))
    there = place(endpoint, tmp_path)
    there.put_all({"pool/large": tmp_path / "large"}, lasting=True)
    assert there.listing("pool/") == {"pool/large": 16 << 20}
    assert there.read("pool/large") == (tmp_path / "large").read_bytes()
