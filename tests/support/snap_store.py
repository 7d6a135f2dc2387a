"""A snap store on the loopback interface: the recorded shapes of its API, its strictness, and its faults on command."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from assertion_signer import Authority, b64url

RISKS = ("stable", "candidate", "beta", "edge")


def snap_id(name: str) -> str:
    """32 letters and digits that follow from the name."""
    return hashlib.sha512(name.encode()).hexdigest()[:32]


def make_snap(path: Path, meta: Mapping[str, Any], *, payload: bytes = b"") -> Path:
    """A real squashfs with meta/snap.yaml, and a file beside it. The same input gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder) / "snap"
        (top / "meta").mkdir(parents=True)
        (top / "meta/snap.yaml").write_text(yaml.safe_dump(dict(meta), sort_keys=False))
        (top / "payload").write_bytes(payload)
        command = ["mksquashfs", top, path, "-noappend", "-no-progress", "-comp", "gzip", "-no-xattrs", "-all-root",
                   "-quiet", "-all-time", "0", "-mkfs-time", "0", "-no-fragments", "-processors", "1"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
    return path


@functools.cache
def _snap_bytes(meta: str, payload: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make_snap(Path(folder) / "snap", json.loads(meta), payload=payload).read_bytes()


@dataclass
class Revision:
    """One revision of a snap, as the store keeps it."""

    name: str
    number: int
    data: bytes
    meta: Mapping[str, Any]
    publisher: str

    @property
    def sha3_384(self) -> str:
        return hashlib.sha3_384(self.data).hexdigest()


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str  # without the query
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: Any
    host: str  # "store" or "cdn"


Answer = Callable[["_Handler"], None]


@dataclass
class Fault:
    """What happens instead of the right answer. at: a regular expression the path has to match; times: how often."""

    at: str
    times: int = 1_000_000
    edit: Callable[[Any], Any] | None = None  # change the JSON, which is sent then
    bytes: Callable[[bytes], bytes] | None = None  # change the body of a download or an assertion
    answer: Answer | None = None  # do it all by hand
    host: str = "store"
    seen: int = 0


def status(code: int, body: Any = None, **headers: str) -> Answer:
    """An answer of this status, with an error body of the store's kind."""
    value = body if body is not None else {"error-list": [{"code": "api-error", "message": f"made to fail: {code}"}]}

    def send(handler: _Handler) -> None:
        handler.json(value, code, {name.replace("_", "-"): text for name, text in headers.items()})

    return send


def cut(handler: _Handler) -> None:
    """The connection ends without an answer."""
    handler.close_connection = True
    handler.wfile.flush()
    handler.connection.shutdown(2)


@dataclass
class SnapStore:
    """Fill it by add() and release(), ask it under .address; what was asked stands in .asked."""

    assertions: dict[tuple[str, ...], bytes] = field(default_factory=dict)
    revisions: dict[tuple[str, int], Revision] = field(default_factory=dict)
    channels: dict[tuple[str, str], int] = field(default_factory=dict)  # (name, "latest/stable") -> revision
    cohorts: dict[str, tuple[str, dict[tuple[str, str], int]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    address: str = ""
    cdn_address: str = ""
    by_cdn: bool = True  # downloads are redirected to another host
    token: str = ""  # what Authorization has to be, if anything
    ranges: bool = True
    chunk_pause_s: float = 0.0
    authority: Authority | None = None  # signs what is added
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self, name: str, number: int, data: bytes, meta: Mapping[str, Any], *, publisher: str = "publisher",
        channel: str | None = "latest/stable",
    ) -> Revision:  # fmt: skip
        made = Revision(name, number, data, meta, publisher)
        self.revisions[name, number] = made
        if self.authority:
            self._sign(made, self.authority)
        if channel:
            self.release(name, number, channel)
        return made

    def _sign(self, made: Revision, by: Authority) -> None:
        """What proves a revision, down to the root."""
        of = snap_id(made.name)
        self.assertions |= {
            ("account", made.publisher): by.account(made.publisher, made.publisher),
            ("account", by.account_id): by.root_account,
            ("account-key", by.store.id): by.store_account_key,
            ("account-key", by.root.id): by.root_account_key,
            ("snap-declaration", "16", of): by.snap_declaration(of, made.name, made.publisher),
            ("snap-revision", b64url(made.sha3_384)): by.snap_revision(
                made.sha3_384, len(made.data), of, made.number, made.publisher
            ),
        }

    def add_snap(self, number: int, meta: Mapping[str, Any], *, payload: bytes = b"", **how: Any) -> Revision:
        """A real snap file with this snap.yaml, signed if there is an authority."""
        text = {"version": str(number), **meta}
        return self.add(str(meta["name"]), number, _snap_bytes(json.dumps(text), payload), text, **how)

    def release(self, name: str, number: int, channel: str = "latest/stable") -> None:
        self.channels[name, channel] = number

    def close_channel(self, name: str, channel: str) -> None:
        del self.channels[name, channel]

    def paths(self, pattern: str = "", host: str = "") -> list[str]:
        """What was asked for, in order."""
        return [f"{a.method} {a.path}" for a in self.asked if re.search(pattern, a.path) and host in a.host]

    def fault(self, at: str, **how: Any) -> Fault:
        made = Fault(at, **how)
        self.faults.append(made)
        return made

    # -- what it knows

    def cohort_key(self, name: str, *, created: int = 1_790_000_000) -> str:
        """A key like the store's, which fixes the channels as they are now."""
        text = f"1 {snap_id(name)} {created} {hashlib.sha256(f'{name}{len(self.cohorts)}'.encode()).hexdigest()}"
        key = base64.b64encode(text.encode()).decode()
        self.cohorts[key] = (name, dict(self.channels))
        return key

    def _in_channel(self, name: str, channel: str, key: str | None) -> tuple[int, str] | None:
        """(revision, effective channel): a closed channel is followed by the next one of less risk."""
        known = self.channels
        if key in self.cohorts and self.cohorts[str(key)][0] == name:
            known = self.cohorts[str(key)][1]
        parts = channel.split("/")
        if len(parts) == 1:
            parts = ["latest", *parts] if parts[0] in RISKS else [*parts, "stable"]
        track, risk = parts[0], parts[1]
        if len(parts) == 3 and (name, "/".join(parts)) in known:
            return known[name, "/".join(parts)], "/".join(parts)
        for less in reversed(RISKS[: RISKS.index(risk) + 1]):
            if (name, f"{track}/{less}") in known:
                return known[name, f"{track}/{less}"], f"{track}/{less}".removeprefix("latest/")
        return None

    def refresh(self, body: Any) -> tuple[int, Any]:
        problem = _strictly(body)
        if problem:
            return 400, {"error-list": [{"code": "api-error", "message": problem}]}
        return 200, {"error-list": [], "results": [self._result(action) for action in body["actions"]]}

    def _result(self, action: Mapping[str, Any]) -> dict[str, Any]:
        name = action["name"]
        releases = [
            {"architecture": "amd64", "channel": channel.removeprefix("latest/")}
            for (of, channel) in self.channels if of == name
        ]  # fmt: skip
        base = {"instance-key": action["instance-key"], "name": name}
        if not any(of == name for of, _ in self.revisions):
            error = {"code": "name-not-found", "message": f"No snap named {name!r}."}
            return {**base, "result": "error", "snap": None, "error": error}
        if "revision" in action:
            number, channel = action["revision"], ""
        else:
            found = self._in_channel(name, action.get("channel", "stable"), action.get("cohort-key"))
            number, channel = found or (0, "")
        kept = self.revisions.get((name, number))
        if kept is None:
            error = {"code": "revision-not-found", "message": "No revision available.", "extra": {"releases": releases}}
            return {**base, "result": "error", "snap": None, "error": error}
        snap = {
            "name": name, "revision": number, "type": kept.meta.get("type", "app"),
            "confinement": kept.meta.get("confinement", "strict"), "version": str(kept.meta.get("version", "1")),
            "publisher": {
                "id": kept.publisher, "username": kept.publisher, "display-name": kept.publisher,
                "validation": "unproven",
            },
            "download": {
                "url": f"{self.address}/api/v1/snaps/download/{snap_id(name)}_{number}.snap",
                "size": len(kept.data), "sha3-384": kept.sha3_384, "deltas": [],
            },
        }  # fmt: skip
        if kept.meta.get("base") and kept.meta["base"] != "core":
            snap["base"] = kept.meta["base"]
        return {
            **base, "result": "download", "snap-id": snap_id(name), "effective-channel": channel,
            "redirect-channel": "", "released-at": "2026-01-01T00:00:00+00:00", "snap": snap,
        }  # fmt: skip

    def info(self, name: str) -> tuple[int, Any]:
        if not any(of == name for of, _ in self.revisions):
            message = f"No snap named {name!r} found in series '16'."
            return 404, {"error-list": [{"code": "resource-not-found", "message": message}]}
        rows = []
        for (of, channel), number in sorted(self.channels.items()):
            if of == name:
                track, risk = channel.split("/")[:2]
                result = self._result({"instance-key": "i", "name": name, "revision": number})["snap"]
                rows.append({
                    "channel": {
                        "architecture": "amd64", "name": channel.removeprefix("latest/"), "risk": risk, "track": track,
                        "released-at": "2026-01-01T00:00:00+00:00",
                    },
                    **{key: result[key] for key in ("revision", "version", "type", "download", "confinement")},
                })  # fmt: skip
        publisher = {"id": "p", "username": "p", "display-name": "P", "validation": "unproven"}
        return 200, {
            "name": name, "snap-id": snap_id(name), "channel-map": rows,
            "snap": {"name": name, "snap-id": snap_id(name), "summary": f"{name} for tests", "publisher": publisher},
        }  # fmt: skip


def _strictly(body: Any) -> str:
    """What the store's schema says against a request."""
    if not isinstance(body, dict) or set(body) - {"context", "actions", "fields", "assertion-max-formats"}:
        return "Additional properties are not allowed at /"
    known = {"action", "instance-key", "name", "snap-id", "channel", "cohort-key", "epoch", "revision",
             "ignore-validation"}  # fmt: skip
    for number, action in enumerate(body.get("actions", ())):
        if unknown := sorted(set(action) - known):
            return f"Additional properties are not allowed ({unknown[0]!r} was unexpected) at /actions/{number}"
        if action.get("action") == "download" and "epoch" not in action:
            return f"'epoch' is a required property at /actions/{number}"
        if "revision" in action and ("channel" in action or "cohort-key" in action):
            return f"revision excludes channel and cohort-key at /actions/{number}"
    return ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: SnapStore
    host: str

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_HEAD(self) -> None:
        self._serve("HEAD")

    def json(self, value: Any, code: int = 200, headers: Mapping[str, str] = {}) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.whole(data, code, {"Content-Type": "application/json", **headers})

    def whole(self, data: bytes, code: int = 200, headers: Mapping[str, str] = {}) -> None:
        self.send_response(code)
        for name, text in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _serve(self, method: str) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        asked = Asked(method, parts.path, parse_qs(parts.query), dict(self.headers), body, self.host)
        fault = None
        with self.store._lock:
            self.store.asked.append(asked)
            for one in self.store.faults:
                if one.host == self.host and one.seen < one.times and re.search(one.at, parts.path):
                    one.seen += 1
                    fault = one
                    break
        try:
            if fault and fault.answer:
                fault.answer(self)
            elif self.store.token and self.host == "store" and self.headers.get("Authorization") != self.store.token:
                self.json({"error-list": [{"code": "macaroon-permission-required", "message": "Permission required."}]},
                          401, {"WWW-Authenticate": "Macaroon realm=\"store\""})  # fmt: skip
            else:
                self._answer(asked, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _answer(self, asked: Asked, fault: Fault | None) -> None:
        edit = fault.edit if fault and fault.edit else lambda value: value
        change = fault.bytes if fault and fault.bytes else lambda data: data
        path = asked.path
        if self.host == "store" and path == "/v2/snaps/refresh":
            code, value = self.store.refresh(asked.body)
            self.json(edit(value), code, {"Snap-Store-Version": "55"})
        elif self.host == "store" and path == "/v2/cohorts":
            names = asked.body["snaps"]
            if unknown := [n for n in names if not any(of == n for of, _ in self.store.revisions)]:
                self.json(
                    {"error-list": [{"code": "resource-not-found", "message": f"No snap named {unknown[0]!r}."}]}, 404
                )
                return
            self.json(edit({"cohort-keys": {name: self.store.cohort_key(name) for name in names}}))
        elif self.host == "store" and path.startswith("/v2/snaps/info/"):
            code, value = self.store.info(unquote(path.rsplit("/", 1)[1]))
            self.json(edit(value), code)
        elif self.host == "store" and path.startswith("/v2/assertions/"):
            key = tuple(unquote(part) for part in path.split("/")[3:])
            text = self.store.assertions.get(key)
            if text is None:
                self.json({"error-list": [{"code": "not-found", "message": f"not found: no {key[0]} assertion"}]}, 404)
            else:
                self.whole(change(text), 200, {"Content-Type": "application/x.ubuntu.assertion"})
        elif match := re.fullmatch(r"/api/v1/snaps/download/([A-Za-z0-9]{32})_([0-9]+)\.snap", path):
            if self.store.by_cdn and self.host == "store":
                to = f"{self.store.cdn_address}{path}?token=secret-of-the-cdn"
                self.whole(b"", 302, {"Location": to})
                return
            kept = next((r for (n, k), r in self.store.revisions.items()
                         if snap_id(n) == match[1] and k == int(match[2])), None)  # fmt: skip
            if kept is None:
                self.json({"error-list": [{"code": "not-found", "message": "no such snap"}]}, 404)
            else:
                self._file(change(kept.data))
        else:
            self.json({"error-list": [{"code": "not-found", "message": f"nothing at {path}"}]}, 404)

    def _file(self, data: bytes) -> None:
        match = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        begin = int(match[1]) if match and self.store.ranges else 0
        if begin >= len(data) and match and self.store.ranges:
            self.whole(b"", 416, {"Content-Range": f"bytes */{len(data)}"})
            return
        self.send_response(206 if match and self.store.ranges else 200)
        if match and self.store.ranges:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if not self.store.chunk_pause_s:
            self.wfile.write(memoryview(data)[begin:])
            return
        for at in range(begin, len(data), 4096):
            self.wfile.write(data[at : at + 4096])
            time.sleep(self.store.chunk_pause_s)


@contextmanager
def running(store: SnapStore) -> Iterator[SnapStore]:
    """The store and its content delivery network answer for the length of the block."""
    servers = []
    for host in ("store", "cdn"):
        handler = type("Handler", (_Handler,), {"store": store, "host": host})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        servers.append((server, thread))
    store.address, store.cdn_address = (f"http://127.0.0.1:{server.server_address[1]}" for server, _ in servers)
    try:
        yield store
    finally:
        for server, thread in servers:
            server.shutdown()
            thread.join()
            server.server_close()
