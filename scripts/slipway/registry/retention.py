"""Which images the registry must keep because Git names them, and whether a lifecycle policy lets it. No I/O.

Needed is what an overlay names now, what it named after each of its last commits, and what the oldest of those
replaced, so that every one of them can be reverted. An index, a signature or an attestation is needed with its image.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from slipway.errors import EditRefused
from slipway.kustomization.images import Entry, read_images
from slipway.registry.ecr_lifecycle import KEEP, Fate, LifecyclePolicy, Stored, fates, keep_tag
from slipway.registry.references import NOTHING, Reference

if TYPE_CHECKING:
    from slipway.git.history import Version

FOLDER = "overlays"
_FILE = re.compile(rf"{FOLDER}/([^/]+)/(?:(.+)/)?(?:kustomization\.ya?ml|Kustomization)")
_COSIGN = re.compile(r"sha256-([0-9a-f]{64})(?:\.[a-z]+)?")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Use:
    """An overlay that names an image: since which commit, and whether it still does."""

    environment: str
    app: str
    commit: str
    time: datetime
    current: bool

    def __str__(self) -> str:
        where = f"{self.environment}/{self.app}" if self.app else self.environment
        return where if self.current else f"{where} at {self.commit[:7]} ({self.time:%Y-%m-%d})"

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        plain = {k: getattr(self, k) for k in ("environment", "app", "commit", "current")}
        return plain | {"time": self.time.isoformat()}


@dataclass
class Needs:
    """What Git names: per reference its uses, the newest first. `unclear` are entries without tag and digest."""

    uses: dict[Reference, list[Use]] = field(default_factory=dict)
    unclear: list[str] = field(default_factory=list)

    def by_repository(self) -> dict[str, dict[Reference, list[Use]]]:
        """The same for each repository, which is an image's name."""
        found: dict[str, dict[Reference, list[Use]]] = {}
        for reference, uses in self.uses.items():
            found.setdefault(reference.name, {})[reference] = uses
        return dict(sorted(found.items()))


def select(versions: Iterable[Version], commits: Mapping[str, int]) -> list[tuple[Version, bool]]:
    """The versions of overlays that count, and whether each is the one of now; `versions` come newest first.

    `commits` says how many there are of an environment, which must be one that Git has now. An overlay that was
    removed counts for as long as its removal is among the last commits of its environment.
    """
    of_path: dict[str, list[Version]] = {}
    of_environment: dict[str, dict[str, None]] = {}
    for version in versions:
        if found := _FILE.fullmatch(version.path):
            of_path.setdefault(version.path, []).append(version)
            of_environment.setdefault(found[1], {})[version.commit] = None
    chosen = []
    for path, own in of_path.items():
        environment = path.split("/")[1]
        if environment not in commits:
            continue
        count = commits[environment]
        if own[0].oid is None and own[0].commit not in list(of_environment[environment])[:count]:
            continue
        chosen += [(version, n == 0) for n, version in enumerate(own[: count + 1]) if version.oid]
    return chosen


def needs(
    chosen: Iterable[tuple[Version, bool]],
    contents: Mapping[str, bytes],
    *,
    ignored: Collection[str] = (),
    skipped: Collection[str] = (),
) -> Needs:
    """Every image that these versions name, except those of the registries in `skipped`.

    Raises `EditRefused` for a version that cannot be read, unless its commit is in `ignored` (the beginning of a
    commit's id is enough).
    """
    found = Needs()
    for version, current in sorted(chosen, key=lambda pair: pair[0].time, reverse=True):
        if not current and any(version.commit.startswith(commit) for commit in ignored):
            continue
        _, environment, app = (*version.path.split("/")[:-1], "")[:3]
        use = Use(environment, app, version.commit, version.time, current)
        for entry in _entries(version, current, contents):
            reference = entry.reference
            if reference.registry in skipped or reference.digest == NOTHING:
                continue
            if not (reference.tag or reference.digest):
                reason = f"`{entry.name}` has neither tag nor digest: what it deploys is not told"
                if current:
                    raise EditRefused(reason, path=version.path, line=entry.line, fix="give it both")
                found.unclear.append(f"{version.path} at {version.commit[:7]}: {reason}")
                continue
            found.uses.setdefault(reference, []).append(use)
    return found


def _entries(version: Version, current: bool, contents: Mapping[str, bytes]) -> list[Entry]:
    at = "" if current else f"at {version.commit[:7]}: "
    fix = None if current else f"if it never ran, give --ignore-commit {version.commit[:12]}"
    if not version.regular:
        raise EditRefused(f"{at}a symbolic link", path=version.path, fix=fix or "write a regular file")
    try:
        return read_images(contents[version.oid], path=version.path)
    except EditRefused as exc:
        raise EditRefused(at + exc.message, path=version.path, line=exc.line, fix=fix or exc.fix) from exc


@dataclass(frozen=True)
class Kept:
    """Something the registry must keep: `uses` of an image that Git names, or `because` it belongs to one."""

    digest: str
    image: Stored | None
    reference: Reference
    uses: tuple[Use, ...]
    because: str
    fate: Fate = Fate()
    held: bool = False
    """Whether an index that is kept as well holds it: the registry does not expire it before that."""

    @property
    def current(self) -> bool:
        """Whether an overlay names it now."""
        return any(use.current for use in self.uses)

    @property
    def protected(self) -> bool:
        """Whether it has its protecting tag, or needs none."""
        return self.held or self.image is None or keep_tag(self.digest) in self.image.tags

    def problem(self, limit: datetime) -> str | None:
        """Why it is lost, or will be by `limit`; None when it stays, or when only the past named it and it is gone."""
        what = f"{self.reference}, {self.because}"
        if self.image is None or self.image.archived:
            state = "in the archive, from where nothing is pulled" if self.image else "not in the registry"
            return f"{what}, is {state}" if self.current else None
        if self.fate.due is None or self.fate.due > limit:
            return None
        done = "expired" if self.fate.action == "expire" else "archived"
        return f"{what}, would be {done} by rule {self.fate.rule} from {self.fate.due:%Y-%m-%d} on"

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        return {
            "digest": self.digest if self.image or self.reference.digest else None,
            "reference": str(self.reference),
            "tags": list(self.image.tags) if self.image else [],
            "pushed": self.image.pushed.isoformat() if self.image and self.image.pushed else None,
            "present": self.image is not None and self.image.archived is None,
            "protected": self.image is not None and self.protected,
            "because": self.because,
            "uses": [use.as_dict() for use in self.uses],
            "rule": self.fate.rule,
            "action": self.fate.action,
            "due": self.fate.due.isoformat() if self.fate.due else None,
        }


@dataclass(frozen=True)
class Verdict:
    """One repository under one policy: what is kept, what else there is, and what is wrong."""

    name: str
    kept: tuple[Kept, ...]
    others: tuple[tuple[Stored, Fate], ...]
    problems: tuple[str, ...]

    def expiring(self, moment: datetime) -> int:
        """How many of the others are due at `moment`."""
        return sum(1 for _, fate in self.others if fate.due and fate.due <= moment)


def judge(
    name: str,
    named: Mapping[Reference, Sequence[Use]],
    images: Sequence[Stored],
    policy: LifecyclePolicy,
    *,
    moment: datetime,
    ahead: timedelta,
) -> Verdict:
    """Hold a policy against a repository: what Git names there must stay, now and for the time `ahead`.

    The time of a push that is not known is taken for the worst: long ago for what is needed, now for the rest.
    """
    kept = _kept(named, images)
    worst = {digest: _LONG_AGO for digest in kept}
    timed = [i if i.pushed else replace(i, pushed=worst.get(i.digest, moment)) for i in images]
    found = fates(policy, timed, moment)
    judged = tuple(replace(one, fate=found.get(one.digest, Fate())) for one in kept.values())
    problems = tuple(text for one in judged if (text := one.problem(moment + ahead)))
    others = tuple((image, found[image.digest]) for image in timed if image.digest not in kept)
    return Verdict(name, judged, others, problems)


def _kept(named: Mapping[Reference, Sequence[Use]], images: Sequence[Stored]) -> dict[str, Kept]:
    """Everything to keep by digest, what Git names first; a tag that is gone stands under its own name."""
    by_digest = {image.digest: image for image in images}
    by_tag = {tag: image for image in images for tag in image.tags}
    kept: dict[str, Kept] = {}
    for reference, uses in named.items():
        tagged = by_tag.get(reference.tag or "")
        digest = reference.digest or (tagged.digest if tagged else str(reference))
        before = kept[digest].uses if digest in kept else ()
        all_uses = tuple(sorted((*before, *uses), key=lambda use: (not use.current, -use.time.timestamp())))
        kept[digest] = Kept(digest, by_digest.get(digest), reference, all_uses, _because(all_uses))
    belongings = _belongings(images)
    queue = list(kept.values())
    for one in queue:
        for digest, because, held in belongings.get(one.digest, ()):
            if digest not in kept and digest in by_digest:
                reason = f"{because} of {one.reference.tag or one.digest[7:19]}"
                part = Reference(one.reference.name, None, digest)
                kept[digest] = Kept(digest, by_digest[digest], part, (), reason, held=held)
                queue.append(kept[digest])
    return kept


def _belongings(images: Sequence[Stored]) -> dict[str, list[tuple[str, str, bool]]]:
    """For each digest what belongs to it: digest, what it is, and whether the registry holds both together."""
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for image in images:
        for child in image.children:
            found.setdefault(image.digest, []).append((child, "an image in the index", True))
        if image.subject:
            found.setdefault(image.subject, []).append((image.digest, "an attachment", False))
        for tag in image.tags:
            if signed := _COSIGN.fullmatch(tag):
                found.setdefault(f"sha256:{signed[1]}", []).append((image.digest, "the signature", False))
    return found


def _because(uses: Sequence[Use]) -> str:
    """Who names an image, for people; uses come with those of now first."""
    now = [str(use) for use in uses if use.current]
    if now:
        return f"named by {', '.join(dict.fromkeys(now))}"
    more = f" and {len(uses) - 1} more" if len(uses) > 1 else ""
    return f"named by {uses[0]}{more}"


@dataclass(frozen=True)
class Plan:
    """The tags to write and to take away so that exactly what is needed is protected."""

    write: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]
    last: tuple[str, ...]
    """Tags that protect nothing needed, but are the only ones of their images; taking them would delete the image."""


def plan(kept: Iterable[Kept], images: Sequence[Stored], *, release: bool) -> Plan:
    """What to do in one repository; without `release` nothing is taken away."""
    kept = {one.digest: one for one in kept}
    lacking = [one for one in kept.values() if not one.protected and not one.image.archived]
    write = [(one.digest, keep_tag(one.digest)) for one in lacking]
    remove, last = [], []
    for image in images if release else ():
        tag = keep_tag(image.digest)
        if tag in image.tags and image.digest not in kept:
            (remove if any(not other.startswith(KEEP) for other in image.tags) else last).append(tag)
    return Plan(tuple(write), tuple(remove), tuple(last))


def carried_out(plan: Plan, images: Iterable[Stored]) -> list[Stored]:
    """The images as they stand after a plan."""
    written = dict(plan.write)
    return [
        replace(
            image,
            tags=(
                *(tag for tag in image.tags if tag not in plan.remove),
                *([written[image.digest]] if image.digest in written else []),
            ),
        )
        for image in images
    ]
