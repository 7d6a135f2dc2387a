"""Root tests in two streams (`-n 2 --dist loadscope`): the images, which share one layer store, and all others.

The stream that is done first takes what is long and stands alone, though each process makes a store of its own for it.
Long tests have a third stream (`-n 3`), for the newcomers' machines, and with them as much of the others as makes all
three equally long.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

ALONE = ("tests/images/test_archive_demo.py", "tests/images/test_kills.py")
LONG = {
    "tests/full/test_archive_kills.py": "fresh roots",
    "tests/full/test_archive_whole.py": "fresh roots",
    "tests/full/test_fresh_roots.py": "fresh roots",
    "tests/images/test_foreign.py": "others",
}


class Streams(LoadScopeScheduling):
    """What is in one scope is run by one process, from its beginning to its end; scopes of more tests go first."""

    def _split_scope(self, nodeid: str) -> str:
        # Not by --dist loadgroup: with pytest 9.2, xdist 3.8 takes no notice of the groups' names.
        path = nodeid.partition("::")[0]
        if self.config.option.markexpr == "full":
            if path in LONG:
                return LONG[path]
        elif path in ALONE:
            return path
        return "images" if path.startswith("tests/images/") else "others"
