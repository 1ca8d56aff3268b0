"""How things are put for a reader: ages, sizes, short forms, words. No I/O, no Streamlit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from board_frontend.schema import Compared, Image, ImagePair, Vulnerabilities

UNKNOWN = "unknown"
UNDEFINED = "undefined"

_UNITS = ((86400, "day"), (3600, "h"), (60, "min"), (1, "s"))

_TAG = re.compile(r"(?P<branch>.+)-\d{8}T\d{6}Z-(?P<commit>[0-9a-f]{7,40})")
"""How the pipeline names an image that is no release."""

TONES = {
    "Healthy": "ok",
    "Progressing": "busy",
    "Degraded": "bad",
    "Suspended": "warn",
    "Missing": "warn",
}
"""Argo CD's health states; any other is of no tone."""

VERDICT_TONES = {
    "live": "ok",
    "rolling": "busy",
    "waiting": "busy",
    "not-there": "none",
    "not-built": "none",
    "superseded": "none",
    "not-this-image": "none",
    "held": "warn",
    "blocked": "warn",
    "confirmation": "warn",
    "render-failed": "bad",
    "sync-failed": "bad",
    "degraded": "bad",
}
"""States of `slipway live`; any other is of no tone."""


@dataclass(frozen=True)
class Difference:
    """Two values and what became of the first; `tone` is `ok` when that is good, `bad` when not."""

    before: str
    after: str
    change: str
    tone: str = "none"


def age(since: datetime, now: datetime) -> str:
    """`12 min`, `3 h`, `1 day`, `40 days`; no seconds, so that a page that renews itself stays as it is."""
    seconds = int((now - since).total_seconds())
    for size, name in _UNITS[:-1]:
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'s' if name == 'day' and count > 1 else ''}"
    return "< 1 min"


def span(seconds: float | None) -> str:
    """A duration in its two largest units, `2 h 5 min`; `undefined` when there is none."""
    if seconds is None:
        return UNDEFINED
    if seconds < 1:
        return f"{seconds:.1f} s" if seconds > 0 else "0 s"
    rest, parts = int(seconds), []
    for size, name in _UNITS:
        if count := rest // size:
            parts.append(f"{count} {name}{'s' if name == 'day' and count > 1 else ''}")
            rest -= count * size
        elif parts:
            break
    return " ".join(parts[:2])


def moment(time: datetime | None) -> str:
    """A time to the minute, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if time else UNKNOWN


def moment_to_the_second(time: datetime | None) -> str:
    """A time to the second, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if time else UNKNOWN


def iso(time: datetime) -> str:
    """A time to the second, as commands take it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def short(commit: str | None) -> str:
    """The first seven characters of a commit, or a dash."""
    return commit[:7] if commit else "–"


def version(text: str | None) -> str:
    """`main · 1a2b3c4` for an image of the pipeline, a release as it is."""
    if not text:
        return "several versions"
    found = _TAG.fullmatch(text)
    return f"{found['branch']} · {found['commit'][:7]}" if found else text


def pinned(image: Image) -> str:
    """An image's last path component with its tag and the first twelve characters of its digest."""
    digest = (image.digest or "").removeprefix("sha256:")[:12]
    tag = f":{image.tag}" if image.tag else ""
    return f"{image.name.rsplit('/', 1)[-1]}{tag}{f'@{digest}' if digest else ''}"


def compared(one: Compared) -> str:
    """How a place differs from the one it is promoted from; nothing when it does not."""
    if one.state == "behind":
        count = f"{number(one.commits)} {plural(one.commits, 'commit')} " if one.commits else ""
        return f"{count}behind {one.to}"
    if one.state == "different":
        return f"differs from {one.to}"
    return f"unknown against {one.to}" if one.state == "unknown" else ""


def plural(count: int, word: str) -> str:
    """The word for so many."""
    return word if count == 1 else f"{word}s"


def number(value: float | None, digits: int = 0) -> str:
    """With thousands separated; `undefined` when there is none."""
    return UNDEFINED if value is None else f"{value:,.{digits}f}"


def percent(part: float | None) -> str:
    """A share of one; `undefined` when there is none."""
    return UNDEFINED if part is None else f"{part * 100:.1f} %"


def size(count: int | None) -> str:
    """Bytes as a registry shows them."""
    if count is None:
        return UNKNOWN
    if count < 1_000_000:
        return f"{count / 1000:,.1f} kB"
    return f"{count / 1_000_000:,.1f} MB"


def size_difference(pair: ImagePair) -> Difference:
    """From what the target runs to what would be shipped."""
    old, new = pair.to and pair.to.size, pair.from_ and pair.from_.size
    if old is None or new is None:
        return Difference(size(old), size(new), UNKNOWN)
    if old == new:
        return Difference(size(old), size(new), "same")
    grown = new - old
    share = f" ({grown / old * 100:+.1f} %)" if old else ""
    return Difference(
        size(old),
        size(new),
        f"{'+' if grown > 0 else '−'}{size(abs(grown))}{share}",
        "bad" if grown > 0 else "ok",
    )


def vulnerabilities(found: Vulnerabilities | None) -> str:
    """`1 critical, 3 high`, `none`, or `unknown` when no scan is known."""
    if found is None:
        return UNKNOWN
    counts = [f"{count} {name}" for name, count in found.model_dump().items() if count]
    return ", ".join(counts) or "none"


def vulnerability_difference(pair: ImagePair) -> Difference:
    """From what the target runs to what would be shipped; the tone is that of the worst severity that differs."""
    old, new = pair.to and pair.to.vulnerabilities, pair.from_ and pair.from_.vulnerabilities
    before, after = vulnerabilities(old), vulnerabilities(new)
    if old is None or new is None:
        return Difference(before, after, UNKNOWN)
    changes = [(name, getattr(new, name) - getattr(old, name)) for name in Vulnerabilities.model_fields]
    changes = [(name, change) for name, change in changes if change]
    if not changes:
        return Difference(before, after, "same")
    text = ", ".join(f"{'+' if change > 0 else '−'}{abs(change)} {name}" for name, change in changes)
    return Difference(before, after, text, "bad" if changes[0][1] > 0 else "ok")


def link(address: str | None) -> str | None:
    """An address that may be put into a page; None for a script or anything else that is no web page."""
    try:
        return address if address and urlsplit(address).scheme in ("http", "https") else None
    except ValueError:
        return None


def plain(text: str) -> str:
    """`text` with nothing in it that Markdown would read as markup."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~:$&])", r"\\\1", text)


def clipped(text: str, limit: int = 63) -> str:
    """The beginning of a text that a stranger may have written, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
