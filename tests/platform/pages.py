"""The board's pages as tests/app walks through them, for the board that the platform runs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
from board_pages import address, chromium, usable, walk, watch

__all__ = ["address", "chromium", "usable", "walk", "watch"]
