"""The snapshot proxy against direct downloads and apt-cacher-ng: real packages by apt, over the loopback interface."""

from __future__ import annotations

import http.client
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from command import main
from ground import Ground
from mirror import Apt, Mirror, Reader, apt_cacher_ng, make, nginx, pinned
from report import Cost, Report, Row, against, measured

from image_builder.errors import PipelineError
from proxy.archive.assemble import assemble
from proxy.archive.sources import DEBIAN_KEYRING
from proxy.process import Running, start

PACKAGES = 500
ROUNDS = 9
COLD_BOUND = 1 / 0.8  # the time may be so much longer than that of a direct download
CACHED_BOUND = 1.0  # against apt-cacher-ng
SIZES = {"below 128 kB": 128 << 10, "below 1 MB": 1 << 20, "larger": sys.maxsize}
DIRECT, COLD, STORED, CACHED = "direct", "proxy, cold", "proxy, from its store", "apt-cacher-ng, from its cache"


def bench(ground: Ground, quick: bool) -> Report:
    return compare(ground.folder, 40 if quick else PACKAGES, 1 if quick else ROUNDS)


def compare(folder: Path, packages: int, rounds: int) -> Report:
    """folder: an empty one."""
    mirror = make(folder, packages)
    rows: list[Row] = []
    with ExitStack() as stack:
        origin, log = stack.enter_context(nginx(folder / "nginx", mirror.folder))
        sides = _Sides(folder, mirror, origin, log)
        cacher, _ = stack.enter_context(apt_cacher_ng(folder / "acng", origin))
        for pipelined in (True, False):
            rows += sides.compare(cacher, rounds, pipelined=pipelined)
        waits = sides.waits(rounds)
    notes = [
        f"{packages} Debian packages, {mirror.size_bytes / 1e6:.0f} MB, by one `apt-get download`; medians of {rounds}",
        "a fresh proxy each time; cold: with an empty store; origin: nginx",
        "apt-cacher-ng, second time: nginx saw no request",
        f"not in these times: reading the index of trixie main, once for all builds: {sides.index_s:.1f} s",
        f"each file in turn from nginx and from a cold proxy: by the proxy it takes so much longer: {waits}",
        f"mitmproxy {sides.mitmproxy}; resident memory of the proxy's two processes at the end: {sides.memory}",
    ]
    return Report(f"Snapshot proxy: {packages} packages by apt", rows, notes)


class _Sides:
    """What is compared."""

    def __init__(self, folder: Path, mirror: Mirror, origin: str, log: Path) -> None:
        self._folder, self._mirror, self._log = folder, mirror, log
        self._apt = Apt(folder / "apt", f"{origin}/debian")
        self._pins, self._sources = pinned(f"{origin}/debian", folder / "indices")
        self._number = 0
        self.mitmproxy, self.memory, self.index_s = "", "", 0.0

    def compare(self, cacher: str, rounds: int, *, pipelined: bool) -> list[Row]:
        how = "" if pipelined else ", one request at a time"

        def download(proxy: str = "") -> None:
            self._apt.download(self._mirror.names, proxy, pipelined=pipelined)

        def cached_by_cacher() -> None:
            seen = self._requests()
            download(cacher)
            if self._requests() != seen:
                raise PipelineError("asked the origin for what it has", where="apt-cacher-ng")

        download(cacher)  # fills its cache, if it is not yet
        runs: dict[str, list[Cost]] = {what: [] for what in (DIRECT, COLD, STORED, CACHED)}
        # In turns, so that what else happens on the machine happens to all, and each of the two that are compared to a
        # hundredth as often before the other as after it. The caches stay until the end, as do the names of what was
        # downloaded: whoever makes files pays for those that were deleted a moment ago.
        for number in range(rounds):
            cache = self._new_cache()
            ways = {
                DIRECT: lambda: measured(download)[0],
                COLD: lambda cache=cache: self._by_proxy(cache, download),
                STORED: lambda cache=cache: self._by_proxy(cache, download),
                CACHED: lambda: measured(cached_by_cacher)[0],
            }
            for what in (DIRECT, COLD, STORED, CACHED) if number % 2 else (COLD, CACHED, STORED, DIRECT):
                runs[what].append(ways[what]())
                self._apt.forget()
        costs = {what: _median(found) for what, found in runs.items()}
        direct, cold, stored, cached = costs.values()
        return [
            *(Row(what + how, cost) for what, cost in costs.items()),
            against(f"cold / direct{how}", cold, direct, COLD_BOUND),
            against(f"from the store / apt-cacher-ng{how}", stored, cached, CACHED_BOUND),
            against(f"from the store / direct{how}", stored, direct),
        ]

    def waits(self, rounds: int) -> str:
        """How much longer a file takes by a proxy that fetches it, by its size. Files are compared, not runs, so that a
        hundredth of a millisecond is seen."""
        uri, top = self._sources[0].uri, self._mirror.folder / "debian"
        files = {str(file.relative_to(top)): file.stat().st_size for file in top.glob("pool/**/*.deb")}
        more: dict[str, list[float]] = {size: [] for size in SIZES}
        for _ in range(rounds):
            with self._proxy(self._new_cache()) as running, ExitStack() as stack:
                direct = stack.enter_context(closing(Reader(uri, uri)))
                proxied = stack.enter_context(closing(Reader(f"http://127.0.0.1:{running.port}", uri)))
                for number, (path, size_bytes) in enumerate(files.items()):
                    order = (direct, proxied) if number % 2 else (proxied, direct)
                    waits = {reader: reader.wait_s(path) for reader in order}
                    what = next(size for size, limit in SIZES.items() if size_bytes < limit)
                    more[what].append((waits[proxied] - waits[direct]) * 1000)
        return ", ".join(f"{what} {_middle(found):.2f} ms" for what, found in more.items() if found)

    def _new_cache(self) -> Path:
        self._number += 1
        cache = self._folder / f"cache{self._number}"
        self._pins, self._sources = pinned(self._sources[0].uri, cache)
        return cache

    def _by_proxy(self, cache: Path, download: Callable[[str], None]) -> Cost:
        with self._proxy(cache) as running:
            cost, _ = measured(lambda: download(f"http://127.0.0.1:{running.port}"))
            self.mitmproxy, self.memory = running.mitmproxy, _memory(running)
            running.check()
        return cost

    @contextmanager
    def _proxy(self, cache: Path) -> Iterator[Running]:
        self._number += 1
        frozen = assemble(self._pins, self._sources, keyring=DEBIAN_KEYRING, cache=cache)
        with start(frozen, cache / "sha256", self._folder / f"run{self._number}") as running:
            # The proxy reads an index when it is first asked for a package, once for all builds: a row of its own.
            asked, _ = measured(lambda: _ask(running, f"{self._sources[0].uri}/pool/no.deb"))
            self.index_s = max(self.index_s, asked.wall_s)
            yield running

    def _requests(self) -> int:
        return len(self._log.read_bytes().splitlines())


def _ask(running: Running, url: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("GET", url)
    connection.getresponse().read()
    connection.close()


def _memory(running: Running) -> str:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    found = []
    for pid in [str(running.pid), *children]:
        line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
        found.append(f"{int(line.split()[1]) / 1024:.0f} MB")
    return " and ".join(found)


def _middle(values: list[float]) -> float:
    """Their mean, without the twentieth at either end."""
    cut = len(values) // 20
    return statistics.mean(sorted(values)[cut : len(values) - cut])


def _median(costs: list[Cost]) -> Cost:
    return Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs))


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
