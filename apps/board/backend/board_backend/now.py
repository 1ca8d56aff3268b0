"""What runs where, and how it stands beside Git and beside the environment before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from slipway.dora.attempts import Attempt
from slipway.dora.images import fingerprint, identity
from slipway.policy.environment import Environment, opening
from slipway.registry.references import NOTHING, Reference

from board_backend import view
from board_backend.links import Addresses
from board_backend.schema import (
    Compared,
    EnvironmentOut,
    FreezeOut,
    HoldOut,
    Now,
    OpenFailure,
    Place,
    Wanted,
)
from board_backend.snapshot import Key, Snapshot, Standing


def now(snapshot: Snapshot, addresses: Addresses, moment: datetime) -> Now:
    """The whole picture at `moment`."""
    names = snapshot.environments
    order = {name: number for number, name in enumerate(names)}
    keys = sorted(snapshot.standings, key=lambda key: (key[1], order[key[0]]))
    return Now(
        environments=[_environment(name, snapshot, moment) for name in names],
        places=[_place(key, snapshot, addresses) for key in keys if not _is_gone(key, snapshot)],
        sources=list(snapshot.sources),
    )


def _is_gone(key: Key, snapshot: Snapshot) -> bool:
    """Whether Git once had the application there, or it never ran, and Git has it no more."""
    if snapshot.tip is None or snapshot.tip.has(*key):
        return False
    return not snapshot.standings[key].attempts or bool(snapshot.histories.deploy.brought("/".join(key)))


def _environment(name: str, snapshot: Snapshot, moment: datetime) -> EnvironmentOut:
    policy = snapshot.tip.policy(name) if snapshot.tip else None
    if policy is None:
        return EnvironmentOut(name=name, order=None, from_=None, delivery=None, freeze=None)
    return EnvironmentOut(
        name=name,
        order=policy.order,
        from_=policy.from_,
        delivery=policy.delivery,
        freeze=frozen(policy, moment),
    )


def frozen(policy: Environment, moment: datetime) -> FreezeOut | None:
    """The freeze that holds."""
    freeze = policy.frozen(moment)
    if freeze is None:
        return None
    opens = opening(policy, freeze, moment)
    text = f"{policy.name} is frozen ({freeze.name}: {freeze.reason}); it opens at {opens}"
    return FreezeOut(name=freeze.name, reason=freeze.reason, until=policy.opens(moment), text=text)


def _place(key: Key, snapshot: Snapshot, addresses: Addresses) -> Place:
    environment, application = key
    standing = snapshot.standings[key]
    policy = snapshot.tip.policy(environment) if snapshot.tip else None
    running, newest = standing.running, standing.newest
    runs = running.images if running else ()
    told = view.built(runs, snapshot.histories.source)
    failure, hold = newest.failure if newest else None, policy.hold(application) if policy else None
    revision = running.revision if running else standing.revision
    return Place(
        application=application,
        environment=environment,
        images=view.images(runs),
        version=told.version,
        commit=told.commit,
        subject=told.subject,
        revision=revision,
        health=standing.health,
        sync=standing.sync,
        deployed_at=running.live if running else None,
        running_since=_since(running, standing) if running else None,
        started_at=running.started if running else None,
        rolling=newest is not None and not (newest.live or newest.failure),
        failure=OpenFailure(reason=failure.reason, at=failure.at)
        if failure and failure.recovered is None
        else None,
        wanted=_wanted(key, runs, snapshot),
        hold=HoldOut(by=hold.by, since=hold.since, reason=hold.reason) if hold else None,
        compared=_compared(key, running, policy, snapshot),
        links=addresses.of(environment, application, revision, told.commit),
    )


def _since(running: Attempt, standing: Standing) -> datetime:
    """Since when the same images run; deployments that changed only the configuration did not end that."""
    since, wanted = running.live, fingerprint(running.images)
    for attempt in reversed(standing.attempts):
        if attempt.live and attempt.started <= running.started:
            if fingerprint(attempt.images) != wanted:
                break
            since = attempt.live
    return since


def _wanted(key: Key, runs: Sequence[Reference], snapshot: Snapshot) -> Wanted | None:
    """What Git names for the images that run, when that is something else."""
    named = snapshot.tip.wanted(*key) if snapshot.tip else ()
    named = [one for one in named if one.digest != NOTHING]
    running = {one.name: identity(one) for one in runs}
    if not any(running.get(one.name) != identity(one) for one in named if one.tag or one.digest):
        return None
    told = view.built(named, snapshot.histories.source)
    return Wanted(version=told.version, commit=told.commit)


def _compared(
    key: Key, running: Attempt | None, policy: Environment | None, snapshot: Snapshot
) -> Compared | None:
    """How far behind the environment that is promoted from."""
    if policy is None or policy.from_ is None:
        return None
    other = snapshot.standings.get((policy.from_, key[1]))
    ahead = other.running if other else None
    if running is None or ahead is None:
        return Compared(to=policy.from_, state="unknown", commits=None)
    if fingerprint(running.images) == fingerprint(ahead.images):
        return Compared(to=policy.from_, state="same", commits=0)
    source = snapshot.histories.source
    mine, theirs = (view.built(one.images, source).commit for one in (running, ahead))
    if source is None or not source.get(mine or "") or not source.get(theirs or ""):
        return Compared(to=policy.from_, state="unknown", commits=None)
    ahead_by, behind_by = source.apart(theirs, mine)
    if ahead_by and not behind_by:
        count = sum(not commit.is_merge for commit in ahead_by)
        return Compared(to=policy.from_, state="behind", commits=count)
    return Compared(to=policy.from_, state="different", commits=None)
