"""A bucket as a place to publish to: any service that speaks S3."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import mimetypes
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from image_builder.errors import ConfigError, PipelineError, SurroundingsError

T = TypeVar("T")

TRIES = 8  # of each request; botocore waits between them, longer each time, up to 20 s
TIMEOUT_S = 60.0  # of no bytes at all
AT_ONCE = 8
IN_PARTS_BYTES = 64 << 20  # larger files go in parts, so that a broken connection costs only one of them
_REFUSED = {
    "AccessDenied",
    "NoSuchBucket",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "403",
    "404",
    "InvalidBucketName",
}
_LASTING = "public, max-age=31536000, immutable"
_CHANGING = "no-cache"  # asked for anew each time: the InRelease, and what it was named by


class S3Place:
    """Names below a prefix of a bucket. Credentials come from where boto3 looks for them."""

    def __init__(
        self, address: str, *, endpoint_url: str = "", state: Path, tries: int = TRIES, timeout_s: float = TIMEOUT_S
    ) -> None:
        """address: "s3://BUCKET/PREFIX". state: holds the lock that keeps this machine's publishers apart."""
        match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", address)
        if match is None:
            raise ConfigError("not an address in S3", where=address, hint="s3://BUCKET or s3://BUCKET/PREFIX")
        self.where = address
        self._bucket, prefix = match[1], (match[2] or "").strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._lock = state / f"{hashlib.sha256((endpoint_url + address).encode()).hexdigest()[:16]}.lock"
        self._s3 = _client(endpoint_url, tries, timeout_s)

    @contextmanager
    def locked(self) -> Iterator[None]:
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            lock = self._lock.open("a")
        except OSError as e:
            raise SurroundingsError(f"cannot be locked: {e.strerror or e}", where=self._lock) from e
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def read(self, name: str) -> bytes | None:
        def get() -> bytes | None:
            try:
                data = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
            except self._s3.exceptions.NoSuchKey:
                return None
            assert isinstance(data, bytes)
            return data

        return self._asked(name, get)

    def put(self, name: str, data: bytes) -> None:
        self._asked(name, lambda: self._put(name, data, _CHANGING))

    def put_all(self, files: Mapping[str, Path], *, lasting: bool) -> None:
        cached = _LASTING if lasting else _CHANGING
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            coming = [pool.submit(self._asked, n, partial(self._upload, n, path, cached)) for n, path in files.items()]
            for one in coming:
                one.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def remove(self, names: Collection[str]) -> None:
        rest = list(names)
        while rest:
            some, rest = rest[:1000], rest[1000:]  # as many as one request may name
            answer = self._asked(some[0], partial(self._delete, some))
            for error in answer.get("Errors", ()):
                raise SurroundingsError(f"cannot be removed: {error.get('Message')}", where=self._at(error["Key"]))

    def _delete(self, names: Collection[str]) -> Any:
        keys = [{"Key": self._prefix + name} for name in names]
        return self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": keys, "Quiet": True})

    def listing(self, prefix: str) -> dict[str, int]:
        def ask() -> dict[str, int]:
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            objects = (one for page in pages for one in page.get("Contents", ()))
            return {one["Key"].removeprefix(self._prefix): one["Size"] for one in objects}

        return self._asked(prefix, ask)

    def _upload(self, name: str, path: Path, cached: str) -> None:
        if path.stat().st_size < IN_PARTS_BYTES:
            self._put(name, path.read_bytes(), cached)
            return
        extra = {"CacheControl": cached, "ContentType": _kind(name)}
        self._s3.upload_file(os.fspath(path), self._bucket, self._prefix + name, ExtraArgs=extra)

    def _put(self, name: str, data: bytes, cached: str) -> None:
        # The service refuses what was damaged on its way; all services know this old sum.
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        self._s3.put_object(
            Bucket=self._bucket, Key=self._prefix + name, Body=data, ContentMD5=digest, CacheControl=cached,
            ContentType=_kind(name),
        )  # fmt: skip

    def _asked(self, name: str, call: Callable[[], T]) -> T:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

        try:
            return call()
        except ClientError as e:
            error = e.response.get("Error", {})
            what = f"refused: {error.get('Code', '')} {error.get('Message', '')}".rstrip()
            if error.get("Code") in _REFUSED:
                hint = "is the bucket there, and may these credentials write to it?"
                raise PipelineError(what, where=self._at(name), hint=hint) from e
            raise SurroundingsError(what, where=self._at(name), hint="the same call goes on from here") from e
        except (NoCredentialsError, PartialCredentialsError) as e:
            hint = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file boto3 reads"
            raise ConfigError(f"{e}", where=self.where, hint=hint) from e
        except (BotoCoreError, Boto3Error) as e:
            raise SurroundingsError(f"{e}", where=self._at(name), hint="the same call goes on from here") from e

    def _at(self, name: str) -> str:
        return f"s3://{self._bucket}/{name if name.startswith(self._prefix) else self._prefix + name}"


def _client(endpoint_url: str, tries: int, timeout_s: float) -> Any:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as e:
        hint = "pip install 'live-image-builder[s3]'"
        raise SurroundingsError("boto3 is not installed", where="publishing to S3", hint=hint) from e
    config = Config(
        retries={"total_max_attempts": tries, "mode": "standard"}, connect_timeout=min(timeout_s, 10.0),
        read_timeout=timeout_s, max_pool_connections=AT_ONCE, tcp_keepalive=True,
        # Services that are not Amazon's: no names of buckets in host names, and no newer kinds of sums.
        s3={"addressing_style": "path"} if endpoint_url else {},
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
    )  # fmt: skip
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None
    # A service of one's own seldom has regions, but requests are signed for one.
    region = region or ("us-east-1" if endpoint_url else None)
    try:
        return boto3.session.Session().client(
            "s3", endpoint_url=endpoint_url or None, region_name=region, config=config
        )
    except (BotoCoreError, ValueError) as e:
        raise ConfigError(f"{e}", where=endpoint_url or "S3", hint="an address like https://s3.example.org") from e


def _kind(name: str) -> str:
    if name.endswith((".deb", ".udeb", ".ddeb")):
        return "application/vnd.debian.binary-package"
    if name.rpartition("/")[2] in ("InRelease", "Release"):
        return "text/plain; charset=utf-8"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
