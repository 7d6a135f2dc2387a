"""The process of a proxy: the server of frozen files, and mitmproxy as its child; each ends when the other does.

    echo '{"frozen": …, "store": …, …}' | python -m proxy.serving.main

Its settings are one line on its standard input, for they may hold a password, and arguments are there for all to see.
Prints one line of JSON when both are ready: {"addresses": [[host, port], …], "ca": PEM, "mitmproxy": version}; or
{"error": {"what": …, "where": …, "hint": …}}.
It ends with SIGTERM, or when its standard input does: so it learns that who started it is gone.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from proxy.archive.frozen import Entry, FrozenSet, Refusal
from proxy.blobs import Blobs
from proxy.journal import Journal
from proxy.serving.fetches import Fetches
from proxy.serving.namespace import listening
from proxy.serving.server import Others, Service, listen
from proxy.serving.stored import Stored
from proxy.store.upkeep import in_use
from proxy.upstream import Settings, configure

log = logging.getLogger(__name__)

SETTLE_S = 8.0  # who started us waits a little longer before it kills
ADDON = Path(__file__).parents[1] / "addon" / "main.py"


def main() -> int:
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    ends: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: ends.put(signal.Signals(got).name))
    namespace = settings.get("namespace")
    # Before any thread is there: threads would not follow into the namespace and back.
    try:
        doors = listening(settings["listen"], Path(namespace) if namespace else None)
    except OSError as e:
        said = {"what": f"cannot listen there: {e.strerror or e}", "where": ", ".join(settings["listen"]),
                "hint": "does another proxy run already? port 0 takes any that is free"}  # fmt: skip
        print(json.dumps({"error": said}), flush=True)
        return 3
    inner = listening(["127.0.0.1:0"])[0]
    service = _service(settings)
    others, ready, child = _mitmproxy(settings, inner.getsockname(), service.stamp)
    try:
        # Pruning by another process leaves alone what is given out now, and what may still be asked for.
        with in_use(Blobs(Path(settings["store"])), Path(settings["frozen"])):
            for door, beyond in [(inner, None), *((door, others) for door in doors)]:
                threading.Thread(target=listen, args=(service, door, beyond), daemon=True).start()
            threading.Thread(target=lambda: ends.put(f"mitmproxy ended: {child.wait()}"), daemon=True).start()
            threading.Thread(target=lambda: ends.put(f"input ended{sys.stdin.read()}"), daemon=True).start()
            addresses = [door.getsockname()[:2] for door in doors]
            print(json.dumps({"addresses": addresses, "ca": ready["ca"], "mitmproxy": ready["version"]}), flush=True)
            why = ends.get()
            log.debug("end: %s", why)
            service.fetches.settle(SETTLE_S)
    finally:
        for one in (*doors, inner):
            one.close()
        child.terminate()
        try:
            child.wait(2)
        except subprocess.TimeoutExpired:
            child.kill()
    if why.startswith("mitmproxy"):
        log.error("%s", why)
        return 3
    return 0


def _service(settings: dict[str, Any]) -> Service:
    way = settings.get("upstream") or {}
    files = way.get("auth_files")
    configure(Settings(**{**way, "auth_files": None if files is None else tuple(map(Path, files))}))
    store = Blobs(Path(settings["store"]))
    stored = Stored(store)
    fetches = Fetches(store, offline=settings.get("offline", False), kept=stored.trust)
    frozen = FrozenSet(Path(settings["frozen"]), store.folder.parent, fetches.bring)

    def lookup(host: str, path: str, scheme: str, port: int) -> Entry | Refusal:
        return frozen.lookup(host, path, scheme=scheme, port=port)

    return Service(frozen.stamp, lookup, fetches, stored, Journal(Path(settings["journal"])))


def _mitmproxy(
    settings: dict[str, Any], server: tuple[str, int], stamp: str
) -> tuple[Others, dict[str, Any], subprocess.Popen[bytes]]:
    folder = Path(settings["mitmproxy_folder"])
    given = {
        "server": server[:2], "stamp": stamp, "journal": settings["journal"],
        "folder": str(folder), "parent": os.getpid(),
    }  # fmt: skip
    # No variables of ours: it has no use for a company's proxy or for credentials.
    child = subprocess.Popen(
        [settings["python"], "-I", ADDON, json.dumps(given)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"},
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        sys.exit(f"mitmproxy did not start: exit {child.wait()}")
    ready = json.loads(line)
    return Others(tuple(ready["plain"]), tuple(ready["redirected"])), ready, child


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # threads that wait for a client or a mirror are not waited for
