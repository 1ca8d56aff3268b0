"""What an Application's status says happened, as the events that the notifications would have told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from slipway.dora.events import DEGRADED, DEPLOYED, RUNNING, SYNC_FAILED, Event, Fact
from slipway.writing.lineage import parse_time

_CLOCKS = timedelta(minutes=1)
"""How much the clocks behind an Application's times may differ."""


def events_of(application: Mapping[str, Any]) -> list[Event]:
    """The events of the last sync, by the conditions of the notification triggers, with the images that it applied."""
    status = _part(application, "status")
    operation, health = _part(status, "operationState"), _part(status, "health")
    result = _part(operation, "syncResult")
    phase, state = operation.get("phase"), health.get("status")
    kinds = []
    if phase == "Running" and result:
        kinds.append(RUNNING)
    if phase == "Succeeded" and state == "Healthy" and _is_of_this_sync(operation, health):
        kinds.append(DEPLOYED)
    if phase in ("Error", "Failed"):
        kinds.append(SYNC_FAILED)
    if state == "Degraded":
        kinds.append(DEGRADED)
    sync = _part(status, "sync")
    told = {
        "revision": result.get("revision") or sync.get("revision"),
        "images": _images(result, _part(status, "summary")),
        "sync": sync.get("status"),
        "health": state,
        "message": operation.get("message"),
        "started_at": operation.get("startedAt"),
        "finished_at": operation.get("finishedAt"),
        "health_changed_at": health.get("lastTransitionTime"),
    }
    return [event for kind in kinds for event in _event(application, kind, told)]


def earlier_of(application: Mapping[str, Any]) -> list[Event]:
    """The other syncs that its history keeps: that they began is known, how they ended is not."""
    status = _part(application, "status")
    last = _part(_part(status, "operationState"), "syncResult").get("revision")
    found = []
    for entry in status.get("history") or []:
        if entry.get("revision") != last:
            began = entry.get("deployStartedAt") or entry.get("deployedAt")
            found += _event(application, RUNNING, {"revision": entry.get("revision"), "started_at": began})
    return found


def news(application: Mapping[str, Any], known: Sequence[Fact]) -> list[Fact]:
    """What an Application's status tells beyond the facts that are `known` of its place.

    A state that lasts is told once, as by the notifications: health comes and goes with every Pod that is replaced,
    so that a revision counts as live again only after it was reported as degraded or failed.
    """
    facts = [event.fact() for event in events_of(application)]
    revisions = {fact.revision for fact in known}
    earlier = [event.fact() for event in earlier_of(application) if event.revision not in revisions]
    return [fact for fact in facts if not _is_told(fact, known)] + earlier


def _is_told(fact: Fact, known: Iterable[Fact]) -> bool:
    same = [one for one in known if (one.revision, one.started) == (fact.revision, fact.started)]
    times = [one.at for one in same if one.event == fact.event]
    if fact.event == DEGRADED:
        return fact.at in times
    if fact.event == DEPLOYED and times:
        return not any(one.at > max(times) for one in same if one.event in (DEGRADED, SYNC_FAILED))
    return bool(times)


def _is_of_this_sync(operation: Mapping[str, Any], health: Mapping[str, Any]) -> bool:
    """Healthy since it, or throughout it; a health older than the sync that it ended says nothing of the new Pods."""
    changed = parse_time(health.get("lastTransitionTime"))
    began, ended = (parse_time(operation.get(key)) for key in ("startedAt", "finishedAt"))
    return bool(changed and began and ended) and (changed + _CLOCKS >= ended or changed < began)


def _event(application: Mapping[str, Any], kind: str, told: dict[str, Any]) -> list[Event]:
    """One event, or none where the Application lacks what it takes."""
    labels = _part(_part(application, "metadata"), "labels")
    where = {key: labels.get(key) for key in ("application", "environment")}
    with suppress(ValidationError):
        return [Event(event=kind, **where, **told)]
    return []


def _images(result: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """Those this sync applied, and of the workloads it left alone those that run."""
    resources = [one for one in result.get("resources") or [] if one.get("status") != "Pruned"]
    applied = [image for one in resources for image in one.get("images") or []]
    names = {image.partition(":")[0] for image in applied}
    left = [image for image in summary.get("images") or [] if image.partition(":")[0] not in names]
    return sorted({*applied, *left})


def _part(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}
