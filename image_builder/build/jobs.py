"""A plan cut into jobs for several machines, as CI systems want them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from image_builder.plan.tree import Node, chain


@dataclass(frozen=True)
class Job:
    """What one machine builds. weight: expected seconds of all its steps, one after the other, from nothing."""

    name: str
    targets: tuple[str, ...]
    weight: float


def jobs(
    roots: Sequence[Node], targets: Sequence[str], expected: Callable[[Node], float], *, by_branch: bool
) -> list[Job]:
    """One job per target, or per branch of the tree: targets that hand over the same root go together.

    The heaviest job comes first, so that a CI system with few machines starts it first.
    """
    groups: dict[str, list[str]] = {}
    for target in targets:
        steps = chain(roots, target)
        root = next((node.key for node in steps if node.spec.kind == "finish"), target)
        groups.setdefault(root if by_branch else target, []).append(target)
    found = []
    for group in groups.values():
        steps = list({node.key: node for target in group for node in chain(roots, target)}.values())
        found.append(Job("+".join(group), tuple(group), round(sum(map(expected, steps)), 1)))
    return sorted(found, key=lambda job: (-job.weight, job.name))


def github(found: Sequence[Job]) -> dict[str, object]:
    """A matrix for `strategy: matrix: ${{ fromJSON(...) }}` of GitHub Actions."""
    return {"include": [{"name": j.name, "targets": " ".join(j.targets), "weight": j.weight} for j in found]}


def gitlab(found: Sequence[Job], template: str) -> dict[str, object]:
    """A child pipeline of GitLab: a job for each, made by the job `.image` of the file named by template.

    JSON is YAML, which is all GitLab asks of the file an artefact hands to `trigger: include`.
    """
    pipeline: dict[str, object] = {"include": [{"local": template}]}
    for job in found:
        variables = {"IMAGE_TARGETS": " ".join(job.targets), "IMAGE_WEIGHT": str(job.weight)}
        pipeline[f"image {job.name}"] = {"extends": ".image", "variables": variables}
    return pipeline
