"""Getting files that came onto the disk: several at once, and apart from the answers, which need not wait for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from image_builder.errors import PipelineError
from proxy.store.coming import Part

log = logging.getLogger(__name__)

# Each sync of its own is a commit of the file system's journal, for which everybody who writes has to wait, the client
# too. So it is left for when nothing comes for a moment, as the kernel leaves it with other programs' files.
PAUSE_S = 0.5  # nothing came for so long
LONGEST_S = 5.0  # so long a file at most is right and not in the store: a killed proxy leaves it to be gone on with
BATCH_FILES = 512
WRITE_S = 0.02  # between two looks at what is still in memory
WAITING_FILES = 2 * BATCH_FILES  # more than that: the network is faster than the disk, and has to wait for it


class _Item(NamedTuple):
    """A part, and who is told when its bytes can be read from it, and when it is done with."""

    part: Part
    written: Callable[[], object]
    done: Callable[[], object]


@dataclass
class _State:
    unwritten: list[_Item] = field(default_factory=list)  # of those that wait, what came last
    waiting: list[_Item] = field(default_factory=list)
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

    def add(
        self, part: Part, done: Callable[[], object], *, written: Callable[[], object] = lambda: None, now: bool = False
    ) -> None:
        """Write what was gathered, commit the part soon, and close it.

        written: called when others can read it along. done: called at the end, also when the disk has failed. now: do
        not wait for more. After close() all of that happens at once, in the calling thread.
        """
        item = _Item(part, written, done)
        with self._changed:
            self._changed.wait_for(lambda: len(self._state.waiting) < WAITING_FILES)
            if not self._state.closed:
                self._state.last_at = time.monotonic()
                if not self._state.waiting:
                    self._state.first_at = self._state.last_at
                self._state.waiting.append(item)
                self._state.unwritten.append(item)
                self._state.hurry |= now
                if len(self._state.waiting) == 1 or self._wait_s() == 0:  # nobody is woken for nothing
                    self._changed.notify_all()
                return
        _write(item)
        _commit(item)

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
            self._write_new()
            with self._changed:
                self._changed.wait_for(lambda: self._state.waiting or self._state.closed)
                if not self._state.unwritten and (wait_s := self._wait_s()):
                    self._changed.wait(min(wait_s, WRITE_S))
                if self._state.unwritten or self._wait_s():
                    continue
                batch, self._state.waiting = self._state.waiting, []
                self._state.under_way, self._state.hurry = len(batch), False
                self._changed.notify_all()
                if not batch and self._state.closed:
                    return
            for item in batch:
                item.part.begin_sync()  # the disk begins with all of them, before it is waited for
            for item in batch:
                _commit(item)
                self._write_new()
            with self._changed:
                self._state.under_way = 0
                self._changed.notify_all()

    def _write_new(self) -> None:
        with self._changed:
            unwritten, self._state.unwritten = self._state.unwritten, []
        for item in unwritten:
            _write(item)

    def _wait_s(self) -> float:
        """How long to wait for more; 0: now."""
        state, now = self._state, time.monotonic()
        if state.hurry or state.closed or len(state.waiting) >= BATCH_FILES:
            return 0
        return max(0.0, min(state.last_at + PAUSE_S, state.first_at + LONGEST_S) - now)


def _write(item: _Item) -> None:
    try:
        item.part.write_back()
        item.written()
    except (PipelineError, OSError) as e:  # its commit will not find it right then
        log.warning("%s", e)


def _commit(item: _Item) -> None:
    part = item.part
    try:
        with part:
            part.commit()
    except PipelineError as e:  # who waited has had all of it, and the next one will fetch it anew
        log.warning("%s", e)
    except Exception:  # of one file; the thread it would end keeps all the others. The file is fetched anew.
        log.exception("%s", part.path)
    finally:
        item.done()
