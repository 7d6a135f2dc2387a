"""A NoCloud seed: the small disk from which cloud-init in an image takes a password for this boot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from image_builder.errors import SurroundingsError
from image_builder.run import BASE_ENV, run

LABEL = "CIDATA"  # what cloud-init looks for; the upper-case spelling is the one FAT keeps

# cloud-init does its once-per-instance work, setting a password, only for an instance it has not seen.
META_DATA = "instance-id: image-builder-boot\n"


def user_data(user: str, password: str) -> str:
    """Return cloud-config that lets an existing user, or root, log in with a password."""
    config: dict[str, object] = {
        "chpasswd": {"expire": False, "users": [{"name": user, "password": password, "type": "text"}]},
    }
    if user == "root":
        config["disable_root"] = False
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"  # JSON is YAML without its quoting rules


def write_seed(target: Path, user: str, password: str) -> None:
    """Write the seed as a FAT image by mtools, or as an ISO by xorriso where that is what there is.

    The files are in a temporary folder of the caller's choice: beside target. Raises SurroundingsError when
    both programs are missing.
    """
    files = {"user-data": user_data(user, password), "meta-data": META_DATA}
    paths = [target.with_name(name) for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    if _there("mformat") and _there("mcopy"):
        run(["mformat", "-C", "-f", "1440", "-v", LABEL, "-i", target, "::"])
        run(["mcopy", "-i", target, *paths, "::/"])
    elif _there("xorriso"):
        run(["xorriso", "-as", "mkisofs", "-quiet", "-V", LABEL, "-J", "-r", "-o", target, *paths])
    else:
        raise SurroundingsError(
            "mtools is missing, which writes the disk that sets the password",
            where="mformat",
            hint="apt-get install mtools",
        )


def _there(program: str) -> bool:
    return shutil.which(program, path=BASE_ENV["PATH"]) is not None  # where run() looks


@contextmanager
def seeded(login: tuple[str, str] | None) -> Iterator[Path | None]:
    """Give the path of a seed for (user, password) within the block; None stays None."""
    if login is None:
        yield None
        return
    with TemporaryDirectory(prefix="image-builder-seed-") as folder:
        target = Path(folder, "seed.img")
        write_seed(target, *login)
        yield target
