"""`slipway diff`: what a change does to everything that is deployed, rendered from Git objects on both sides."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from slipway import toolchain
from slipway.errors import CommandFailed, InvalidInput, PolicyRefused
from slipway.gate.check_cache import CheckCache
from slipway.gate.check_overlay import Result, place_of
from slipway.gate.diff_objects import Change, compare_objects
from slipway.gate.diff_result import AppDiff, DiffResult, EnvironmentDiff, ImageDiff
from slipway.gate.discover import discover, root_kustomizations
from slipway.gate.graph import Reach
from slipway.gate.overlay import Object
from slipway.gate.prune import refusals
from slipway.gate.render import Rendered, Rendering, Target
from slipway.git.checkout import Checkout
from slipway.git.remote import log_between
from slipway.policy.environment import Environment, parse_policy
from slipway.registry.references import parse
from slipway.writing.lineage import recorded

Progress = Callable[[int, int], None]
"""Called with folders rendered and folders to render."""

COMMITS = 20
"""Source commits that are listed for an image."""

_MESSAGES = 500
"""Commits of the deploy repository that are searched for what is recorded of an image."""


class Side:
    """One commit: its files, what it deploys, and what of that is known from earlier runs."""

    def __init__(self, checkout: Checkout, commit: str):
        self.checkout, self.commit = checkout, commit
        self.ids = checkout.files(commit)
        self.paths = sorted(self.ids)
        self.deployed: dict[str, str] = {}
        """Folders that are deployed, and what deploys them."""
        self.rendered: dict[str, Rendered] = {}
        self.asked: set[str] = set()
        """Paths of files that were read to find out what is deployed."""

    @cached_property
    def folders(self) -> set[str]:
        """Every folder with a file in or below it."""
        found: set[str] = set()
        for path in self.ids:
            folder = path.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return found

    def id_of(self, path: str) -> str:
        """What stands for the content at a path: its id, `folder`, or nothing."""
        return self.ids.get(path) or ("folder" if path in self.folders else "")

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none."""
        self.asked.add(path)
        oid = self.ids.get(path)
        return self.checkout.blob(oid) if oid else None

    def policy(self, environment: str) -> Environment | None:
        """The policy of an environment; None where there is none that can be read."""
        path = f"overlays/{environment}/environment.yaml"
        try:
            return parse_policy(self.read(path), environment=environment, path=path)
        except (PolicyRefused, CommandFailed):
            return None

    def objects(self, folder: str) -> list[Object]:
        """The rendered objects of a folder; none where it is not there."""
        one = self.rendered.get(folder)
        return [Object(item["data"], item["file"], item["line"]) for item in one.objects] if one else []

    def error(self, folder: str) -> str:
        """Why a folder was not rendered; empty when it was."""
        one = self.rendered.get(folder)
        return f"{one.error.file}:{one.error.line}: {one.error.message}" if one and one.error else ""


class Comparison:
    """Two commits of a repository, with everything rendered that differs between them."""

    def __init__(self, before: Side, after: Side, cache: CheckCache, workers: int | None, progress: Progress):
        self.before, self.after, self.cache = before, after, cache
        self._workers, self._progress = workers, progress
        self._todo = self._done = 0
        self._counts: dict[tuple[str, str], int] = {}
        self.changed = _changed(before, after)
        self.problems: list[str] = []

    def run(self) -> None:
        """Find out what is deployed, and render what a change reaches, or may reach for all that is known."""
        self._find_deployed(self.before)
        if self._others_deployed():
            self._find_deployed(self.after)
        else:
            self.after.deployed = self.before.deployed
        here, there = self.before.deployed.keys(), self.after.deployed.keys()
        known = {f: reach for f in here & there if (reach := self._known_reach(self.before, f))}
        touched = {folder for folder, reach in known.items() if not self._apart(reach.files, reach.absent)}
        unknown = (here & there) - known.keys()
        first = [(self.before, folder) for folder in touched | unknown | (here - there)]
        first += [(self.after, folder) for folder in touched | (there - here)]
        self._todo = len(first)
        self._render(first, forget=unknown)
        self._render([(self.after, folder) for folder in unknown if folder in self.before.rendered])

    def folders(self) -> list[str]:
        """The folders that are rendered on each side that deploys them."""
        sides = (self.before, self.after)
        every = set(self.before.rendered) | set(self.after.rendered)
        return sorted(f for f in every if all(f in side.rendered for side in sides if f in side.deployed))

    def count(self, side: Side, environment: str) -> int:
        """How many objects an environment has at a commit; renders what nobody has counted yet."""
        folders = [f for f in side.deployed if f.startswith("overlays/") and place_of(f)[0] == environment]
        unknown = []
        for folder in folders:
            if (side.commit, folder) not in self._counts:
                reach = self._known_reach(side, folder)
                kept = reach and self.cache.result(self._fingerprint(side, folder, reach))
                if kept:
                    self._counts[side.commit, folder] = Result.load(kept).valid
                else:
                    unknown.append((side, folder))
        self._render(unknown, forget={folder for _, folder in unknown})
        return sum(self._counts.get((side.commit, folder), 0) for folder in folders)

    def _find_deployed(self, side: Side) -> None:
        """What a side deploys; Argo CD's own folders are part of it."""
        roots = root_kustomizations(side.paths, side.read)
        self._render([(side, root) for root in roots])
        objects = [one for root in roots for one in side.objects(root)]
        found = discover(objects, side.paths, side.read)
        failed = any(side.error(root) for root in roots)
        if side is self.after:
            self.problems += [f"{one.file}:{one.line}: {one.message}" for one in found.findings]
            # What Argo CD would do is not known then: nothing may look removed, and the error is shown.
            side.deployed = dict(self.before.deployed) if failed else {}
        side.deployed |= {path: one.by for path, one in found.deployments.items()}
        side.deployed |= dict.fromkeys(roots, "argocd")

    def _others_deployed(self) -> bool:
        """Whether the change may alter what is deployed: folders, Argo CD's own files, or what a generator reads."""
        asked = self.before.asked.union(*(one.files for one in self.before.rendered.values()))
        ours = any(path.startswith("argocd/") for path in self.changed)
        return ours or self.before.folders != self.after.folders or not self.changed.isdisjoint(asked)

    @cached_property
    def _salt(self) -> str:
        return f"diff {toolchain.tool('render')}"

    @cached_property
    def _reaches(self) -> dict[str, list[Reach]]:
        found: dict[str, list[Reach]] = {}
        for folder, reach in self.cache.reaches():
            found.setdefault(folder, []).append(reach)
        return found

    @cached_property
    def _known(self) -> set[str]:
        return self.cache.fingerprints()

    def _fingerprint(self, side: Side, folder: str, reach: Reach) -> str:
        return reach.fingerprint(f"{self._salt} {folder}", side.id_of)

    def _known_reach(self, side: Side, folder: str) -> Reach | None:
        """What a folder reaches at a commit, if it was rendered with the same content before."""
        for reach in self._reaches.get(folder, ()):
            if self._fingerprint(side, folder, reach) in self._known:
                return reach
        return None

    def _apart(self, files: Iterable[str], absent: Iterable[str]) -> bool:
        return self.changed.isdisjoint(files) and self.changed.isdisjoint(absent)

    def _render(self, wanted: Iterable[tuple[Side, str]], forget: Collection[str] = ()) -> None:
        """Render folders of the sides, and keep what each reaches and how many objects it has.

        What is in `forget` and not touched by the change is only counted.
        """
        chosen = {(side.commit, f): side for side, f in wanted if f not in side.rendered}
        targets = [
            Target(f, commit) for commit, f in sorted(chosen, key=lambda one: (place_of(one[1])[1], one))
        ]
        self._todo = max(self._todo, self._done + len(targets))
        root = self.before.checkout.path
        with Rendering(root, targets, check=False, workers=self._workers) as rendering:
            for one in rendering:
                self._take(chosen[one.target.commit, one.target.path], one, one.target.path in forget)
                self._done += 1
                self._progress(self._done, self._todo)

    def _take(self, side: Side, one: Rendered, forget: bool) -> None:
        folder = one.target.path
        self._counts[side.commit, folder] = len(one.objects)
        if one.error or not forget or not self._apart(one.files, one.absent):
            side.rendered[folder] = one
        if not one.error:
            reach = Reach(tuple(sorted(one.files)), tuple(sorted(one.absent)))
            kept = Result(valid=len(one.objects)).dump()
            self.cache.keep(folder, reach, self._fingerprint(side, folder, reach), kept)


def compare(
    repository: Path,
    base: str,
    head: str,
    *,
    cache: CheckCache,
    source_repo: Path | None = None,
    allow_prune: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> DiffResult:
    """What `head` does to everything that `base` deploys; nothing is checked out.

    Both are commits of the Git repository, bare or not, and are compared as they are: the caller names the merge base.
    With `allow_prune` removals are shown and block nothing. Raises `InvalidInput` for a commit that is not there.
    """
    checkout = Checkout(repository)
    before, after = (Side(checkout, checkout.resolve(commit)) for commit in (base, head))
    comparison = Comparison(before, after, cache, workers, progress or (lambda done, total: None))
    comparison.run()
    log = _Log(checkout, after.commit, source_repo)
    apps = [found for folder in comparison.folders() if (found := _app(before, after, folder, log))]
    environments = _environments(before, after, apps)
    for environment in environments:
        _judge(environment, comparison)
    others = _others(comparison)
    return DiffResult(
        before.commit, after.commit, tuple(environments), others, tuple(comparison.problems), allow_prune
    )


def _judge(environment: EnvironmentDiff, comparison: Comparison) -> None:
    """Hold what an environment loses against its prune budget, by the policy that holds until now."""
    removed = _really_removed(environment.apps)
    environment.removed = len(removed)
    if removed and environment.name:
        environment.total = comparison.count(comparison.before, environment.name)
    policy = comparison.before.policy(environment.name) if environment.name else None
    environment.budget = float(policy.prune_budget) if policy else 0.0
    environment.refusals = tuple(refusals(environment, removed))


def _changed(before: Side, after: Side) -> set[str]:
    """Every path at which something else is: files, and folders that came or went."""
    paths = {path for path, oid in before.ids.items() if after.ids.get(path) != oid}
    paths |= {path for path in after.ids if path not in before.ids}
    return paths | (before.folders ^ after.folders)


def _app(before: Side, after: Side, folder: str, log: _Log) -> AppDiff | None:
    """What becomes of one deployed folder; None when nothing does."""
    was, is_ = folder in before.deployed, folder in after.deployed
    failed = after.error(folder)
    new = before.objects(folder) if failed else after.objects(folder)
    compared = compare_objects(before.objects(folder), new)
    if not (compared.changes or compared.restarts or failed or before.error(folder)):
        return None
    status = "changed" if was and is_ else "added" if is_ else "removed"
    environment, app = place_of(folder) if folder.startswith("overlays/") else ("", folder)
    images = tuple(log.image(change.old, change.new) for change in compared.images)
    errors = (before.error(folder), failed)
    return AppDiff(environment, app, folder, status, *errors, images, compared.changes, compared.restarts)


def _environments(before: Side, after: Side, apps: Sequence[AppDiff]) -> list[EnvironmentDiff]:
    """The applications by environment, in the order of the policies; what is Argo CD's own comes last."""
    found: dict[str, EnvironmentDiff] = {}
    for app in apps:
        found.setdefault(app.environment, EnvironmentDiff(app.environment, [])).apps.append(app)

    def place(name: str) -> tuple[int, str]:
        policy = (after.policy(name) or before.policy(name)) if name else None
        return (policy.order if policy else 1000 if name else 1001, name)

    return [found[name] for name in sorted(found, key=place)]


def _really_removed(apps: Sequence[AppDiff]) -> list[Change]:
    """What no application of the environment has any more: an object may move from one to another."""
    added = {change.id for app in apps for change in app.changes if change.change == "added"}
    gone = (change for app in apps if not app.error_after for change in app.changes)
    return [change for change in gone if change.change == "removed" and change.id not in added]


def _others(comparison: Comparison) -> tuple[str, ...]:
    """Changed files that no rendering read, such as policies."""
    before, after = comparison.before, comparison.after
    read = {path for side in (before, after) for one in side.rendered.values() for path in one.files}
    files = (path for path in comparison.changed if path in before.ids or path in after.ids)
    return tuple(sorted(path for path in files if path not in read))


class _Log:
    """Which source commits lie between two images."""

    def __init__(self, checkout: Checkout, head: str, source: Path | None):
        self._checkout, self._head, self._source = checkout, head, source

    @cached_property
    def _recorded(self) -> list[str]:
        return self._checkout.messages(self._head, limit=_MESSAGES, merged=True)

    def image(self, old: str, new: str) -> ImageDiff:
        """One image with what is known of the commits between."""
        one, other = self._revision(old), self._revision(new)
        found = (
            log_between(self._source, one, other, limit=COMMITS) if self._source and one and other else None
        )
        commits = tuple(found.commits) if found else ()
        return ImageDiff(old, new, one, other, commits, found.total if found else None)

    def _revision(self, image: str) -> str | None:
        try:
            reference = parse(image)
        except InvalidInput:
            return None
        return recorded(self._recorded, reference).revision if reference.digest else None
