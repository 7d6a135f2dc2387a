"""image-builder archive repository: show, check, make anew, and say what builds may use."""

from __future__ import annotations

import click

from image_builder.archive.repository.full import Changes
from image_builder.archive.repository.repository import Repository
from image_builder.archive.repository.useforbuild import Flag
from image_builder.archive.repository.winners import Provider
from image_builder.archive.stages import stages_of
from image_builder.cli.archive.context import Opened, archive_options
from image_builder.errors import PipelineError


def opened_repository(opened: Opened) -> Repository:
    """What is published: of each source the result of the latest stage."""
    return stages_of(opened.config).newest


@click.group()
def repository() -> None:
    """The repository that builds use: of each binary name one file of one source.

    Where several sources give a name, the first one by its name does; its own packages come before those another
    architecture delivered. What is off by useforbuild is kept and published, and not offered to builds.
    """


@repository.command()
@click.argument("name", required=False)
@click.option("--architecture", metavar="NAME", help="Default: all.")
@archive_options
def show(opened: Opened, name: str | None, architecture: str | None) -> None:
    """Which file is offered under each binary name; with NAME, which others give it too.

    Raises nothing where nothing was built: the list is empty then.
    """
    there, suite, lines = opened_repository(opened), opened.config.suite, []
    rows: list[dict[str, object]] = []
    for one in [architecture] if architecture else there.architectures(suite):
        offered = there.winners(suite, one)
        found = list(offered.values()) if name is None else there.providers(suite, one, name)
        for provider in found:
            rows.append(_row(provider, one, is_offered=offered.get(provider.name) == provider))
            mark = "" if offered.get(provider.name) == provider else "  (not offered)"
            lines.append(f"{one}  {provider.name}  {provider.source}  {provider.file}{mark}")
    if name is not None and not rows:
        raise PipelineError("nothing that was built is called so", where=name)
    opened.print(rows, lines)


def _row(one: Provider, architecture: str, *, is_offered: bool) -> dict[str, object]:
    return {"architecture": architecture, "name": one.name, "source": one.source, "file": one.file,
            "from": one.origin or architecture, "offered": is_offered}  # fmt: skip


@repository.command()
@archive_options
def update(opened: Opened) -> None:
    """Take in what changed in the results. Builds do this by themselves; after a change by hand it is for you."""
    done = Changes()
    for one in stages_of(opened.config).existing().values():
        done += one.update(opened.config.suite)
    opened.print({"linked": done.linked, "removed": done.removed}, [f"{done.linked} linked, {done.removed} removed"])


@repository.command()
@archive_options
def rebuild(opened: Opened) -> None:
    """Make the repository anew from the results and flags. It is the same again, unless somebody changed it."""
    done = Changes()
    for one in stages_of(opened.config).existing().values():
        done += one.rebuild(opened.config.suite)
    opened.print({"linked": done.linked, "removed": done.removed}, [f"{done.linked} linked, {done.removed} removed"])


@repository.command()
@archive_options
def verify(opened: Opened) -> None:
    """Compare the repository with what results and flags say. Exit status 1 where it differs."""
    there = stages_of(opened.config).existing()
    wrong = [f"{name}: {line}" if name else line
             for name, one in there.items() for line in one.verify(opened.config.suite)]  # fmt: skip
    opened.print(wrong, wrong)
    if wrong:
        raise PipelineError(
            f"{len(wrong)} names are not as they should be", where=opened.config.repository,
            hint="image-builder archive repository rebuild",
        )  # fmt: skip


@repository.command()
@click.argument("source", required=False)
@click.argument("value", required=False, type=click.Choice(["on", "off", "default"]))
@click.option("--project", type=click.Choice(["on", "off", "default"]), help="For all packages that say nothing else.")
@click.option("--architecture", metavar="NAME", help="Only for builds of this architecture.")
@archive_options
def useforbuild(
    opened: Opened, source: str | None, value: str | None, project: str | None, architecture: str | None
) -> None:
    """Say whether builds may use what SOURCE gave: on, off, or whatever the project says (default).

    Takes effect before the command ends. Without arguments, the flags that are set are shown.
    """
    there, suite = stages_of(opened.config), opened.config.suite
    flags = there.newest.flags(suite)
    if source is not None and value is None:
        raise click.UsageError("say on, off or default")
    if source is None and project is None:
        named = {"(project)": flags.project, **flags.packages}
        rows = [
            {"source": name, "on": one.on, "architecture": one.architecture}
            for name, some in named.items() for one in some
        ]  # fmt: skip
        opened.print(rows, (f"{r['source']}  {'on' if r['on'] else 'off'}  {r['architecture'] or ''}" for r in rows))
        return
    for name, word in ((source, value), (None, project)):
        if word is not None:
            flag = Flag(word == "on", None, architecture)
            flags = flags.without_flag(name, flag) if word == "default" else flags.with_flag(name, flag)
    done = there.set_flags(suite, flags)
    opened.print({"linked": done.linked, "removed": done.removed}, [f"{done.linked} linked, {done.removed} removed"])
