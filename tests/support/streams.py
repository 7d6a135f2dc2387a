"""Root tests in two streams (`-n 2 --dist loadscope`): the images, which share one layer store, and all others."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling


class Streams(LoadScopeScheduling):
    """Each stream is run by one process, from its beginning to its end."""

    def _split_scope(self, nodeid: str) -> str:
        # Not by --dist loadgroup: with pytest 9.2, xdist 3.8 takes no notice of the groups' names.
        return "images" if nodeid.startswith("tests/images/") else "others"
