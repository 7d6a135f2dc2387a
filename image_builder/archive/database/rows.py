"""Packages as rows: reading, writing, and the columns that only queries need."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Label, and_, bindparam, case, select, update

from image_builder.archive.database.tables import bd_problems, packages
from image_builder.archive.database.together import delete_rows, insert_rows, update_rows
from image_builder.archive.model import Key
from image_builder.archive.priority import Weights, static_priority
from image_builder.archive.states import Cause, Package, State

_KEY = ("run", "suite", "architecture", "source")
_PROBLEM = ("bd_problem", "bd_chain")
_ORDER = [f.name for f in fields(Package)][1:]  # after the key
_FIELDS = [name for name in _ORDER if name not in _PROBLEM]
_STATE, _PREVIOUS, _CAUSE, _FIRST_PROBLEM = map(_ORDER.index, ("state", "previous_state", "cause", "bd_problem"))
# What the columns for the queue are made of.
_WEIGHED = {
    "priority_once",
    "priority_permanent",
    "section",
    "priority",
    "component",
    "notes",
    "last_build_seconds",
}
_STATES = {state.value: state for state in State}
_CAUSES = {cause.value: cause for cause in Cause}
MANY = 8000  # names, from which on it is quicker to read everything
AT_ONCE = 500  # names in one query; SQLite of old takes 999

_this = and_(*(packages.c[name] == bindparam(f"key_{name}") for name in _KEY))


def problem_column(name: str) -> Label[str]:
    """A column of bd_problems for a query on packages; NULL for packages in other states.

    Not a join: before PostgreSQL has counted the rows of a new table, it would compare each with each.
    """
    of_this = and_(*(bd_problems.c[part] == packages.c[part] for part in _KEY))
    problem = select(bd_problems.c[name]).where(of_this).correlate(packages).scalar_subquery()
    return case((packages.c.state == State.BD_UNINSTALLABLE.value, problem)).label(name)


everything = select(
    *(packages.c[name] for name in _KEY[1:]),
    *(problem_column(name.removeprefix("bd_")) if name in _PROBLEM else packages.c[name] for name in _ORDER),
)
_one = everything.where(_this)
_update_all = update(packages).where(_this)


def key_values(run: int, key: Key) -> dict[str, Any]:
    """The parameters of statements about one package."""
    return {"key_run": run, "key_suite": key.suite, "key_architecture": key.architecture, "key_source": key.source}


def load(connection: Connection, run: int, key: Key) -> Package | None:
    """Read one package."""
    row = connection.execute(_one, key_values(run, key)).first()
    return None if row is None else package_of(row)


def load_where(connection: Connection, *conditions: Any, limit: int | None = None) -> list[Package]:
    """Read the packages that meet conditions on the table `packages`, by suite, architecture and name."""
    query = everything.where(*conditions)
    query = query.order_by(packages.c.suite, packages.c.architecture, packages.c.source).limit(limit)
    return [package_of(row) for row in connection.execute(query)]


def load_named(
    connection: Connection, run: int, suite: str, architecture: str, sources: Collection[str]
) -> dict[str, Package]:
    """Read those of the named packages that are there."""
    of_run = (packages.c.run == run, packages.c.suite == suite, packages.c.architecture == architecture)
    found: dict[str, Package] = {}
    if len(sources) > MANY:
        of_place = everything.where(*of_run)
        wanted = set(sources)
        return {row.source: package_of(row) for row in connection.execute(of_place) if row.source in wanted}
    for names in _chunks(sorted(sources)):
        query = everything.where(*of_run, packages.c.source.in_(names))
        found.update((row.source, package_of(row)) for row in connection.execute(query))
    return found


def save(connection: Connection, run: int, old: Package, new: Package, weights: Weights) -> None:
    """Write what has changed of one package."""
    values = _values(new, weights)
    before = _values(old, weights)
    changed = {name: value for name, value in values.items() if value != before[name]}
    if changed:
        connection.execute(_update_all.values(changed), key_values(run, new.key))
    if (old.bd_problem, old.bd_chain) != (new.bd_problem, new.bd_chain):
        save_problems(connection, run, [(old, new)])


def save_many(connection: Connection, run: int, pairs: Sequence[tuple[Package, Package]], weights: Weights) -> None:
    """Write many packages that have changed: (as they were, as they are)."""
    if not pairs:
        return
    touched = {name for name in _FIELDS if any(getattr(old, name) != getattr(new, name) for old, new in pairs)}
    if touched & _WEIGHED:
        touched |= {"asked", "static_priority"}
    _update_columns(connection, run, [new for _, new in pairs], sorted(touched), weights)
    save_problems(connection, run, pairs)


def weigh(connection: Connection, run: int, weighed: Sequence[Package], weights: Weights) -> None:
    """Reckon what the queue is sorted by anew."""
    _update_columns(connection, run, weighed, ["asked", "static_priority"], weights)


def _update_columns(
    connection: Connection, run: int, new: Sequence[Package], names: Sequence[str], weights: Weights
) -> None:
    if not names or not new:
        return
    rows = [(_values(package, weights), package.key) for package in new]
    changes = [{**{name: values[name] for name in names}, **key_values(run, key)} for values, key in rows]
    update_rows(connection, packages, changes)


def add_many(connection: Connection, run: int, new: Sequence[Package], weights: Weights) -> None:
    """Write packages that were not there."""
    rows = [{**dict(zip(_KEY, (run, *_key(p)), strict=True)), **_values(p, weights)} for p in new]
    insert_rows(connection, packages, rows)
    insert_rows(connection, bd_problems, [_problem(run, p) for p in new if p.bd_problem])


def remove(connection: Connection, run: int, gone: Sequence[Package]) -> None:
    """Delete packages."""
    keys = [key_values(run, p.key) for p in gone]
    delete_rows(connection, bd_problems, keys)
    delete_rows(connection, packages, keys)


def save_problems(connection: Connection, run: int, pairs: Iterable[tuple[Package, Package]]) -> None:
    """Write why the build dependencies of packages cannot be installed."""
    changed = [(o, n) for o, n in pairs if (o.bd_problem, o.bd_chain) != (n.bd_problem, n.bd_chain)]
    there = [key_values(run, old.key) for old, _ in changed if old.bd_problem]
    delete_rows(connection, bd_problems, there)
    insert_rows(connection, bd_problems, [_problem(run, new) for _, new in changed if new.bd_problem])


def _problem(run: int, package: Package) -> dict[str, Any]:
    values = (run, *_key(package), package.bd_problem, package.bd_chain)
    return dict(zip((*_KEY, "problem", "chain"), values, strict=True))


def _key(package: Package) -> tuple[str, str, str]:
    return package.key.suite, package.key.architecture, package.key.source


def _values(package: Package, weights: Weights) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(package, name) for name in _FIELDS}
    values["state"] = package.state.value
    values["previous_state"] = package.previous_state.value if package.previous_state else None
    values["cause"] = package.cause.value
    values["asked"] = package.priority_once + package.priority_permanent
    values["static_priority"] = static_priority(package, weights)
    return values


def package_of(row: Any) -> Package:
    """A row of `everything`."""
    suite, architecture, source, *values = row
    values[_STATE] = _STATES[values[_STATE]]
    values[_PREVIOUS] = _STATES.get(values[_PREVIOUS])
    values[_CAUSE] = _CAUSES[values[_CAUSE]]
    values[_FIRST_PROBLEM] = values[_FIRST_PROBLEM] or ""
    values[_FIRST_PROBLEM + 1] = values[_FIRST_PROBLEM + 1] or ""
    return Package(Key(suite, architecture, source), *values)


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]
