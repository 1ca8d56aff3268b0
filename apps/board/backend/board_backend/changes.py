"""One change: where a commit or an image is, as `slipway live` tells it, and how it came there."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Sequence

from slipway.argocd_api import Observed
from slipway.dora.journey import STATIONS, journey
from slipway.errors import InvalidInput, PolicyRefused, SlipwayError
from slipway.git.commits import DatedCommit
from slipway.live.answers import answers, not_built
from slipway.live.subject import Found, Subject, find, places
from slipway.live.verdict import Verdict
from slipway.writing.lineage import parse_trailers, recorded

from board_backend import view
from board_backend.links import Addresses
from board_backend.schema import Change, Changes, StepOut, Way
from board_backend.snapshot import Key, Snapshot

log = logging.getLogger(__name__)

Observe = Callable[[str], Observed]


class Unrecorded(Exception):
    """Nothing records what is asked about."""


class Unclear(Exception):
    """The question itself, or what it is asked of, cannot be understood."""


def newest(snapshot: Snapshot, addresses: Addresses, limit: int) -> Changes:
    """The newest source commits that some bump brought to an environment."""
    source = snapshot.histories.source
    found = [commit for sha in snapshot.histories.first if source and (commit := source.get(sha))]
    chosen = heapq.nlargest(limit, found, key=lambda one: (one.committed, one.sha))
    return Changes(items=[view.commit(one, addresses) for one in chosen])


def change(snapshot: Snapshot, addresses: Addresses, observe: Observe | None, text: str) -> Change:
    """Everything about one commit or image; raises `Unrecorded` or `Unclear`."""
    if snapshot.tip is None:
        raise Unrecorded("nothing is known of changes: the deploy repository has not been read")
    try:
        subject = find(snapshot.tip, text)
        found = places(snapshot.tip, subject, (), ()) if subject else None
    except InvalidInput as exc:
        if exc.message.startswith("no application has"):
            raise Unrecorded(exc.message) from exc
        raise Unclear(f"{exc.message}; {exc.fix}") from exc
    except PolicyRefused as exc:
        raise Unclear(exc.render()) from exc
    commit = _source_commit(snapshot, subject, text)
    if found is None:
        if commit is None:
            raise Unrecorded(
                f"no commit of the deploy or source repository is {text}, nor was an image built of it"
            )
        return _answer(snapshot, addresses, text, commit, [not_built("")], [], live_known=False)
    verdicts, known = _verdicts(found, observe)
    keys = [(one.environment, one.app) for one in (*found.places, *found.verdicts)]
    keys.sort(key=lambda key: (found.order.index(key[0]), key[1]))
    ways = [_way(snapshot, key, commit, subject, verdicts) for key in keys]
    return _answer(snapshot, addresses, text, commit, verdicts, ways, live_known=known)


def _verdicts(found: Found, observe: Observe | None) -> tuple[list[Verdict], bool]:
    """The verdicts, and whether Argo CD was asked; without it, those that Git alone gives."""
    if observe:
        try:
            return answers(found, observe), True
        except SlipwayError as exc:
            log.warning("Argo CD: %s", exc.message)
    return answers(found, None), False


def _source_commit(snapshot: Snapshot, subject: Subject | None, text: str) -> DatedCommit | None:
    """The source commit that is meant, where there is one and the source repository has it."""
    source = snapshot.histories.source
    if source is None:
        return None
    if subject is None:
        revision = text.lower()
    elif subject.commit:
        own = snapshot.histories.deploy.get(subject.commit)
        revisions = {build.revision for build in parse_trailers(own.message)} if own else set()
        revision = revisions.pop() if len(revisions) == 1 else None
    elif subject.is_image:
        messages = (one.message for one in snapshot.tip.commits)
        revision = _built_from(messages, next(iter(subject.images.values())))
    else:
        revision = subject.text
    full = source.find(revision) if revision else None
    return source.get(full) if full else None


def _built_from(messages, reference) -> str | None:
    """What the branch records of an image; by tag where no digest is asked for."""
    if reference.digest:
        return recorded(messages, reference).revision
    builds = (build for message in messages for build in parse_trailers(message))
    same = (b for b in builds if (b.reference.name, b.reference.tag) == (reference.name, reference.tag))
    return next((build.revision for build in same), None)


def _way(
    snapshot: Snapshot,
    key: Key,
    commit: DatedCommit | None,
    subject: Subject,
    verdicts: Sequence[Verdict],
) -> Way:
    environment, application = key
    standing = snapshot.standings.get(key)
    made = standing.attempts if standing else ()
    if commit:
        stations = journey(commit.sha, f"{environment}/{application}", made, snapshot.histories)
        steps = [StepOut(name=one.name, at=one.at, seconds=one.seconds) for one in stations]
    else:
        steps = [StepOut(name=name, at=None, seconds=None) for name in STATIONS]
    told = next((one.state for one in verdicts if (one.environment, one.app) == key), None)
    state = told or ("live" if steps[-1].at else "rolling" if steps[-2].at else "waiting")
    return Way(environment=environment, application=application, state=state, steps=steps)


def _answer(
    snapshot: Snapshot,
    addresses: Addresses,
    text: str,
    commit: DatedCommit | None,
    verdicts: Sequence[Verdict],
    ways: list[Way],
    *,
    live_known: bool,
) -> Change:
    return Change(
        text=text,
        commit=view.commit(commit, addresses) if commit else None,
        verdicts=[verdict.as_dict() for verdict in verdicts],
        live_known=live_known,
        steps=ways,
    )
