"""Where things are: the checkout, the cache outside it, and the platform's one state directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PYTHON = Path(sys.prefix) / "bin" / "python"
"""This environment's interpreter, by one name whoever calls (`sys.executable` has several)."""
TOOL_MODULES = CHECKOUT / "scripts" / "tools"


def cache() -> Path:
    """What may be kept between checkouts and machines: built tools, images, downloads."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway"
    return Path(os.environ.get("SLIPWAY_CACHE") or default)


def state() -> Path:
    """Everything the running platform writes; `slipway down` removes it whole."""
    return Path(os.environ.get("SLIPWAY_STATE") or "/var/lib/slipway")
