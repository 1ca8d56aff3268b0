"""How images, commits and deployments are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipway.dora.attempts import Attempt
from slipway.dora.history import SourceHistory
from slipway.dora.images import one_commit, one_version
from slipway.git.commits import DatedCommit
from slipway.registry.references import Reference

from board_backend.links import Addresses
from board_backend.schema import Commit, Deployment, FailureOut, Image
from board_backend.snapshot import Row, Snapshot


def images(references: Sequence[Reference]) -> list[Image]:
    """The images as they are answered."""
    return [Image(name=one.name, tag=one.tag, digest=one.digest) for one in references]


@dataclass(frozen=True)
class Built:
    """What images tell of the source; the commit is in full where it is known there."""

    version: str | None
    commit: str | None
    subject: str | None


def built(references: Sequence[Reference], source: SourceHistory | None) -> Built:
    """Version, commit and subject, as far as the images agree on them."""
    commit, found = one_commit(references), None
    if commit and source and (full := source.find(commit)):
        commit, found = full, source.get(full)
    return Built(one_version(references), commit, found.subject if found else None)


def commit(found: DatedCommit, addresses: Addresses) -> Commit:
    """A source commit as it is answered."""
    return Commit(
        commit=found.sha,
        subject=found.subject,
        author=found.author,
        committed_at=found.committed,
        link=addresses.source(found.sha),
    )


def deployment(row: Row, snapshot: Snapshot, addresses: Addresses) -> Deployment:
    """A row as it is answered."""
    one, told = row.attempt, built(row.attempt.images, snapshot.histories.source)
    failure = one.failure
    return Deployment(
        id=row.id,
        application=one.application,
        environment=one.environment,
        revision=one.revision,
        kind=one.kind,
        version=told.version,
        commit=told.commit,
        subject=told.subject,
        images=images(one.images),
        started_at=one.started,
        live_at=one.live,
        at=row.at,
        state=_state(row, snapshot),
        health=one.health,
        sync=one.sync,
        failure=failure
        and FailureOut(reason=failure.reason, at=failure.at, recovered_at=failure.recovered, by=failure.by),
        commits=len(one.changes),
        lead_seconds=max((change.lead for change in one.changes), default=None),
        links=addresses.of(one.environment, one.application, one.revision, told.commit),
    )


def _state(row: Row, snapshot: Snapshot) -> str:
    one: Attempt = row.attempt
    if one.live:
        return "live"
    if one.failure:
        return "failed"
    standing = snapshot.standings[one.environment, one.application]
    return "running" if row.number == len(standing.attempts) - 1 else "superseded"
