"""clean_root.sh: what no image may hold is found, each for itself, and taken away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests_live_build import Shell, plant

