"""What a rollback writes: the images of one overlay as they were, and a hold that keeps automation away from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.errors import EditRefused, ImageNotFound, InvalidInput, PolicyRefused
from slipway.git.commits import Commit
from slipway.git.remote import Tip
from slipway.kustomization.edit import set_images, unified
from slipway.kustomization.images import Entry, read_images
from slipway.registry.references import NewRef, Reference, pin
from slipway.writing import rollback_text
from slipway.writing.bump import FILE, check_folders, policy_path, signature_key
from slipway.writing.change import Change
from slipway.writing.evidence import Evidence, build_of
from slipway.writing.lineage import Build, changed_images, recorded, trailers
from slipway.writing.past import GOAL, REACH, Goal, Past

if TYPE_CHECKING:
    from slipway.policy.environment import Environment, Freeze, Hold


@dataclass(frozen=True)
class Order:
    """What was asked for; `to` is a commit of the branch, None for before the last bump. The texts are one line."""

    app: str
    environment: str
    reason: str
    by: str
    to: str | None = None
    during_freeze: str | None = None

    @property
    def where(self) -> str:
        """Such as `prod/board`."""
        return f"{self.environment}/{self.app}"

    @property
    def folder(self) -> str:
        """The overlay."""
        return f"overlays/{self.where}"

    @property
    def path(self) -> str:
        """The overlay's kustomization."""
        return f"{self.folder}/{FILE}"

    @property
    def branch(self) -> str:
        """The branch of the pull request."""
        return f"slipway/rollback/{self.where}"


@dataclass(frozen=True)
class Result:
    """One image entry that goes back: what it says now, and the build it said then."""

    entry: str
    old: Reference
    build: Build
    before: str | None
    """The source commit of the build that goes, where that is known."""

    def as_dict(self) -> dict[str, str]:
        """The same for `--json`."""
        return {"image": self.entry, "old": str(self.old), "new": str(self.build.reference)}


@dataclass
class Rollback:
    """One order on its way; what was found belongs to the last tip that it was decided on.

    The state to return to is decided once: a bump that lands meanwhile is withdrawn as well.
    """

    order: Order
    evidence: Evidence
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    reach: Sequence[int] = REACH
    goal: Goal | None = None
    results: list[Result] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    withdrawn: list[Commit] = field(default_factory=list)
    policy: Environment | None = None
    freeze: Freeze | None = None
    hold: Hold | None = None
    before: dict[str, bytes] = field(default_factory=dict)
    _messages: list[str] = field(default_factory=list)

    def read_policy(self, tip: Tip) -> Environment:
        """The environment's policy; raises `PolicyRefused` when it is not clear, or asks for another delivery by now."""
        from slipway.policy.environment import check_delivery, parse_policy

        path = policy_path(self.order.environment)
        self.before = tip.read([path, self.order.path])
        policy = parse_policy(self.before[path], environment=self.order.environment, path=path)
        check_delivery(self.policy, policy, path=path)
        self.policy = policy
        return policy

    def propose(self, tip: Tip) -> Change | None:
        """The earlier images and the hold in one change; None when the images are those already.

        Raises `PolicyRefused`, `EditRefused`, `ImageNotFound`, `InvalidInput` and what the registry raises; then
        nothing at all is written.
        """
        order, path = self.order, policy_path(self.order.environment)
        policy = self.read_policy(tip)
        self.hold, self.results, self.withdrawn = policy.hold(order.app), [], []
        data = self.before[order.path]
        if data is None:
            fix = "correct the application's name or the environment's"
            raise InvalidInput(f"no application {order.app} in {policy.name}", path=order.path, fix=fix)
        check_folders(tip, [order.folder])
        now = {entry.name: entry for entry in read_images(data, path=order.path)}
        past = Past(tip, order.where, order.path, self.reach)
        if self.goal is None:
            self.goal = Goal(past.find(order.to)) if order.to else past.before_last_bump(now)
        then = past.entries(self.goal.sha)
        wanted = self._wanted(now, then)
        edit = set_images(data, wanted, path=order.path)
        changed = [change.image for change in edit.changes]
        if not changed:
            return None
        self._check_freeze(path)
        self._messages = [commit.message for commit in tip.history()]
        self.results = self._results(tip, now, {name: wanted[name] for name in changed}, path)
        names = {entries[name].reference.name for name in changed for entries in (now, then)}
        bumps = past.bumps_since(self.goal.sha)
        self.withdrawn = [c for c in bumps if changed_images(c.message, order.where) & names]
        files = {order.path: edit.data, path: self._with_hold(self.before[path], path)}
        text = rollback_text.body(self) if policy.delivery != "direct" else ""
        return Change(files, rollback_text.title(order, self.results), self._trailers(), text)

    def diff(self, change: Change) -> str:
        """The change as a unified diff, for people."""
        return "".join(unified(path, self.before[path], data) for path, data in change.files.items())

    def _wanted(self, now: dict[str, Entry], then: dict[str, Entry]) -> dict[str, NewRef]:
        """What the entries in question shall say; one that did not exist then stays as it is."""
        asked = set(now) | set(then) if self.goal.entries is None else self.goal.entries
        at, path = self.goal.sha[:12], self.order.path
        if lost := sorted(asked - set(now)):
            message = f"the entry `{lost[0]}` was removed since {at}, so it cannot go back"
            raise EditRefused(
                message, path=path, fix="put the entry back, or give --to a commit after its removal"
            )
        self.kept = sorted(asked - set(then))
        back = [name for name in now if name in asked and name in then]
        if not back:
            fix = "give --to another commit, or deliver a corrected build"
            raise PolicyRefused(f"no image of {self.order.where} had an entry at {at}", path=path, fix=fix)
        for name in back:
            if now[name].digest and not then[name].digest:
                message = f"at {at} `{name}` was {pin(then[name].reference)} without a digest: which bytes ran is not known"
                fix = "give --to another commit, or name the image: `slipway bump … --allow-older WHY`"
                raise EditRefused(message, path=path, line=now[name].line, fix=fix)
        return {name: NewRef(then[name].tag, then[name].digest) for name in back}

    def _check_freeze(self, path: str) -> None:
        """Refuse a direct write under a freeze, unless the order says why it cannot wait.

        A pull request may be opened: merging is what the freeze is about, and the text says so.
        """
        from slipway.policy.environment import check_freeze

        moment = self.clock()
        self.freeze = self.policy.frozen(moment)
        if self.policy.delivery == "direct" and not self.order.during_freeze:
            fix = "wait until then, or say why it cannot wait: --during-freeze WHY"
            check_freeze(self.policy, moment, path=path, fix=fix)

    def _results(self, tip: Tip, now: dict[str, Entry], wanted: dict[str, NewRef], path: str) -> list[Result]:
        """The images as the registry still has them, allowed by the policy.

        They are asked for by digest, as nodes pull them: what their tags name by now does not matter.
        """
        asked = {
            name: Reference(now[name].reference.name, None if ref.digest else ref.tag, ref.digest)
            for name, ref in wanted.items()
        }
        for reference in asked.values():
            self.evidence.start(reference)
        results = []
        for name, reference in asked.items():
            try:
                image = self.evidence.image(reference)
            except ImageNotFound as exc:
                message = f"{self.order.where} cannot go back to {self.goal.sha[:12]}: {exc.message}"
                fix = "give --to a commit whose images are still there, or deliver a corrected build"
                raise ImageNotFound(message, path=self.order.path, fix=fix) from exc
            self.evidence.check(image, self.policy, signature_key(tip, self.policy), path)
            new = replace(image.reference, tag=wanted[name].tag)
            build = replace(recorded(self._messages, new), reference=new).or_else(build_of(image))
            old = now[name].reference
            results.append(Result(name, old, build, recorded(self._messages, old).revision))
        return results

    def _with_hold(self, data: bytes, path: str) -> bytes:
        """The policy's file with the hold, in place of one that is there already."""
        from slipway.policy.edit import add_hold, remove_hold
        from slipway.policy.environment import Hold

        if self.hold:
            data = remove_hold(data, self.order.app, path=path)
        since = self.clock().astimezone(UTC).replace(microsecond=0)
        self.hold = Hold(app=self.order.app, reason=self.order.reason, since=since, by=self.order.by)
        return add_hold(data, self.hold, path=path)

    def _trailers(self) -> list[str]:
        """One group for every image, as a bump has it, then what this reverts and why."""
        lines = []
        for result in self.results:
            previous = [f"{self.order.where} {pin(result.old)}"]
            lines += trailers(result.build, previous, writer=result.build.writer)
        lines += [f"Rollback: {commit.sha}" for commit in self.withdrawn]
        lines += [f"{GOAL}: {self.goal.sha}", f"Reason: {self.order.reason}"]
        if self.freeze and self.order.during_freeze:
            lines.append(f"During-Freeze: {self.freeze.name}: {self.order.during_freeze}")
        return lines
