"""Asking for a move of one package or many, and printing what became of it."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import click

from image_builder.archive.model import Key
from image_builder.archive.requests import Answer, Moved, Refusal, Request
from image_builder.archive.states import State
from image_builder.cli.archive.context import Opened, archive_options

_PATTERN = frozenset("*?[")
Question = tuple[Key, Request]


class Ask(Protocol):
    """Asks for a move of the packages meant. then: called with those that were moved, unless it is a dry run."""

    def __call__(self, request: Request, then: Callable[[Sequence[Key]], None] | None = None) -> None: ...


def move_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the packages and options of a move; it gets (opened, ask, …), and calls ask(request[, then])."""

    @click.argument("packages", nargs=-1, required=True, metavar="PACKAGE[_VERSION]…")
    @click.option("--suite", help="Only in this suite.")
    @click.option("--architecture", help="Only for this architecture, or all for the packages of all architectures.")
    @click.option(
        "--state",
        "states",
        multiple=True,
        type=click.Choice([state.value for state in State]),
        help="Only those in this state.",
    )
    @click.option("--override", is_flag=True, help="What belongs to others too, and what is refused for your own good.")
    @click.option("--user", metavar="NAME", help="On behalf of this builder or person. Default: you.")
    @click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
    @archive_options
    @functools.wraps(command)
    def wrapped(
        opened: Opened,
        packages: tuple[str, ...],
        suite: str | None,
        architecture: str | None,
        states: tuple[str, ...],
        override: bool,
        user: str | None,
        dry_run: bool,
        **words: Any,
    ) -> None:
        def ask(request: Request, then: Callable[[Sequence[Key]], None] | None = None) -> None:
            request = replace(request, override=override, real_user=opened.user(), user=user or opened.user())
            chosen = choose(opened, packages, suite, architecture, [State(s) for s in states], request)
            _ask(opened, chosen, dry_run, then)

        command(opened, ask, **words)

    return wrapped


def choose(
    opened: Opened,
    words: Sequence[str],
    suite: str | None,
    architecture: str | None,
    states: Sequence[State],
    request: Request,
) -> list[Question | Refusal]:
    """The packages meant by NAME, NAME_VERSION and patterns, each with what is asked of it; what is meant by none."""
    chosen: dict[Key, Question | Refusal] = {}
    unknown: list[Question | Refusal] = []
    for word in words:
        name, _, version = word.partition("_")
        found = opened.database.packages(
            opened.run.identity, suite=suite, architecture=architecture, states=states, pattern=name
        )
        for package in found:
            chosen[package.key] = (package.key, replace(request, version=version or None))
        if not found:
            unknown.append(_unknown(opened, name, states))
    return [*chosen.values(), *unknown]


def _unknown(opened: Opened, name: str, states: Sequence[State]) -> Refusal:
    of = f" in state {' or '.join(states)}" if states else ""
    if _PATTERN & set(name):
        return Refusal(f"{name}: no package matches{of}")
    names = {package.key.source for package in opened.database.packages(opened.run.identity)}
    near = difflib.get_close_matches(name, names, n=1)
    if name in names:
        return Refusal(f"{name}: not {of.strip() or 'there'}")
    return Refusal(f"{name}: not known in {opened.run.name}", hint=f"did you mean {near[0]!r}?" if near else "")


def _ask(
    opened: Opened,
    questions: Sequence[Question | Refusal],
    dry_run: bool,
    then: Callable[[Sequence[Key]], None] | None,
) -> None:
    """Ask, print each answer, and end with status 1 if one was a refusal. then: called with those that were moved."""
    answers: list[tuple[Key | None, Answer]] = []
    asked: dict[Request, list[Key]] = {}
    for question in questions:
        if isinstance(question, Refusal):
            answers.append((None, question))
        else:
            asked.setdefault(question[1], []).append(question[0])
    now = opened.now()
    for request, keys in asked.items():
        answers += opened.database.move_many(opened.run.identity, keys, request, now, dry_run=dry_run)
    if opened.as_json:
        opened.print([_plain(key, answer) for key, answer in answers], ())
    else:
        for key, answer in answers:
            _say(key, answer, dry_run)
    if then is not None and not dry_run:
        then([key for key, answer in answers if key is not None and isinstance(answer, Moved)])
    if any(isinstance(answer, Refusal) for _, answer in answers):
        sys.exit(1)


def _say(key: Key | None, answer: Answer, dry_run: bool) -> None:
    if isinstance(answer, Refusal):
        click.echo(answer.what + (f"\n  hint: {answer.hint}" if answer.hint else ""), err=True)
        return
    for warning in answer.warnings:
        click.echo(f"warning: {warning}", err=True)
    package = answer.package
    done = "would be" if dry_run else "is"
    what = f"{done} {package.state}" if answer.changed else f"was {package.state} before; nothing to do"
    assert key is not None
    click.echo(f"{key.source} {package.full_version} ({key.suite} {key.architecture}): {what}")


def _plain(key: Key | None, answer: Answer) -> dict[str, object]:
    place = {} if key is None else {"source": key.source, "suite": key.suite, "architecture": key.architecture}
    if isinstance(answer, Refusal):
        return {**place, "refused": answer.what, "hint": answer.hint}
    return {**place, **_moved(answer)}


def _moved(answer: Moved) -> dict[str, object]:
    return {
        "version": answer.package.full_version,
        "state": answer.package.state,
        "previous_state": answer.package.previous_state,
        "changed": answer.changed,
        "warnings": list(answer.warnings),
    }
