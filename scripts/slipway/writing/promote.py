"""What a promotion writes: the digests that run in one environment into the next one, decided anew on every tip."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.errors import EditRefused, ImageNotFound, InvalidInput, NotLive, PolicyRefused, Superseded
from slipway.git.remote import Tip, log_between
from slipway.kustomization.edit import Edit, set_images, unified
from slipway.kustomization.images import Entry, read_images
from slipway.registry.references import NOTHING, NewRef, Reference, pin
from slipway.writing import promote_text
from slipway.writing.bump import FILE, Overlay, check_folders, policy_path, signature_key
from slipway.writing.change import Change
from slipway.writing.evidence import Evidence, build_of
from slipway.writing.lineage import Build, Decision, recorded, trailers
from slipway.writing.origin import Origin, Origins, check_soak

if TYPE_CHECKING:
    from slipway.policy.environment import Environment


@dataclass(frozen=True)
class Order:
    """What was asked for; no `apps` means every one, `allow_older` says why an older build may land.

    `writer` is the automation that asks, None for a person.
    """

    apps: tuple[str, ...]
    environment: str
    add: bool = False
    allow_older: str | None = None
    writer: str | None = None

    @property
    def branch(self) -> str:
        """The branch of the pull request; the same order always has the same."""
        if len(self.apps) == 1:
            return f"slipway/promote/{self.environment}/{self.apps[0]}"
        digest = hashlib.sha256(" ".join(sorted(self.apps)).encode()).hexdigest()[:12]
        return f"slipway/promote/{self.environment}/_{digest if self.apps else 'all'}"


@dataclass(frozen=True)
class Move:
    """An image entry of the source on its way to the one of the target, which is None where it is added.

    The target keeps its own name for the image: another account's registry may hold the same bytes.
    """

    entry: Entry
    there: Entry | None

    @property
    def key(self) -> str:
        """The name of the target's entry."""
        return self.there.name if self.there else self.entry.name

    @property
    def old(self) -> Reference | None:
        """What the target's entry says until now."""
        return self.there.reference if self.there else None

    @property
    def new(self) -> NewRef:
        """What it shall say."""
        return NewRef(self.entry.tag, self.entry.digest, None if self.there else self.entry.new_name)

    @property
    def wanted(self) -> Reference:
        """The image that the target will pull."""
        return Reference((self.there or self.entry).reference.name, self.entry.tag, self.entry.digest)


@dataclass(frozen=True)
class Result:
    """One image entry of one application; `changed` is False when the target named that digest already."""

    app: str
    image: str
    changed: bool
    old: Reference | None
    build: Build
    decision: Decision | None
    before: str | None
    """The source commit of the build that goes, where that is known."""

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        return {
            "app": self.app,
            "image": self.image,
            "changed": self.changed,
            "old": self.old and str(self.old),
            "new": str(self.build.reference),
            "decision": self.decision and str(self.decision),
        }


@dataclass
class Promotion:
    """One order on its way; what was found belongs to the last tip that it was decided on."""

    order: Order
    evidence: Evidence
    running: Origins
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    policy: Environment | None = None
    origins: list[Origin] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    before: dict[str, bytes] = field(default_factory=dict)
    _messages: list[str] = field(default_factory=list)

    def read_policies(self, tip: Tip) -> tuple[Environment, Environment]:
        """The target's policy and the source's.

        Raises `PolicyRefused` where nothing leads to the target, and when it asks for another delivery by now.
        """
        from slipway.policy.environment import check_delivery

        target = _policy(tip, self.order.environment)
        check_delivery(self.policy, target, path=policy_path(target.name))
        self.policy = target
        if target.from_ is None:
            fix = "name its source in `from:`, or write to it with `slipway bump`"
            message = f"nothing is promoted to {target.name}: it has no source environment"
            raise PolicyRefused(message, path=policy_path(target.name), fix=fix)
        return target, _policy(tip, target.from_)

    def propose(self, tip: Tip) -> Change | None:
        """The one change to make on this tip, None when the target names the digests already.

        Raises `NotLive`, `PolicyRefused`, `Superseded`, `EditRefused`, `ImageNotFound` and what the registry and
        Argo CD raise; then nothing at all is written.
        """
        target, source = self.read_policies(tip)
        self._messages = [commit.message for commit in tip.history()]
        overlays = self._overlays(tip, source.name, target.name)
        self.origins = self.running.find(tip, source, [there for there, _ in overlays], self.clock())
        edits = []
        for origin, (_, overlay) in zip(self.origins, overlays, strict=True):
            moves = self._moves(origin, overlay)
            edits.append((overlay, moves, self._edited(origin, overlay, moves)))
        self.results, files = [], {}
        for overlay, moves, edit in edits:
            changed = {change.image for change in edit.changes}
            self.results += [self._result(tip, overlay, move, move.key in changed) for move in moves]
            files |= {overlay.path: edit.data} if changed else {}
        return self._change(files) if files else None

    def diff(self, change: Change) -> str:
        """The change as a unified diff, for people."""
        return "".join(unified(path, self.before[path], data) for path, data in change.files.items())

    # What is there

    def _overlays(self, tip: Tip, source: str, target: str) -> list[tuple[Overlay, Overlay]]:
        """The overlays of every application concerned, in both environments."""
        listed = tip.folders([f"overlays/{source}", f"overlays/{target}"])
        here = [name for name, is_folder in sorted(listed[f"overlays/{source}"].items()) if is_folder]
        there = listed[f"overlays/{target}"]
        wanted = sorted(self.order.apps) or [app for app in here if there.get(app)]
        self.skipped = [] if self.order.apps else [app for app in here if not there.get(app)]
        for app in wanted:
            for env, known in ((source, app in here), (target, there.get(app))):
                if not known:
                    fix = "correct the name, or make the application's overlay first"
                    raise InvalidInput(
                        f"no application {app} in {env}", path=f"overlays/{env}/{app}", fix=fix
                    )
        paths = {(env, app): f"overlays/{env}/{app}/{FILE}" for app in wanted for env in (source, target)}
        read = tip.read(list(paths.values()))
        if lost := next((path for path, data in read.items() if data is None), None):
            raise EditRefused(f"there is no {FILE}", path=lost, fix=f"name the kustomization {FILE}")
        check_folders(tip, [path.rpartition("/")[0] for path in paths.values()])
        self.before = read
        made = {
            pair: Overlay(*pair, read[path], read_images(read[path], path=path))
            for pair, path in paths.items()
        }
        self.waiting = [app for app in wanted if _is_unreleased(made[source, app])]
        if self.waiting and self.order.apps:
            message = f"nothing was delivered to {source}/{self.waiting[0]} yet"
            fix = f"bump or promote an image to {source} first"
            raise NotLive(message, path=made[source, self.waiting[0]].path, fix=fix)
        return [(made[source, app], made[target, app]) for app in wanted if app not in self.waiting]

    # What becomes of it

    def _moves(self, origin: Origin, overlay: Overlay) -> list[Move]:
        """One move for each image that runs; raises `EditRefused` where the target has no place for it."""
        moves = [Move(entry, self._place(origin, overlay, entry)) for entry in origin.overlay.entries]
        if len({move.key for move in moves}) < len(moves):
            message = f"two entries of {origin.where} belong to one here"
            raise EditRefused(message, path=overlay.path, fix="give each its own entry, as there")
        return moves

    def _place(self, origin: Origin, overlay: Overlay, entry: Entry) -> Entry | None:
        """The target's entry for one of the source; None when it is to be added."""
        if not entry.digest:
            at, fix = origin.revision[:12], "write tag and digest with `slipway bump`"
            message = f"`{entry.name}` has no digest at {at}: what runs is not exactly known"
            raise EditRefused(message, path=origin.overlay.path, line=entry.line, fix=fix)
        there = overlay.entry(entry.name) or overlay.entry(entry.reference.name)
        if there is None and not self.order.add:
            message = f"no entry for `{entry.name}`, which {origin.where} has"
            raise EditRefused(message, path=overlay.path, fix="give --add to have it added")
        hosts = {other.reference.registry for other in overlay.entries}
        if there is None and hosts and entry.reference.registry not in hosts:
            message = (
                f"`{entry.name}` comes from {entry.reference.registry}, which {self.policy.name} does not use"
            )
            raise EditRefused(message, path=overlay.path, fix="add the entry by hand, with its name there")
        return there

    def _edited(self, origin: Origin, overlay: Overlay, moves: list[Move]) -> Edit:
        """The target's kustomization with the digests, if they may be written now."""
        from slipway.policy.environment import check_write, check_writer

        wanted = {move.key: move.new for move in moves}
        edit = set_images(overlay.data, wanted, path=overlay.path, add=self.order.add)
        if edit.changes:
            path, moment = policy_path(self.policy.name), self.clock()
            reviewed = self.policy.delivery != "direct"
            check_write(self.policy, [overlay.app], moment, path=path, reviewed=reviewed)
            if not reviewed:
                check_writer(self.policy, self.order.writer, lambda: None, overlay.app, path=path)
            check_soak(origin, self.policy, moment)
        for change in edit.changes:
            self.evidence.start(next(move.wanted for move in moves if move.key == change.image))
        return edit

    def _result(self, tip: Tip, overlay: Overlay, move: Move, changed: bool) -> Result:
        """What becomes of one entry, confirmed by the registry and allowed by the policy."""
        known = replace(recorded(self._messages, move.entry.reference), reference=move.wanted)
        if not changed:
            return Result(overlay.app, move.key, False, move.old, known, None, None)
        try:
            image = self.evidence.image(move.wanted)
        except ImageNotFound as exc:
            message = f"{move.wanted.short} cannot be promoted as it runs: {exc.message}"
            fix = "bring the same image back to the registry, or deliver a new build"
            raise ImageNotFound(message, path=overlay.path, fix=fix) from exc
        path = policy_path(self.policy.name)
        self.evidence.check(image, self.policy, signature_key(tip, self.policy), path)
        build, old, decision = known.or_else(build_of(image)), move.old, None
        if old and (old.tag or old.digest) and not self.order.allow_older:
            decision = self.evidence.judge(self._messages, old, build)
            if decision.verdict in ("older", "unknown"):
                raise _superseded(overlay, old, move.wanted, decision)
        return Result(overlay.app, move.key, True, old, build, decision, self._revision_of(old))

    def _revision_of(self, old: Reference | None) -> str | None:
        """The source commit of what the target runs until now; only asked for when there is a log to show."""
        if not old or not old.digest or not self.evidence.source:
            return None
        known = recorded(self._messages, old).revision
        try:
            return known or self.evidence.image(Reference(old.name, None, old.digest)).revision
        except ImageNotFound:
            return None

    # What is said of it

    def _change(self, files: dict[str, bytes]) -> Change:
        changed = [result for result in self.results if result.changed]
        source, where = self.origins[0].overlay.environment, self.policy.name
        lines = []
        for result in changed:
            previous = [f"{where}/{result.app} {pin(result.old)}"]
            lines += trailers(result.build, previous, writer=result.build.writer)
        lines.append(f"Promoted-From: {source}")
        lines.append(
            f"Evidence: {'live in Argo CD' if self.running.argocd else 'Git only, what runs was not asked'}"
        )
        if self.order.allow_older:
            lines.append(f"Allowed-Older: {self.order.allow_older}")
        title = promote_text.title(source, where, changed)
        if self.policy.delivery == "direct":
            return Change(files, title, lines, "")
        apps = {result.app for result in changed}
        origins = [str(origin) for origin in self.origins if origin.overlay.app in apps]
        text = promote_text.body(
            self.policy, source, self.warning(), origins, changed, self._commits(changed)
        )
        return Change(files, title, lines, text)

    def _commits(self, changed: list[Result]) -> list[promote_text.Range] | None:
        """The source commits that go live, None without the source repository."""
        if self.evidence.source is None:
            return None
        return [
            promote_text.Range(images, old, new, self._log(old, new))
            for (old, new), images in promote_text.ranges(changed).items()
        ]

    def _log(self, old: str | None, new: str | None):
        if not (old and new):
            return None
        return log_between(self.evidence.source, old, new, limit=promote_text.COMMITS)

    def warning(self) -> str | None:
        """What a reviewer must know first: that the environment is frozen, and until when."""
        from slipway.policy.environment import opening

        freeze = self.policy.frozen(moment := self.clock())
        if not freeze or self.policy.delivery == "direct":
            return None
        until = opening(self.policy, freeze, moment)
        return f"{self.policy.name} is frozen ({freeze.name}: {freeze.reason}): do not merge before {until}"


def _is_unreleased(overlay: Overlay) -> bool:
    """Whether the overlay still waits for its first image."""
    return bool(overlay.entries) and all(entry.digest == NOTHING for entry in overlay.entries)


def _policy(tip: Tip, environment: str) -> Environment:
    from slipway.policy.environment import parse_policy

    path = policy_path(environment)
    return parse_policy(tip.read([path])[path], environment=environment, path=path)


def _superseded(overlay: Overlay, old: Reference, new: Reference, decision: Decision) -> Superseded:
    where = f"{overlay.environment}/{overlay.app}"
    if decision.verdict == "unknown":
        message = f"{where}: nothing tells whether {old.short} {pin(new)} is newer than {pin(old)}"
        return Superseded(message, path=overlay.path, fix="give --source-repo, or --allow-older WHY")
    message = f"{where} runs a newer {old.short} than {pin(new)}: {decision}"
    return Superseded(
        message, path=overlay.path, fix="to go back use `slipway rollback`, or give --allow-older WHY"
    )
