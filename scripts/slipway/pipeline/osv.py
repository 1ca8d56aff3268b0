"""The scanner's database: downloaded from the OSV feed, or the shipped sample where the feed is out of reach.

The scanner itself takes a missing database for "0 vulnerabilities", so what is there, how old it is and
where it came from is recorded beside it and checked before every scan.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from slipway import paths
from slipway.errors import InvalidInput, MachineError, Unreachable

_FIX = "run `slipway ci scan --update-db`"
SAMPLE = paths.CHECKOUT / "ci" / "osv-sample"


@dataclass(frozen=True)
class Database:
    """What is known of the local database; `ecosystems` maps a name to its advisories and digest."""

    source: str
    fetched: str
    ecosystems: dict[str, dict]

    @property
    def advisories(self) -> int:
        """How many advisories there are in all."""
        return sum(e["advisories"] for e in self.ecosystems.values())

    def age(self, now: datetime) -> timedelta:
        """How long ago the feed was last asked for."""
        return now - datetime.fromisoformat(self.fetched)

    def text(self) -> str:
        """In so many words, for every report."""
        names = ", ".join(sorted(self.ecosystems))
        if self.source == "sample":
            return f"sample database: {self.advisories} advisories ({names}), put in place {self.fetched}; not a real scan"
        return f"database of {self.source}: {self.advisories} advisories ({names}), fetched {self.fetched}"


def folder(override: Path | None = None) -> Path:
    """Where the database is kept: the option, or the cache."""
    return override or paths.cache() / "osv"


def read(where: Path) -> Database:
    """The recorded facts; refuses a database that is missing or is not what was recorded."""
    try:
        database = Database(**json.loads((where / "database.json").read_text()))
    except FileNotFoundError as exc:
        raise MachineError("there is no vulnerability database", path=where, fix=_FIX) from exc
    except (ValueError, TypeError) as exc:
        raise MachineError("the vulnerability database is not readable", path=where, fix=_FIX) from exc
    for name, facts in database.ecosystems.items():
        file = _file(where, name)
        if not file.is_file() or _digest(file) != facts["sha256"]:
            raise MachineError(f"the database for {name} is missing or was changed", path=file, fix=_FIX)
    return database


def require(database: Database, needed: set[str], max_age_days: int, sample: str, now: datetime) -> None:
    """Refuse a database that is too old, lacks an ecosystem, or is the sample where that is not allowed."""
    age = database.age(now)
    if age > timedelta(days=max_age_days) or age < timedelta(hours=-1):
        raise MachineError(
            f"the vulnerability database is of {database.fetched}, {max_age_days} day(s) are allowed",
            fix=_FIX,
        )
    missing = sorted(needed - set(database.ecosystems))
    if missing:
        refuse_missing(missing)
    if database.source == "sample" and sample != "allow":
        raise MachineError(
            f"only the {database.text()}",
            fix="make the feed reachable, or set `scan.sample: allow` in ci/pipeline.yaml",
        )


def refuse_missing(ecosystems: list[str]) -> NoReturn:
    """Refuse because packages were found that nothing is known of."""
    raise MachineError(
        f"no vulnerability database for {', '.join(ecosystems)}",
        fix=f"add it to `scan.ecosystems` and {_FIX}",
    )


def update(
    where: Path, feed: str, ecosystems: list[str], now: datetime, refresh_hours: float = 0
) -> tuple[Database, str | None]:
    """Fetch the feed; where it cannot be reached keep a fetched database, else put the sample in place.

    A database fetched less than `refresh_hours` ago stays as it is. Returns the database and, if the feed was out
    of reach, why.
    """
    fresh = _fetched(where)
    if fresh and set(ecosystems) <= set(fresh.ecosystems) and fresh.age(now) < timedelta(hours=refresh_hours):
        return fresh, None
    partial = where.with_name(where.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name in ecosystems:
            _download(f"{feed}/{name}/all.zip", _file(partial, name))
        source, reason = feed, None
    except Unreachable as exc:
        shutil.rmtree(partial, ignore_errors=True)
        if kept := _fetched(where):
            return kept, exc.message
        _sample(partial, ecosystems)
        source, reason = "sample", exc.message
    facts = {
        name: {"advisories": _count(_file(partial, name)), "sha256": _digest(_file(partial, name))}
        for name in ecosystems
    }
    database = Database(source, now.astimezone(UTC).isoformat(timespec="seconds"), facts)
    (partial / "database.json").write_text(json.dumps(asdict(database), indent=2))
    shutil.rmtree(where, ignore_errors=True)
    partial.rename(where)
    return database, reason


def _fetched(where: Path) -> Database | None:
    """The whole database that is there, unless it is the sample."""
    try:
        database = read(where)
    except MachineError:
        return None
    return None if database.source == "sample" else database


def _file(where: Path, ecosystem: str) -> Path:
    """Where the scanner looks for an ecosystem's advisories."""
    return where / "osv-scalibr" / ecosystem / "all.zip"


@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_attempt(2),
    wait=wait_random_exponential(max=2),
    reraise=True,
)
def _fetch(url: str, file: Path) -> None:
    with httpx.stream("GET", url, timeout=httpx.Timeout(60, connect=5), follow_redirects=True) as response:
        response.raise_for_status()
        with file.open("wb") as sink:
            for chunk in response.iter_bytes():
                sink.write(chunk)


def _download(url: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(url, file)
    except httpx.HTTPError as exc:
        raise Unreachable(f"{url} did not answer: {exc or type(exc).__name__}") from exc
    if not zipfile.is_zipfile(file):
        raise Unreachable(f"{url} answered with something that is not a database")


def _sample(where: Path, ecosystems: list[str]) -> None:
    """Pack the shipped advisories as the scanner expects them."""
    for name in ecosystems:
        file = _file(where, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for advisory in sorted((SAMPLE / name).glob("*.json")):
                archive.write(advisory, advisory.name)


def _count(file: Path) -> int:
    with zipfile.ZipFile(file) as archive:
        count = sum(name.endswith(".json") for name in archive.namelist())
    if not count:
        raise InvalidInput("a database without advisories", path=file)
    return count


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
