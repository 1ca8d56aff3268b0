"""The border to the cache of `slipway check`: stamps of files, what overlays reach, what became of them.

It is one SQLite file. Entries are found by the content of everything that decided them, so one that is there is
right; a cache that cannot be read or written costs time and nothing else.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from slipway.gate.graph import Reach

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stamps (root TEXT PRIMARY KEY, content BLOB);
CREATE TABLE IF NOT EXISTS reaches (overlay TEXT, reach TEXT, used INTEGER, PRIMARY KEY (overlay, reach)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (fingerprint TEXT PRIMARY KEY, result TEXT, used INTEGER) WITHOUT ROWID;
"""
_VERSION = 1
_DAY = 86400
_KEPT = 30 * _DAY
"""Seconds for which an entry that nobody uses is kept."""


class CheckCache:
    """The cache in a file; `None` for none. Use it as a context manager: what was added is written at the end."""

    def __init__(self, file: Path | None):
        self._db = _open(file) if file else None
        self._now = int(time.time())
        self._reaches: list[tuple[str, str, int]] = []
        self._results: list[tuple[str, str, int]] = []
        self._stamps: tuple[str, str] | None = None

    def __enter__(self) -> CheckCache:
        return self

    def __exit__(self, *exc: object) -> None:
        self.save()

    def stamps(self, root: Path) -> dict:
        """The stamps of a work tree's files, as `worktree.scan` takes them."""
        rows = self._all("SELECT content FROM stamps WHERE root = ?", str(root))
        known: dict = {}
        with suppress(ValueError, TypeError):
            known = (
                {path: (tuple(stamp), identity) for path, stamp, identity in json.loads(rows[0][0])}
                if rows
                else {}
            )
        return known

    def keep_stamps(self, root: Path, stamps: Mapping) -> None:
        """Replace the stamps of a work tree."""
        content = json.dumps([(path, stamp, identity) for path, (stamp, identity) in stamps.items()])
        self._stamps = (str(root), content)

    def reaches(self) -> Iterator[tuple[str, Reach]]:
        """Every overlay with what it once reached; an overlay comes once for each variant, newest first."""
        for overlay, text, used in self._all("SELECT overlay, reach, used FROM reaches ORDER BY used DESC"):
            if used < self._now - _DAY:
                self._reaches.append((overlay, text, self._now))
            yield overlay, Reach.load(text)

    def fingerprints(self) -> set[str]:
        """Every fingerprint of which a result is kept."""
        return {fingerprint for (fingerprint,) in self._all("SELECT fingerprint FROM results")}

    def result(self, fingerprint: str) -> str | None:
        """What became of an overlay with this fingerprint."""
        rows = self._all("SELECT result, used FROM results WHERE fingerprint = ?", fingerprint)
        if not rows:
            return None
        if rows[0][1] < self._now - _DAY:
            self._results.append((fingerprint, rows[0][0], self._now))
        return rows[0][0]

    def keep(self, overlay: str, reach: Reach, fingerprint: str, result: str) -> None:
        """Add what became of an overlay."""
        self._reaches.append((overlay, reach.dump(), self._now))
        self._results.append((fingerprint, result, self._now))
        if len(self._results) >= 500:
            self.save()

    def keep_result(self, fingerprint: str, result: str) -> None:
        """Add a result that belongs to no single overlay."""
        self._results.append((fingerprint, result, self._now))

    def save(self) -> None:
        """Write what was added, in one transaction; without success where the file cannot be written."""
        added = self._reaches or self._results or self._stamps
        if self._db and added:
            with suppress(sqlite3.Error), self._db:
                self._db.executemany("INSERT OR REPLACE INTO reaches VALUES (?, ?, ?)", self._reaches)
                self._db.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", self._results)
                if self._stamps:
                    self._db.execute("INSERT OR REPLACE INTO stamps VALUES (?, ?)", self._stamps)
        self._reaches, self._results, self._stamps = [], [], None

    def forget_old(self) -> None:
        """Remove what nobody has used for a month."""
        if self._db:
            with suppress(sqlite3.Error), self._db:
                for table in ("reaches", "results"):
                    self._db.execute(f"DELETE FROM {table} WHERE used < ?", (self._now - _KEPT,))

    def _all(self, query: str, *values: object) -> Iterable:
        if self._db:
            with suppress(sqlite3.Error):
                return self._db.execute(query, values).fetchall()
        return []


def _open(file: Path) -> sqlite3.Connection | None:
    """The database; one that is damaged or of another version is begun anew, None where that is not possible."""
    for _ in range(2):
        with suppress(OSError, sqlite3.Error):
            file.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(file, timeout=10)
            if _usable(db):
                return db
            db.close()
        with suppress(OSError):
            file.unlink(missing_ok=True)
    return None


def _usable(db: sqlite3.Connection) -> bool:
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            return False
        if not version:
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("SELECT count(*) FROM (SELECT 1 FROM results LIMIT 1)").fetchone()
        return True
    except sqlite3.DatabaseError as exc:
        return isinstance(exc, sqlite3.OperationalError) and "locked" in str(exc)


_IMPORT = re.compile(r"^\s*from slipway(?:\.([\w.]+))? import (.*)$", re.MULTILINE)


def code(package: Path) -> Iterator[bytes]:
    """The source of every rule, of `slipway check`, and of what they import from this package."""
    pending = [package / "gate" / "check.py", *sorted((package / "rules").glob("*.py"))]
    seen = set(pending)
    while pending:
        content = pending.pop(0).read_bytes()
        yield content
        for module, names in _IMPORT.findall(content.decode()):
            inside = [name.split()[0] for name in names.strip("()").split(",") if name.strip()]
            parts = [module, *(f"{module}.{name}".lstrip(".") for name in inside)]
            for part in parts:
                file = package / (part.replace(".", "/") + ".py")
                if file not in seen and file.is_file():
                    seen.add(file)
                    pending.append(file)
