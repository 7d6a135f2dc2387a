"""What can be read from the database of a rebuild."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, func, select

from image_builder.archive.database import bulk, queue, rows, seeing, trying
from image_builder.archive.database.problems import as_errors
from image_builder.archive.database.records import AttemptRecord, HistoryEntry, Run, Transaction
from image_builder.archive.database.tables import attempts, leases, packages, runs, transactions
from image_builder.archive.model import Key, Outcome
from image_builder.archive.priority import Order, Weights
from image_builder.archive.states import Cause, Package, State
from image_builder.errors import PipelineError

Place = seeing.Place


class View:
    """One database to look at. Every method sees one moment; times are POSIX seconds the caller gives.

    `run` is Run.identity. Methods raise SurroundingsError when the database does not answer.
    """

    def __init__(self, engine: Engine, weights: Weights, where: str) -> None:
        self.engine, self.where = engine, where
        self.weights = weights
        isolated = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self._reader = engine.execution_options(**isolated)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment."""
        with as_errors(self.where), self._reader.begin() as connection:
            yield connection

    def runs(self, rebuild: str | None = None) -> list[Run]:
        """All passes, oldest first."""
        query = select(runs).order_by(runs.c.id)
        with self.reading() as connection:
            found = connection.execute(query if rebuild is None else query.where(runs.c.rebuild == rebuild))
            return [seeing.run_of(row) for row in found]

    def run(self, name: str | int) -> Run:
        """The pass of that name, or Run.identity. Raises PipelineError naming those there are."""
        column = runs.c.id if isinstance(name, int) else runs.c.name
        with self.reading() as connection:
            row = connection.execute(select(runs).where(column == name)).first()
            if row is not None:
                return seeing.run_of(row)
            names = list(connection.execute(select(runs.c.name).order_by(runs.c.id)).scalars())
        near = difflib.get_close_matches(str(name), names, n=1)
        there = f"there are: {', '.join(names[-10:])}" if names else "there is none: nothing was begun here"
        raise PipelineError(
            f"no run {name!r}; {there}", where=self.where, hint=f"did you mean {near[0]!r}?" if near else ""
        )

    def package(self, run: int, key: Key) -> Package | None:
        """One package."""
        with self.reading() as connection:
            return rows.load(connection, run, key)

    def packages(
        self,
        run: int,
        *,
        suite: str | None = None,
        architecture: str | None = None,
        states: Collection[State] = (),
        pattern: str = "*",
        limit: int | None = None,
    ) -> list[Package]:
        """Packages by suite, architecture, name. pattern: of the source's name, as a shell has them."""
        conditions = [packages.c.run == run]
        conditions += [packages.c.suite == suite] if suite is not None else []
        conditions += [packages.c.architecture == architecture] if architecture is not None else []
        conditions += [packages.c.state.in_([state.value for state in states])] if states else []
        with self.reading() as connection:
            if pattern != "*":
                names = connection.execute(select(packages.c.source).where(*conditions).distinct()).scalars()
                chosen = [name for name in names if fnmatchcase(name, pattern)]
                if len(chosen) > rows.AT_ONCE:
                    found = [p for p in rows.load_where(connection, *conditions) if p.key.source in set(chosen)]
                    return found[:limit]
                conditions.append(packages.c.source.in_(chosen))
            return rows.load_where(connection, *conditions, limit=limit)

    def counts(self, run: int | None = None) -> dict[Place, dict[State, int]]:
        """How many packages are in each state, by (run, suite, architecture)."""
        with self.reading() as connection:
            return seeing.counts(connection, run)

    def cause_counts(self, run: int) -> dict[tuple[State, Cause], int]:
        """How many packages have each reason beside their state."""
        with self.reading() as connection:
            return seeing.cause_counts(connection, run)

    def to_judge(self, run: int, suite: str, architecture: str) -> list[Package]:
        """The packages whose state depends on what can be installed."""
        return self.packages(run, suite=suite, architecture=architecture, states=bulk.JUDGED)

    def next_jobs(
        self,
        run: int,
        suite: str,
        architecture: str,
        now: float,
        *,
        order: Order = Order.PATH,
        limit: int = 1,
        skip: Collection[str] = (),
    ) -> list[Package]:
        """What can be started, most urgent first. skip: sources that are not wanted."""
        with self.reading() as connection:
            return queue.next_jobs(
                connection, run, suite, architecture, now, self.weights, order=order, limit=limit, skip=skip
            )

    def next_moment(self, run: int, suite: str, architecture: str, now: float) -> float | None:
        """When the first package that waits for its time can be started; POSIX seconds."""
        with self.reading() as connection:
            return queue.next_moment(connection, run, suite, architecture, now)

    def attempt(self, identity: int) -> AttemptRecord | None:
        """One attempt."""
        with self.reading() as connection:
            return trying.find(connection, identity)

    def attempts(self, run: int, key: Key) -> list[AttemptRecord]:
        """All attempts at one package, oldest first."""
        with self.reading() as connection:
            return trying.listed(connection, *trying.of_package(run, key))

    def live_attempts(self, run: int | None = None) -> list[AttemptRecord]:
        """What is being built."""
        with self.reading() as connection:
            return trying.listed(connection, trying.LIVE, *([] if run is None else [attempts.c.run == run]))

    def last_attempts(self, run: int) -> dict[Key, AttemptRecord]:
        """Of each package the attempt that ended last."""
        with self.reading() as connection:
            found = trying.listed(connection, trying.last_ended(run))
        return {record.attempt.key: record for record in found}

    def expired(self, now: float) -> list[AttemptRecord]:
        """The attempts whose workers were not heard of until their lease was over."""
        with self.reading() as connection:
            return trying.listed(connection, trying.LIVE, attempts.c.lease_until < now)

    def ended(self, run: int, begin: float, end: float) -> int:
        """How many attempts ended between two moments, in POSIX seconds."""
        with self.reading() as connection:
            return trying.ended(connection, run, begin, end)

    def retried(self, run: int) -> dict[Key, list[AttemptRecord]]:
        """The attempts that have ended, oldest first, of packages whose end is open; at the version still wanted.

        Without those from before somebody asked for another try.
        """
        found: dict[Key, list[AttemptRecord]] = {}
        with self.reading() as connection:
            for record in trying.unsettled(connection, run):
                found.setdefault(record.attempt.key, []).append(record)
        return found

    def forgiven(self, run: int) -> set[int]:
        """The attempts that do not count any more, since somebody wants their packages built again."""
        query = select(attempts.c.id).where(attempts.c.run == run, attempts.c.forgiven.is_(True))
        with self.reading() as connection:
            return set(connection.execute(query).scalars())

    def attempt_counts(self, run: int, key: Key, version: str) -> dict[Outcome, int]:
        """How often each outcome has happened to one version of a source."""
        with self.reading() as connection:
            return trying.counts(connection, run, key, version)

    def transactions(
        self,
        run: int | None = None,
        *,
        key: Key | None = None,
        since: float = 0.0,
        after: int | None = None,
        limit: int | None = None,
    ) -> list[Transaction]:
        """The book of moves, newest first.

        since: POSIX seconds. after: a last_move() of before; what was written since then is told whatever its time.
        """
        with self.reading() as connection:
            return seeing.book(connection, run, key, since, after, limit)

    def last_move(self) -> int:
        """The number of the newest line in the book of moves; 0: it is empty."""
        with self.reading() as connection:
            return connection.execute(select(func.max(transactions.c.id))).scalar() or 0

    def latest(self) -> float:
        """The latest time that anything here says, POSIX seconds: a clock that is behind was set back. -inf: none."""
        with self.reading() as connection:
            said = connection.execute(select(func.max(transactions.c.time))).scalar()
            beaten = connection.execute(select(func.max(attempts.c.heartbeat)).where(trying.LIVE)).scalar()
        return max((one for one in (said, beaten) if one is not None), default=float("-inf"))

    def history(
        self,
        source: str | None = None,
        *,
        suite: str | None = None,
        architecture: str | None = None,
        limit: int | None = None,
    ) -> list[HistoryEntry]:
        """Builds, newest first, of whichever run."""
        with self.reading() as connection:
            return seeing.builds(connection, source, suite, architecture, limit)

    def last_builds(self, architecture: str) -> dict[str, HistoryEntry]:
        """The newest build of each source that succeeded, of whichever run and suite."""
        with self.reading() as connection:
            return seeing.last_builds(connection, architecture)

    def holder(self, name: str, now: float) -> str | None:
        """Who holds a lease now."""
        query = select(leases.c.holder).where(leases.c.name == name, leases.c.until > now)
        with self.reading() as connection:
            return connection.execute(query).scalar()
