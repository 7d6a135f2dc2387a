"""The states of a rebuild's packages, kept so that several programs can work on them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby

from sqlalchemy import Connection, Engine, delete, insert, select, text, update

from image_builder.archive.database import bulk, moving, seeing, trying
from image_builder.archive.database.problems import as_errors
from image_builder.archive.database.records import AttemptRecord, Expected, Finish, Merged, Result, Run, Start
from image_builder.archive.database.tables import leases, runs
from image_builder.archive.database.views import View
from image_builder.archive.importing import Found, Verdict
from image_builder.archive.model import Attempt, Base, Key
from image_builder.archive.priority import Weights
from image_builder.archive.requests import Action, Answer, Moved, Refusal, Request
from image_builder.archive.states import State
from image_builder.errors import PipelineError

_ANEW = (Action.GIVE_BACK, Action.WANT, Action.CLEAN)


class Database(View):
    """One database. Every method is one transaction, whole or not at all.

    What changes packages takes the lock of their (suite, architecture) first, so that nobody decides on what another
    is changing.
    """

    def __init__(self, engine: Engine, weights: Weights, where: str) -> None:
        super().__init__(engine, weights, where)
        self._writer = engine.execution_options(writes=True)
        self._runs: dict[int, Run] = {}

    @contextmanager
    def writing(self, suite: str = "", architecture: str = "") -> Iterator[Connection]:
        """A transaction that holds the lock of a suite and architecture, if they are given, until its end."""
        with as_errors(self.where), self._writer.begin() as connection:
            if suite and connection.dialect.name != "sqlite":  # SQLite: one writer at a time, for all it holds
                place = {"suite": suite, "architecture": architecture}
                connection.execute(
                    text("INSERT INTO locks VALUES (:suite, :architecture) ON CONFLICT DO NOTHING"), place
                )
                lock = "SELECT 1 FROM locks WHERE suite = :suite AND architecture = :architecture FOR UPDATE"
                connection.execute(text(lock), place)
            yield connection

    def add_run(
        self,
        rebuild: str,
        stage: int,
        base: Base,
        now: float,
        *,
        toolchain: str = "",
        follows: int | None = None,
        auto_dep_wait: bool = True,
        configuration: str = "{}",
    ) -> Run:
        """Begin a pass of a rebuild. Raises PipelineError if it was begun before."""
        values = {
            "name": f"{rebuild} stage {stage}",
            "rebuild": rebuild,
            "stage": stage,
            "base": base.value,
            "started": now,
            "toolchain": toolchain,
            "follows": follows,
            "auto_dep_wait": auto_dep_wait,
            "configuration": configuration,
        }
        with self.writing() as connection:
            if connection.dialect.name != "sqlite":
                connection.execute(text("LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE"))
            this = select(runs).where(runs.c.name == values["name"])
            if connection.execute(this).first() is not None:
                raise PipelineError(f"{values['name']} was begun before", where=self.where)
            connection.execute(insert(runs), values)
            return seeing.run_of(connection.execute(this).one())

    def finish_run(self, run: int, now: float) -> None:
        """Note that a pass has come to its end."""
        with self.writing() as connection:
            connection.execute(update(runs).where(runs.c.id == run).values(finished=now))

    def renew_run(self, run: int, *, toolchain: str, configuration: str) -> Run:
        """Note that a pass goes on with another toolchain."""
        with self.writing() as connection:
            connection.execute(
                update(runs)
                .where(runs.c.id == run)
                .values(toolchain=toolchain, configuration=configuration, finished=None)
            )
            self._runs[run] = seeing.run_of(connection.execute(select(runs).where(runs.c.id == run)).one())
            return self._runs[run]

    def _terms(self, connection: Connection, run: int) -> Run:
        """A run's name, and the terms of it that never change."""
        if run not in self._runs:
            self._runs[run] = seeing.run_of(connection.execute(select(runs).where(runs.c.id == run)).one())
        return self._runs[run]

    def move(self, run: int, key: Key, request: Request, now: float) -> Answer:
        """Ask for a move of one package."""
        return self.move_many(run, [key], request, now)[0][1]

    def move_many(
        self, run: int, keys: Iterable[Key], request: Request, now: float, *, dry_run: bool = False
    ) -> list[tuple[Key, Answer]]:
        """Ask for the same move of many packages; each is answered by itself. dry_run: answer, and change nothing.

        Who is given back, wanted or cleaned here is tried as if for the first time; give-backs that follow from a
        result or from a lease that is over count on.
        """
        answers = []
        request = moving.clean(request)
        for (suite, architecture), group in groupby(sorted(keys), key=lambda k: (k.suite, k.architecture)):
            with self.writing(suite, architecture) as connection:
                terms = self._terms(connection, run)
                for key in group:
                    answer = moving.move(connection, terms, key, request, now, self.weights, dry_run=dry_run)
                    answers.append((key, answer))
                    if isinstance(answer, Moved) and request.action in _ANEW and not dry_run:
                        trying.forgive(connection, run, key)
        return answers

    def merge(
        self,
        run: int,
        suite: str,
        architecture: str,
        found: Iterable[Found],
        now: float,
        *,
        landing: State = State.BD_UNINSTALLABLE,
        forget_missing: bool = True,
    ) -> Merged:
        """Let the importer see all sources of a suite.

        landing: of what has to be built; as it is, nobody builds it before its build dependencies were looked at.
        forget_missing: delete the packages whose source is not among those found.
        """
        with self.writing(suite, architecture) as connection:
            terms = self._terms(connection, run)
            return bulk.merge_all(
                connection,
                terms,
                suite,
                architecture,
                found,
                now,
                self.weights,
                landing=landing,
                forget_missing=forget_missing,
            )

    def blacklist(self, run: int, suite: str, architecture: str, reasons: Mapping[str, str], now: float) -> int:
        """Make the sources named Not-For-Us, with the reason; allow again those no longer named. Return how many."""
        with self.writing(suite, architecture) as connection:
            terms = self._terms(connection, run)
            return bulk.blacklist_all(connection, terms, suite, architecture, reasons, now, self.weights)

    def judge(
        self,
        run: int,
        suite: str,
        architecture: str,
        builds: Mapping[str, Verdict],
        dep_waits: Mapping[str, Verdict],
        now: float,
    ) -> dict[str, State]:
        """Take note of what can be installed: build dependencies, and what a Dep-Wait waits for, by source.

        Sources that are not named stay as they are. Return the states that changed.
        """
        with self.writing(suite, architecture) as connection:
            terms = self._terms(connection, run)
            return bulk.judge_all(connection, terms, suite, architecture, builds, dep_waits, now, self.weights)

    def set_paths(self, run: int, suite: str, architecture: str, seconds: Mapping[str, float]) -> None:
        """Store the longest remaining path of each source named."""
        with self.writing(suite, architecture) as connection:
            bulk.set_paths(connection, self._terms(connection, run), suite, architecture, seconds)

    def set_expected(self, run: int, suite: str, architecture: str, expected: Mapping[str, Expected]) -> None:
        """Store what the build of each source named is expected to take."""
        with self.writing(suite, architecture) as connection:
            bulk.set_expected(connection, self._terms(connection, run), suite, architecture, expected)

    def reweigh_if_changed(self) -> bool:
        """Reckon priorities anew if the database was last used with other weights; return whether it was."""
        with self.writing() as connection:
            return bulk.reweigh(connection, self.weights)

    def start(
        self,
        run: int,
        key: Key,
        worker: str,
        now: float,
        *,
        lease_seconds: float,
        time_limit_seconds: float,
        alone: bool = False,
    ) -> Attempt | Refusal:
        """Take a package for a worker, and open an attempt whose token is live until the lease ends."""
        wanted = [Start(key, time_limit_seconds, alone)]
        return self.start_many(run, wanted, worker, now, lease_seconds=lease_seconds)[0]

    def start_many(
        self, run: int, wanted: Iterable[Start], worker: str, now: float, *, lease_seconds: float
    ) -> list[Attempt | Refusal]:
        """The same for many packages, in one transaction for each suite and architecture; answers as asked."""
        answers: dict[int, Attempt | Refusal] = {}
        asked = list(enumerate(wanted))
        for (suite, architecture), group in groupby(sorted(asked, key=_place_of_start), key=_place_of_start):
            with self.writing(suite, architecture) as connection:
                terms = self._terms(connection, run)
                for number, one in group:
                    answers[number] = trying.start(
                        connection, terms, one, worker, now, self.weights, lease_seconds=lease_seconds
                    )
        return [answers[number] for number, _ in asked]

    def heartbeat(self, live: Iterable[tuple[int, str]], now: float, lease_seconds: float) -> set[int]:
        """Renew the leases of (identity, token); return the identities of those that are live still."""
        with self.writing() as connection:
            return trying.beat(connection, live, now, lease_seconds)

    def finish(
        self, identity: int, token: str, result: Result, requests: Request | Sequence[Request], now: float
    ) -> Answer:
        """Take the result of an attempt and make the moves that follow from it, all or none.

        Only with the live token, and the version that was taken. Returns the answer to the last move; a result that
        is refused leaves a line in the book, and nothing else.
        """
        moves = (requests,) if isinstance(requests, Request) else tuple(requests)
        return self.finish_many([Finish(identity, token, result, moves)], now)[0]

    def finish_many(self, finished: Iterable[Finish], now: float) -> list[Answer]:
        """The same for many results, in one transaction for each suite and architecture; answers in their order."""

        def act(connection: Connection, run: Run, record: AttemptRecord, number: int) -> Answer:
            return trying.finish(connection, run, record, asked[number], now, self.weights)

        asked = list(finished)
        return self._with_attempts([one.identity for one in asked], act)

    def expire(self, identity: int, now: float, *, not_before: float = 0.0) -> Answer:
        """Give back the package of an attempt whose lease is over; its token is worth nothing from then on."""

        def act(connection: Connection, run: Run, record: AttemptRecord, number: int) -> Answer:  # noqa: ARG001
            return trying.expire(connection, run, record, now, not_before, self.weights)

        return self._with_attempts([identity], act)[0]

    def _with_attempts(
        self, identities: Sequence[int], act: Callable[[Connection, Run, AttemptRecord, int], Answer]
    ) -> list[Answer]:
        """Do something with each attempt while nobody else can; act's last argument: its place in the list."""
        answers: dict[int, Answer] = {}
        places: dict[tuple[str, str], list[int]] = {}
        with self.reading() as connection:
            for number, identity in enumerate(identities):
                record = trying.find(connection, identity)
                if record is None:
                    answers[number] = Refusal(f"there was no attempt {identity}")
                else:
                    key = record.attempt.key
                    places.setdefault((key.suite, key.architecture), []).append(number)
        for suite, architecture in sorted(places):
            with self.writing(suite, architecture) as connection:
                for number in places[suite, architecture]:
                    record = trying.find(connection, identities[number])  # as it is now
                    assert record is not None
                    answers[number] = act(connection, self._terms(connection, record.run), record, number)
        return [answers[number] for number in range(len(identities))]

    # Leases, of what only one program at a time may do

    def claim(self, name: str, holder: str, now: float, seconds: float) -> bool:
        """Take or renew a lease; False while somebody else has it."""
        theirs = text(
            "INSERT INTO leases (name, holder, until) VALUES (:name, :holder, :until) ON CONFLICT (name) DO UPDATE "
            "SET holder = excluded.holder, until = excluded.until "
            "WHERE leases.holder = excluded.holder OR leases.until <= :now"
        )
        with self.writing() as connection:
            values = {"name": name, "holder": holder, "until": now + seconds, "now": now}
            return connection.execute(theirs, values).rowcount == 1

    def release(self, name: str, holder: str) -> None:
        """Let go of a lease, if it is the holder's."""
        with self.writing() as connection:
            connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def _place_of_start(asked: tuple[int, Start]) -> tuple[str, str]:
    return asked[1].key.suite, asked[1].key.architecture
