"""What a bump writes: decided anew on every tip, so that nothing older lands on top of something newer."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from slipway.errors import EditRefused, PolicyRefused, Superseded
from slipway.git.remote import Proposal, Tip
from slipway.kustomization.edit import set_images, unified
from slipway.kustomization.images import Entry, matches, read_images
from slipway.registry.references import NewRef, Reference, pin
from slipway.writing.evidence import Evidence, build_of
from slipway.writing.lineage import Build, Decision, trailers, writer_of
from slipway.writing.order import FILE, Order, Wanted, policy_path

if TYPE_CHECKING:
    from slipway.policy.environment import Environment

_OTHER_FILES = ("kustomization.yml", "Kustomization")


@dataclass(frozen=True)
class Overlay:
    """One application in one environment, as the tip has it."""

    environment: str
    app: str
    data: bytes
    entries: list[Entry]

    @property
    def folder(self) -> str:
        """Where it is."""
        return f"overlays/{self.environment}/{self.app}"

    @property
    def path(self) -> str:
        """Where its kustomization is."""
        return f"{self.folder}/{FILE}"

    def entry(self, image: str) -> Entry | None:
        """The entry for an image, if there is one."""
        return next((entry for entry in self.entries if matches(entry, image)), None)


@dataclass(frozen=True)
class Result:
    """One entry in one overlay; `changed` is False when it named the build already."""

    environment: str
    app: str
    path: str
    image: str
    changed: bool
    old: Reference | None
    build: Build
    decision: Decision | None

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        plain = {k: getattr(self, k) for k in ("environment", "app", "path", "image", "changed")}
        decision = str(self.decision) if self.decision else None
        return plain | {
            "old": self.old and str(self.old),
            "new": str(self.build.reference),
            "decision": decision,
        }


@dataclass
class Bump:
    """One order on its way; `results` and `before` belong to the last tip that it was decided on."""

    order: Order
    evidence: Evidence
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    results: list[Result] = field(default_factory=list)
    before: dict[str, bytes] = field(default_factory=dict)

    def propose(self, tip: Tip) -> Proposal | None:
        """The one commit to make on this tip, None when everything is there already.

        Raises `PolicyRefused`, `Superseded`, `EditRefused`, `ImageNotFound` and what the registry raises; then
        nothing at all is written.
        """
        policies, overlays = self._read(tip)
        from slipway.policy.environment import check_write, check_writer

        self.results, files = [], {}
        for overlay in overlays:
            policy = policies[overlay.environment]
            builds = self._builds(tip, overlay, policy)
            news = {w.image: NewRef(b.reference.tag, b.reference.digest, w.new.name) for w, b in builds}
            edit = set_images(overlay.data, news, path=overlay.path, add=self.order.add)
            changed = {change.image for change in edit.changes}
            if changed:
                files[overlay.path] = edit.data
                path = policy_path(overlay.environment)
                check_write(policy, [overlay.app], self.clock(), path=path)
                last = partial(self._last_writer, tip, overlay, changed)
                check_writer(policy, self.order.writer, last, overlay.app, path=path)
            self.results += [self._result(tip, overlay, w, b, w.image in changed) for w, b in builds]
        return Proposal(files, self._message()) if files else None

    def _read(self, tip: Tip) -> tuple[dict[str, Environment], list[Overlay]]:
        """The policies, and the overlays that the order concerns."""
        environments = self.order.environments
        if self.order.app:
            apps = [(env, self.order.app) for env in environments]
        else:
            listed = tip.folders([f"overlays/{env}" for env in environments])
            apps = [
                (env, n) for env in environments for n, d in sorted(listed[f"overlays/{env}"].items()) if d
            ]
        paths = {pair: f"overlays/{pair[0]}/{pair[1]}/{FILE}" for pair in apps}
        read = tip.read([*map(policy_path, environments), *paths.values()], siblings=bool(paths))
        from slipway.policy.environment import (
            parse_policy,  # only now: it loads in the background while Git is asked
        )

        policies = {
            env: parse_policy(read[policy_path(env)], environment=env, path=policy_path(env))
            for env in environments
        }
        self.before = {path: data for path, data in read.items() if data is not None}
        overlays = [
            Overlay(env, app, self.before[path], read_images(self.before[path], path=path))
            for (env, app), path in paths.items()
            if path in self.before and self._may_concern(self.before[path])
        ]
        overlays = [o for o in overlays if self.order.app or any(o.entry(w.image) for w in self.order.wanted)]
        self._check_found(tip, overlays)
        return policies, overlays

    def _may_concern(self, data: bytes) -> bool:
        return bool(self.order.app) or any(wanted.image.encode() in data for wanted in self.order.wanted)

    def _check_found(self, tip: Tip, overlays: list[Overlay]) -> None:
        """Refuse an image that no overlay has an entry for, and a folder with two kustomizations."""
        for env in self.order.environments:
            here = [overlay for overlay in overlays if overlay.environment == env]
            for wanted in self.order.wanted:
                if not any(o.entry(wanted.image) or self.order.add for o in here):
                    where = f"overlays/{env}/{self.order.app or '*'}/{FILE}"
                    fix = "correct the name; or give --app and --add to have an entry added"
                    raise EditRefused(f"no entry for `{wanted.image}`", path=where, fix=fix)
        check_folders(tip, [overlay.folder for overlay in overlays])

    def _builds(self, tip: Tip, overlay: Overlay, policy: Environment) -> list[tuple[Wanted, Build]]:
        """The builds that go into an overlay, each confirmed by the registry and allowed by the policy."""
        builds = []
        for wanted in self.order.wanted:
            entry = overlay.entry(wanted.image)
            if entry is None and not self.order.add:
                continue
            image = self.evidence.image(wanted.reference(entry))
            path = policy_path(policy.name)
            self.evidence.check(image, policy, signature_key(tip, policy), path)
            found = build_of(image)
            known = replace(wanted.known, reference=image.reference, writer=self.order.writer)
            builds.append((wanted, known.or_else(found)))
        return builds

    def _last_writer(self, tip: Tip, overlay: Overlay, images: Collection[str]) -> str | None:
        """Another automation that wrote one of these entries last, if there is one."""
        messages = [commit.message for commit in tip.history()]
        where = f"{overlay.environment}/{overlay.app}"
        entries = [entry for image in images if (entry := overlay.entry(image))]
        found = {writer_of(messages, where, entry.reference) for entry in entries} - {None, self.order.writer}
        return min(found, default=None)

    def _result(self, tip: Tip, overlay: Overlay, wanted: Wanted, build: Build, changed: bool) -> Result:
        """What becomes of one entry; raises `Superseded` when it would go back to an older build."""
        entry = overlay.entry(wanted.image)
        old, decision = entry.reference if entry else None, None
        if changed and entry and not self.order.allow_older and (entry.tag or entry.digest):
            decision = self.evidence.judge((c.message for c in tip.history()), entry.reference, build)
            if decision.verdict in ("older", "unknown"):
                raise _superseded(overlay, entry.reference, build.reference, decision)
        result = (overlay.environment, overlay.app, overlay.path, wanted.image, changed, old, build, decision)
        return Result(*result)

    def _message(self) -> str:
        """Subject, and for every image one group of trailers."""
        changes: dict[str, list[Result]] = {}
        for result in self.results:
            if result.changed:
                changes.setdefault(result.image, []).append(result)
        environments = list(dict.fromkeys(r.environment for results in changes.values() for r in results))
        names = [
            f"{Reference(i).short} {r[0].build.reference.tag or 'by digest'}" for i, r in changes.items()
        ]
        lines = []
        for results in changes.values():
            previous = [f"{r.environment}/{r.app} {pin(r.old)}" for r in results]
            lines += trailers(results[0].build, previous, writer=self.order.writer)
        if self.order.allow_older:
            lines.append(f"Allowed-Older: {' '.join(self.order.allow_older.split())}")
        return f"{', '.join(environments)}: {', '.join(names)}\n\n" + "\n".join(lines) + "\n"

    def diff(self, proposal: Proposal) -> str:
        """The change as a unified diff, for people."""
        return "".join(unified(path, self.before[path], data) for path, data in proposal.files.items())


def check_folders(tip: Tip, folders: Collection[str]) -> None:
    """Refuse a folder with two kustomizations, and one where Argo CD is told other images than Git's."""
    overrides = []
    for folder, names in tip.folders(folders).items():
        overrides += [f"{folder}/{name}" for name in names if name.startswith(".argocd-source")]
        if other := next((name for name in _OTHER_FILES if name in names), None):
            message = f"{folder}/{FILE} and {folder}/{other} are in one folder"
            raise EditRefused(message, path=folder, fix="remove one of them")
    for path, data in tip.read(overrides).items() if overrides else ():
        if b"images" in (data or b""):
            reason = (
                f"it names images, and Argo CD puts that above what {FILE} says: nothing would be deployed"
            )
            raise EditRefused(reason, path=path, fix="remove its `kustomize.images`")


def signature_key(tip: Tip, policy: Environment) -> bytes | None:
    """The policy's key file, which lies beside it; None when it is not there, or not needed."""
    name = policy.signature.key
    if not policy.signature.required or not name or "://" in name:
        return None
    path = posixpath.normpath(f"overlays/{policy.name}/{name}")
    if path.startswith(("..", "/")):
        raise PolicyRefused(
            "the key lies outside the repository", path=policy_path(policy.name), fix="move it"
        )
    return tip.read([path])[path]


def _superseded(overlay: Overlay, old: Reference, new: Reference, decision: Decision) -> Superseded:
    where = f"{overlay.environment}/{overlay.app}"
    if decision.verdict == "unknown":
        message = f"{where}: nothing tells whether {old.short} {pin(new)} is newer than {pin(old)}"
        return Superseded(
            message, path=overlay.path, fix="give --build or --source-repo, or --allow-older WHY"
        )
    message = f"{where} runs a newer {old.short} than {pin(new)}: {decision}"
    return Superseded(
        message, path=overlay.path, fix="nothing to do; to go back on purpose give --allow-older WHY"
    )
