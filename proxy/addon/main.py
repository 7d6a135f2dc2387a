"""Starts mitmproxy with the addon; run by mitmproxy's own Python, given its settings as JSON.

    python -I main.py '{"server": ["127.0.0.1", 8000], "stamp": "…", "journal": "…", "folder": "…"}'

Prints one line of JSON when it listens: {"version": …, "plain": [host, port], "redirected": [host, port], "ca": PEM}.
plain is for absolute addresses and CONNECT; redirected for what a client sent to the archive itself, also TLS.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
IDLE_S = 300  # longer than the server lets a client wait for another build's fetch


def end_with_parent(parent: int) -> None:
    """The kernel kills this process when the thread that started it is gone, however it ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the server is gone")


def only_to(server: tuple[str, int]) -> None:
    """From now on this process can connect to one address, whatever code runs in it: a hook of Python's own."""

    def refuse(event: str, details: tuple[Any, ...]) -> None:
        if event == "socket.connect" and tuple(details[1][:2]) != server:
            raise PermissionError(f"connecting to {details[1]!r}: only the frozen archive can be reached")
        if event in ("socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"):
            if event == "socket.getaddrinfo" and details[0] in ("127.0.0.1", None):
                return
            raise PermissionError(f"{event}: only the frozen archive can be reached")

    sys.addaudithook(refuse)


def import_proxy() -> None:
    """Make `import proxy…` work without the other packages beside it: they belong to another environment."""
    folder = Path(__file__).resolve().parents[1]
    spec = importlib.machinery.ModuleSpec("proxy", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules["proxy"] = importlib.util.module_from_spec(spec)


async def serve(settings: dict[str, Any]) -> None:
    from mitmproxy import options, version
    from mitmproxy.proxy import server as connections
    from mitmproxy.tools.dump import DumpMaster

    from proxy.addon.pin import SnapshotPin
    from proxy.journal import Journal

    host, port = settings["server"]
    # Two addresses: mitmproxy takes "port 0", any port, twice on one for a mistake.
    plain, redirected = "regular@127.0.0.1:0", f"reverse:http://{host}:{port}@127.0.0.2:0"
    folder = Path(settings["folder"])
    master = DumpMaster(options.Options(confdir=str(folder)), with_termlog=True, with_dumper=False)
    master.addons.add(SnapshotPin((host, port), settings["stamp"], Journal(Path(settings["journal"]))))
    wanted: dict[str, Any] = {
        "mode": [plain, redirected],
        "connection_strategy": "lazy",  # else it connects to what the client wanted, before any hook can say no
        "upstream_cert": False,
        "keep_host_header": True,
        "http2": False,
        "http3": False,
        "websocket": False,
        "rawtcp": False,
        "termlog_verbosity": "warn",
    }
    if "tcp_timeout" in master.options:
        wanted["tcp_timeout"] = IDLE_S
    else:  # before 12.2.1
        connections.TCP_TIMEOUT = IDLE_S
    master.options.update(**wanted)
    running = asyncio.create_task(master.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, master.shutdown)
    servers, tls = master.addons.get("proxyserver").servers, master.addons.get("tlsconfig")
    while not (len(servers) == 2 and all(one.is_running for one in servers) and tls.certstore is not None):
        if running.done():
            break
        await asyncio.sleep(0.01)
    else:
        at = {one.mode.full_spec: one.listen_addrs[0][:2] for one in servers}
        ca = (folder / "mitmproxy-ca-cert.pem").read_text()
        # mitmproxy has read its key by now: the CA ends with this process, and nobody else can sign for it.
        for path in folder.glob("mitmproxy-*"):
            path.unlink()
        ready = {"version": version.VERSION, "plain": at[plain], "redirected": at[redirected], "ca": ca}
        print(json.dumps(ready), flush=True)
    await running


def main() -> None:
    settings = json.loads(sys.argv[1])
    end_with_parent(settings["parent"])
    os.umask(0o077)
    only_to(tuple(settings["server"]))
    import_proxy()
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
