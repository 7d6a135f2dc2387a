"""Getting files that came onto the disk: several at once, and apart from the answers, which need not wait for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from image_builder.errors import PipelineError
from proxy.store.coming import Part

log = logging.getLogger(__name__)

# Each sync of its own is a commit of the file system's journal, for which everybody who writes has to wait.
BATCH_S = 1.0  # at most so long is a file right and not yet in the store; then it may be fetched by nobody else
BATCH_FILES = 64
WAITING_FILES = 4 * BATCH_FILES  # more than that: the network is faster than the disk, and has to wait for it


@dataclass
class _State:
    waiting: list[tuple[Part, Callable[[], object]]] = field(default_factory=list)
    under_way: int = 0
    hurry: bool = False
    closed: bool = False


class Settling:
    """Takes over parts whose bytes are right. Safe in threads."""

    def __init__(self) -> None:
        self._state, self._changed = _State(), threading.Condition()
        threading.Thread(target=self._run, name="settle", daemon=True).start()

    def add(self, part: Part, done: Callable[[], object], *, now: bool = False) -> None:
        """Commit a part soon and close it; then call done, also when the disk has failed. now: do not wait for more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._state.waiting) < WAITING_FILES)
            self._state.waiting.append((part, done))
            self._state.hurry |= now
            if len(self._state.waiting) == 1 or self._is_time():  # nobody is woken for nothing
                self._changed.notify_all()

    def hurry(self) -> None:
        """Somebody waits for one that was added."""
        with self._changed:
            self._state.hurry = True
            self._changed.notify_all()

    def close(self, timeout_s: float | None = None) -> bool:
        """Commit what waits; True when all of it is on the disk. Nothing may be added any more."""
        with self._changed:
            self._state.closed = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._state.waiting and not self._state.under_way, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._state.waiting or self._state.closed)
                self._changed.wait_for(self._is_time, BATCH_S)
                batch, self._state.waiting = self._state.waiting, []
                self._state.under_way, self._state.hurry = len(batch), False
                self._changed.notify_all()
                if not batch and self._state.closed:
                    return
            for part, done in batch:
                _commit(part, done)
            with self._changed:
                self._state.under_way = 0
                self._changed.notify_all()

    def _is_time(self) -> bool:
        return self._state.hurry or self._state.closed or len(self._state.waiting) >= BATCH_FILES


def _commit(part: Part, done: Callable[[], object]) -> None:
    try:
        with part:
            part.commit()
    except PipelineError as e:  # who waited has had all of it, and the next one will fetch it anew
        log.warning("%s", e)
    except Exception:
        log.exception("%s", part.path)
    finally:
        done()
