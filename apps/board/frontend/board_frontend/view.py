"""How things are put for a reader: ages, short forms, order. No I/O, no Streamlit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from board_frontend.schema import Deployment, Image

_UNITS = ((86400, "day"), (3600, "h"), (60, "min"), (1, "s"))

_HEALTH = {
    "Healthy": ("green", ":material/check_circle:"),
    "Progressing": ("blue", ":material/sync:"),
    "Degraded": ("red", ":material/error:"),
    "Suspended": ("orange", ":material/pause_circle:"),
    "Missing": ("orange", ":material/help:"),
}
"""Argo CD's health states."""


@dataclass(frozen=True)
class Grid:
    """Applications as rows, environments as columns."""

    applications: list[str]
    environments: list[str]
    cells: dict[tuple[str, str], Deployment]


def grid(items: Sequence[Deployment], order: Sequence[str]) -> Grid:
    """`items` arranged; environments in `order` first, the others by name."""
    environments = {item.environment for item in items}
    first = [name for name in order if name in environments]
    return Grid(
        applications=sorted({item.application for item in items}),
        environments=first + sorted(environments - set(first)),
        cells={(item.application, item.environment): item for item in items},
    )


def age(since: datetime, now: datetime) -> str:
    """`12 min`, `3 h`, `1 day`, `40 days`; `0 s` for what clocks put into the future."""
    seconds = max(0, int((now - since).total_seconds()))
    for size, name in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'s' if name == 'day' and count > 1 else ''}"
    return "0 s"


def moment(time: datetime) -> str:
    """A time to the minute, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def short(commit: str | None) -> str:
    """The first seven characters of a commit, or a dash."""
    return commit[:7] if commit else "–"


def image_line(image: Image) -> tuple[str, str]:
    """An image's last path component, and the first twelve characters of its digest or else its tag."""
    digest = (image.digest or "").removeprefix("sha256:")[:12]
    return image.name.rsplit("/", 1)[-1], digest or image.tag or "–"


def health(state: str) -> tuple[str, str, str]:
    """Text, colour and icon of a health state."""
    return (state or "Unknown", *_HEALTH.get(state, ("gray", ":material/help:")))


def plain(text: str) -> str:
    """`text` with nothing in it that Markdown would read as markup."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~:$&])", r"\\\1", text)
