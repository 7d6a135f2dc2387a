"""Getting files that came onto the disk: several at once, and apart from the answers, which need not wait for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from image_builder.errors import PipelineError
from proxy.store.coming import Part

log = logging.getLogger(__name__)

# Each sync of its own is a commit of the file system's journal, for which everybody who writes has to wait, the client
# too. So it is left for when nothing comes for a moment, as the kernel leaves it with other programs' files.
PAUSE_S = 0.5  # nothing came for so long
LONGEST_S = 5.0  # so long a file at most is right and not in the store: a killed proxy leaves it to be gone on with
BATCH_FILES = 512
WAITING_FILES = 2 * BATCH_FILES  # more than that: the network is faster than the disk, and has to wait for it


@dataclass
class _State:
    waiting: list[tuple[Part, Callable[[], object]]] = field(default_factory=list)
    first_at: float = 0.0  # when the first of those came, and the last; monotonic
    last_at: float = 0.0
    under_way: int = 0
    hurry: bool = False
    closed: bool = False


class Settling:
    """Takes over parts whose bytes are right. Safe in threads."""

    def __init__(self) -> None:
        self._state, self._changed = _State(), threading.Condition()
        threading.Thread(target=self._run, name="settle", daemon=True).start()

    def add(self, part: Part, done: Callable[[], object], *, now: bool = False) -> None:
        """Commit a part soon and close it; then call done, also when the disk has failed. now: do not wait for more.

        After close() it is committed at once, by the calling thread.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._state.waiting) < WAITING_FILES)
            if not self._state.closed:
                self._state.last_at = time.monotonic()
                if not self._state.waiting:
                    self._state.first_at = self._state.last_at
                self._state.waiting.append((part, done))
                self._state.hurry |= now
                if len(self._state.waiting) == 1 or self._wait_s() == 0:  # nobody is woken for nothing
                    self._changed.notify_all()
                return
        _commit(part, done)

    def hurry(self) -> None:
        """Somebody waits for one that was added."""
        with self._changed:
            self._state.hurry = True
            self._changed.notify_all()

    def close(self, timeout_s: float | None = None) -> bool:
        """Commit what waits; True when all of it is on the disk."""
        with self._changed:
            self._state.closed = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._state.waiting and not self._state.under_way, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._state.waiting or self._state.closed)
                while wait_s := self._wait_s():
                    self._changed.wait(wait_s)
                batch, self._state.waiting = self._state.waiting, []
                self._state.under_way, self._state.hurry = len(batch), False
                self._changed.notify_all()
                if not batch and self._state.closed:
                    return
            for part, _ in batch:
                part.begin_sync()  # the disk begins with all of them, before it is waited for
            for part, done in batch:
                _commit(part, done)
            with self._changed:
                self._state.under_way = 0
                self._changed.notify_all()

    def _wait_s(self) -> float:
        """How long to wait for more; 0: now."""
        state, now = self._state, time.monotonic()
        if state.hurry or state.closed or len(state.waiting) >= BATCH_FILES:
            return 0
        return max(0.0, min(state.last_at + PAUSE_S, state.first_at + LONGEST_S) - now)


def _commit(part: Part, done: Callable[[], object]) -> None:
    try:
        with part:
            part.commit()
    except PipelineError as e:  # who waited has had all of it, and the next one will fetch it anew
        log.warning("%s", e)
    except Exception:  # of one file; the thread it would end keeps all the others. The file is fetched anew.
        log.exception("%s", part.path)
    finally:
        done()
