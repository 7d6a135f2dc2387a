"""A plan cut into jobs."""

from __future__ import annotations

import json

import pytest

from image_builder.build.jobs import Job, github, gitlab, jobs
from image_builder.build.weights import DEFAULT_SECONDS, OTHER_SECONDS, expectation
from image_builder.plan.tree import Node, StepSpec, grow


def step(kind: str, name: str) -> StepSpec:
    return StepSpec(kind=kind, name=name, inputs={"name": name})


BASE, ROOT, LIVE_ROOT = step("base", "base"), step("finish", "finish"), step("finish", "finish live")
CHAINS = {
    "tarball": [BASE, ROOT, step("binary", "tar")],
    "iso": [BASE, step("chroot", "live"), LIVE_ROOT, step("image", "iso")],
    "squashfs": [BASE, ROOT, step("binary", "squashfs")],
}
SECONDS = {"base": 20.0, "finish": 8.0, "finish live": 9.0, "live": 1.0, "tar": 30.0, "squashfs": 30.0, "iso": 60.0}


def seconds(node: Node) -> float:
    return SECONDS[node.spec.name]


def test_one_job_per_target_heaviest_first() -> None:
    found = jobs(grow(CHAINS), list(CHAINS), seconds, by_branch=False)
    assert found == [
        Job("iso", ("iso",), 90.0),
        Job("squashfs", ("squashfs",), 58.0),
        Job("tarball", ("tarball",), 58.0),
    ]


def test_by_branch_targets_with_the_same_root_go_together_and_share_its_steps() -> None:
    found = jobs(grow(CHAINS), list(CHAINS), seconds, by_branch=True)
    assert found == [Job("iso", ("iso",), 90.0), Job("tarball+squashfs", ("tarball", "squashfs"), 88.0)]


def test_github_takes_it_as_a_matrix() -> None:
    said = json.loads(json.dumps(github([Job("a+b", ("a", "b"), 3.5)])))
    assert said == {"include": [{"name": "a+b", "targets": "a b", "weight": 3.5}]}


def test_gitlab_takes_it_as_a_child_pipeline() -> None:
    said = gitlab([Job("a+b", ("a", "b"), 3.5)], "ci/image.yml")
    assert said["include"] == [{"local": "ci/image.yml"}]
    assert said["image a+b"] == {
        "extends": ".image",
        "variables": {"IMAGE_TARGETS": "a b", "IMAGE_WEIGHT": "3.5"},
    }


@pytest.mark.parametrize(
    ("usage", "kind", "expected"),
    [
        ({"seconds": 7.5}, "binary", 7.5),
        (None, "binary", DEFAULT_SECONDS["binary"]),
        ({"bytes": 5}, "packages", DEFAULT_SECONDS["packages"]),
        (None, "chroot", OTHER_SECONDS),
    ],
)
def test_a_step_takes_as_long_as_the_last_time(usage: dict[str, float] | None, kind: str, expected: float) -> None:
    node = grow({"x": [step(kind, "x")]})[0]
    assert expectation(lambda _: usage)(node) == expected
