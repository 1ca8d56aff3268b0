"""What a promotion would ship."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from slipway.dora.images import fingerprint
from slipway.git.commits import DatedCommit
from slipway.policy.environment import Environment
from slipway.registry.references import Reference

from board_backend import view
from board_backend.links import Addresses
from board_backend.now import frozen
from board_backend.registry import Images, unknown
from board_backend.schema import ImageFacts, ImagePair, Promotion, WaitingCommit
from board_backend.snapshot import Snapshot


class Unknown(Exception):
    """The question names what is not there; `missing` tells it from one that is incomplete."""

    def __init__(self, text: str, *, missing: bool = True):
        super().__init__(text)
        self.missing = missing


def ends(snapshot: Snapshot, application: str, to: str, from_: str | None) -> str:
    """The environment to promote from; raises `Unknown`."""
    names = snapshot.environments
    for name in filter(None, (to, from_)):
        if name not in names:
            raise Unknown(f"no environment {name}; there are: {', '.join(names) or 'none'}")
    apps = {app for _, app in snapshot.standings}
    if application not in apps and not any(
        snapshot.tip.has(name, application) for name in names if snapshot.tip
    ):
        raise Unknown(f"no application {application}; there are: {', '.join(sorted(apps)) or 'none'}")
    policy = snapshot.tip.policy(to) if snapshot.tip else None
    source = from_ or (policy.from_ if policy else None)
    if source is None:
        raise Unknown(f"{to} is promoted from no environment that is known: give `from`", missing=False)
    if source == to:
        raise Unknown(f"{to} cannot be promoted to itself: give another `from`", missing=False)
    return source


def promotion(
    snapshot: Snapshot,
    addresses: Addresses,
    registry: Images,
    *,
    application: str,
    from_: str,
    to: str,
    moment: datetime,
) -> Promotion:
    """What a promotion of an application would ship at `moment`; the registry is asked."""
    offered, present = (_runs(snapshot, name, application) for name in (from_, to))
    policy = snapshot.tip.policy(to) if snapshot.tip else None
    notes = []
    if offered is None:
        notes.append(f"nothing of {application} went live in {from_} yet")
    if present is None:
        notes.append(f"nothing of {application} went live in {to} yet")
    commits, why = _commits(snapshot, offered or (), present or ())
    pairs, more = _pairs(snapshot, registry, application, (from_, offered or ()), (to, present or ()))
    same = offered is not None and present is not None and fingerprint(offered) == fingerprint(present)
    return Promotion(
        application=application,
        from_=from_,
        to=to,
        state="unknown" if offered is None else "nothing" if same else "ready",
        images=pairs,
        commits=[_waiting(one, addresses, moment) for one in commits],
        blocked=_blocked(policy, application, moment),
        notes=[*notes, *why, *more],
    )


def _runs(snapshot: Snapshot, environment: str, application: str) -> Sequence[Reference] | None:
    standing = snapshot.standings.get((environment, application))
    running = standing.running if standing else None
    return running.images if running else None


def _commits(
    snapshot: Snapshot, offered: Sequence[Reference], present: Sequence[Reference]
) -> tuple[list[DatedCommit], list[str]]:
    """What is new to the target, newest first, and why that is not all or not known."""
    source = snapshot.histories.source
    new, old = (view.built(images, source).commit for images in (offered, present))
    if source is None:
        return [], ["which commits would be shipped is not known: the source repository is not read"]
    if not offered or not present:
        return [], []
    if not source.get(new or "") or not source.get(old or ""):
        return [], [
            "which commits would be shipped is not known: the source repository lacks one of both ends"
        ]
    shipped, lost = source.apart(new, old)
    taken = sum(not one.is_merge for one in lost)
    why = [f"it would take back {taken} commits that the target runs"] if taken else []
    return [one for one in shipped if not one.is_merge], why


def _waiting(one: DatedCommit, addresses: Addresses, moment: datetime) -> WaitingCommit:
    known = view.commit(one, addresses).model_dump()
    return WaitingCommit(**known, waiting_seconds=max(0.0, (moment - one.committed).total_seconds()))


def _pairs(
    snapshot: Snapshot,
    registry: Images,
    application: str,
    offered: tuple[str, Sequence[Reference]],
    present: tuple[str, Sequence[Reference]],
) -> tuple[list[ImagePair], list[str]]:
    """The images of both sides by name. Only registries that Git names are asked: an event may name any."""
    tip, names = snapshot.tip, (offered[0], present[0])
    named = {one.name for name in names for one in (tip.wanted(name, application) if tip else ())}
    keys = [key for name in names if tip and (key := tip.public_key(name))]
    every = [*offered[1], *present[1]]
    facts, notes = registry.facts([one for one in every if one.name in named], keys[0] if keys else None)
    if strange := sorted({one.short for one in every if one.name not in named}):
        which = ", ".join(strange)
        notes.append(f"the registry is not asked about {which}, which the deploy repository does not name")

    def told(images: Sequence[Reference]) -> dict[str, ImageFacts]:
        return {one.name: facts.get(one) or unknown(one) for one in images}

    sides = told(offered[1]), told(present[1])
    names = sorted(sides[0].keys() | sides[1].keys())
    pairs = [ImagePair(name=name, from_=sides[0].get(name), to=sides[1].get(name)) for name in names]
    return pairs, notes


def _blocked(policy: Environment | None, application: str, moment: datetime) -> list[str]:
    """What stands against it, with the time at which it opens."""
    if policy is None:
        return []
    blocked = []
    if hold := policy.hold(application):
        since = f"{hold.since:%Y-%m-%d %H:%M}"
        blocked.append(f"{application} is held in {policy.name} since {since} by {hold.by}: {hold.reason}")
    if freeze := frozen(policy, moment):
        blocked.append(freeze.text)
    return blocked
