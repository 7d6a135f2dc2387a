"""Publishes what was built over and over, as a process of its own that a test can kill.

python publisher_program.py FOLDER FIRST: FOLDER is a Rebuilt's; the first publication is FIRST seconds after DATE.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from published import DATE, Rebuilt

from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.publish.signing import Signer


def main(folder: Path, first: int) -> None:
    rebuilt = Rebuilt(folder, Signer.own(folder / "keys", DATE))
    for number in count(first):
        rebuilt.publish(FolderPlace(folder / "public"), DATE + number)
        (folder / "said").write_text(str(number))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
