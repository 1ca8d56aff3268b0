"""What is to be said of one application in one environment, from what was observed at one moment. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from slipway.argocd_api import Observed, Pod
from slipway.policy.environment import Environment, opening
from slipway.registry.references import Reference, pin

LIVE = "live"
FAILED = ("render-failed", "sync-failed", "degraded")
STOPPED = ("blocked", "held", "superseded", "confirmation", "not-this-image")
COMING = ("waiting", "rolling", "not-there", "not-built")
"""States: there; wrong, until somebody mends it; stopped, until somebody lets it go on; may still come by itself."""

RUNBOOKS = {
    "render-failed": "argocd/monitoring/README.md#argocdcannotrender",
    "sync-failed": "argocd/monitoring/README.md#argocdsyncfailed",
    "degraded": "argocd/monitoring/README.md#argocddegraded",
}
"""What to do about each failure: a section of the deploy repository."""

_SHA = re.compile(r"[0-9a-f]{40}")
_RETRY = re.compile(r"Retrying attempt #(\d+)")
"""How Argo CD says that a sync failed and is tried again; the first failure may pass by itself."""


@dataclass(frozen=True)
class Verdict:
    """One answer; `ready` of `wanted` Pods run it, times are UTC, `fix` is what a person can do about it."""

    environment: str
    app: str
    state: str
    text: str
    fix: str = ""
    since: datetime | None = None
    until: datetime | None = None
    ready: int | None = None
    wanted: int | None = None
    pods: tuple[Pod, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether waiting alone changes nothing."""
        return self.state not in COMING

    @property
    def runbook(self) -> str | None:
        """Where the deploy repository says what to do about it."""
        return RUNBOOKS.get(self.state)

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        plain = asdict(self)
        times = {key: plain[key] and plain[key].isoformat() for key in ("since", "until")}
        return plain | times | {"pods": [asdict(pod) for pod in self.pods], "runbook": self.runbook}


@dataclass(frozen=True)
class Place:
    """One application in one environment as Git has it, and what is asked about there.

    `wanted` are the images, by name, that should run; `since` are the branch's commits from the newest back to the one
    that brought them, in that order; Argo CD is right at any of them. `written` is when that one was.
    """

    environment: str
    app: str
    policy: Environment
    wanted: Mapping[str, Reference]
    since: Sequence[str]
    written: datetime


def judge(place: Place, seen: Observed, now: datetime) -> Verdict:
    """What Argo CD and the Pods say of a place where Git names what is asked about.

    Nothing that Argo CD said of an older commit counts: its comparison, its sync and its health must be of one in
    `place.since`, and the Deployments must have been looked at since they changed.
    """
    app = seen.app
    running = [pod for pod in seen.pods if _runs(pod, place.wanted)]
    ready, wanted = sum(pod.healthy for pod in running), seen.desired(place.wanted)

    def said(state: str, text: str, fix: str = "", **more) -> Verdict:
        more = {"since": None, "ready": ready, "wanted": wanted} | more
        return Verdict(place.environment, place.app, state, text, fix, **more)

    arrived = app.deployed_revision in place.since or app.sync == "Synced" and app.revision in place.since
    late = [rollout for rollout in seen.rollouts(place.wanted) if not rollout.done]
    if arrived and app.health == "Healthy" and not late and app.differs(place.wanted.values()) is None:
        newer = (
            "" if app.sync == "Synced" and not app.errors else "; a newer commit is not in the cluster yet"
        )
        return said(LIVE, f"{ready} of {wanted} Pods run exactly this{newer}", since=app.since)
    elsewhere = _SHA.fullmatch(app.revision or "") and app.revision not in place.since
    # An error carries no commit: one that was found before ours was written is of another.
    early = app.compared is not None and app.compared < place.written
    if app.errors and not elsewhere and not early:
        fix = "correct the manifests; `slipway check` names file and line"
        return said("render-failed", app.errors[0], fix)
    if app.revision not in place.since:
        at = (app.revision or "no commit")[:12]
        return said("waiting", f"Argo CD has compared {at} and not yet {place.since[0][:12]}")
    if app.sync != "Synced":
        return _syncing(place, seen, now, said)
    # From here on the cluster's objects are what Git says, whichever sync made them so.
    if app.health == "Degraded":
        bad = tuple(pod for pod in running or seen.pods if not pod.healthy)
        told = [f"{one.name}: {one.problem}" for one in seen.workloads if one.problem]
        which = "; ".join([*told, *(f"{pod.name}: {pod.reason}" for pod in bad[:3])]) or "nothing says why"
        fix = f"`slipway rollback {place.app} --env {place.environment}`, or deliver a build that works"
        return said("degraded", which, fix, since=app.healthy_since, pods=bad)
    what = f"{ready} of {wanted} Pods are ready" if wanted else f"health is {app.health or 'unknown'}"
    return said("rolling", what, since=app.deployed)


def _syncing(place: Place, seen: Observed, now: datetime, said) -> Verdict:
    """Argo CD has seen the commit and the cluster differs: a sync runs, has failed, is kept back, or comes next."""
    operation = seen.operation
    ours = operation is not None and operation.revision in place.since
    message = operation.message if operation else ""
    tries = int(found[1]) if (found := _RETRY.search(message)) else 0
    if ours and (operation.phase in ("Failed", "Error") or tries > 1):
        return said("sync-failed", message, "see the resources named there", since=operation.started)
    if seen.app.operating and "confirmation" in message:
        fix = "look at what would be removed, then confirm it in Argo CD"
        return said("confirmation", message, fix, since=operation.started)
    if seen.app.operating or ours and operation.revision == seen.app.revision:
        since = operation.started if operation else None
        return said("rolling", f"syncing: {message or 'it has just begun'}", since=since)
    if freeze := place.policy.frozen(now):
        when = opening(place.policy, freeze, now)
        fix = f"wait, or `slipway freeze --lift {freeze.name} --env {place.environment}`"
        text = f"{place.environment} is frozen ({freeze.name}: {freeze.reason}) until {when}"
        return said("blocked", text, fix, until=place.policy.opens(now))
    if seen.can_sync is False:
        fix = (
            "see the sync windows of its AppProject; `slipway calendar --check` compares them with the policy"
        )
        return said("blocked", "a sync window of Argo CD is closed that the policy does not name", fix)
    return said("waiting", f"Argo CD has seen the commit and is {seen.app.sync}; the sync comes next")


def _runs(pod: Pod, wanted: Mapping[str, Reference]) -> bool:
    return any(name in wanted and wanted[name].digest == digest for name, digest in pod.images)


def absent(
    place: Place, current: Mapping[str, Reference | None], was_there: bool, subject: str, image: bool
) -> Verdict:
    """What is to be said where Git names something else: it went over, is kept out, or has not come yet."""
    there = ", ".join(f"{ref.short} {pin(ref)}" for ref in current.values() if ref) or "nothing"
    where = (place.environment, place.app)
    hold = place.policy.hold(place.app)
    if hold:
        text = f"held since {hold.since:%Y-%m-%d %H:%M} by {hold.by}: {hold.reason}; Git names {there}"
        return Verdict(*where, "held", text, f"`slipway release {place.app} --env {place.environment}`")
    if was_there:
        fix = f"`slipway rollback {place.app} --env {place.environment} --to …` brings it back"
        return Verdict(*where, "superseded", f"by {there}", fix)
    if image:
        return Verdict(*where, "not-this-image", f"Git names {there}", "give the reference that Git names")
    source = place.policy.from_
    if place.policy.delivery == "direct" and not source:
        return Verdict(*where, "not-there", f"no bump of {subject} yet; Git names {there}")
    fix = f"`slipway promote {place.app} --to {place.environment}`"
    return Verdict(*where, "not-there", f"not promoted; Git names {there}", fix)
