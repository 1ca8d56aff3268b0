"""What an Application's status tells is what the notifications would have told, and once."""

from __future__ import annotations

import copy

import pytest
from slipway.dora.argocd import earlier_of, events_of, news
from slipway.dora.events import DEGRADED, DEPLOYED, RUNNING, SYNC_FAILED, Event

NAME = "registry.example:5000/team/board"
NEW, OLD, OTHER = (f"{name}@sha256:{digit * 64}" for name, digit in ((NAME + ":v2", "2"), (NAME + ":v1", "1"), ("postgres:15", "3")))  # fmt: skip


def application(
    phase: str = "Succeeded", health: str = "Healthy", changed: str = "10:01:30", **status
) -> dict:
    """An Application whose last sync took a minute from 10:00, with fields of its status set otherwise."""
    return {
        "metadata": {"labels": {"application": "board", "environment": "prod"}},
        "status": {
            "sync": {"status": "Synced", "revision": "b" * 40},
            "health": {"status": health, "lastTransitionTime": f"2026-03-02T{changed}Z"},
            "summary": {"images": [OLD, NEW, OTHER]},
            "operationState": {
                "phase": phase,
                "message": "successfully synced",
                "startedAt": "2026-03-02T10:00:00Z",
                "finishedAt": None if phase == "Running" else "2026-03-02T10:01:00Z",
                "syncResult": {
                    "revision": "b" * 40,
                    "resources": [
                        {"status": "Synced", "images": [NEW]},
                        {"status": "Pruned", "images": ["registry.example/gone:v1"]},
                        {"status": "Synced"},
                    ],
                },
            },
        }
        | status,
    }  # fmt: skip


def test_a_deployment_is_told_as_its_notification_tells_it():
    """Byte for byte the same fact: the images applied, and of what was left alone those that run."""
    (event,) = events_of(application())
    notified = Event(
        event=DEPLOYED, application="board", environment="prod", revision="b" * 40, images=sorted([NEW, OTHER]),
        sync="Synced", health="Healthy", message="successfully synced", started_at="2026-03-02T10:00:00Z",
        finished_at="2026-03-02T10:01:00Z", health_changed_at="2026-03-02T10:01:30Z",
    )  # fmt: skip
    assert event.fact().identity == notified.fact().identity


@pytest.mark.parametrize(
    ("phase", "health", "changed", "kinds"),
    [
        ("Succeeded", "Healthy", "10:01:30", [DEPLOYED]),
        ("Succeeded", "Healthy", "09:00:00", [DEPLOYED]),
        ("Succeeded", "Healthy", "10:00:30", [DEPLOYED]),
        ("Succeeded", "Progressing", "10:01:30", []),
        ("Succeeded", "Degraded", "10:05:00", [DEGRADED]),
        ("Running", "Healthy", "09:00:00", [RUNNING]),
        ("Failed", "Healthy", "09:00:00", [SYNC_FAILED]),
        ("Error", "Degraded", "10:02:00", [SYNC_FAILED, DEGRADED]),
    ],
)
def test_kinds_are_those_of_the_triggers(phase, health, changed, kinds):
    """By phase of the operation and by health."""
    assert [event.event for event in events_of(application(phase, health, changed))] == kinds


def test_health_of_before_a_long_sync_ended_is_not_of_the_new_pods():
    """More than a minute before its end, and after its begin."""
    told = application(changed="10:00:30")
    told["status"]["operationState"]["finishedAt"] = "2026-03-02T10:02:00Z"
    assert events_of(told) == []


def test_what_lasts_is_told_once():
    """Asked again and again, also after a Pod was replaced or the text of a running sync changed: nothing new."""
    for told in (
        application(),
        application("Running"),
        application("Failed"),
        application(health="Degraded"),
    ):
        known = news(told, [])
        assert len(known) == 1 and news(told, known) == []
        told["status"]["operationState"]["message"] = "Retrying attempt #2"
        assert news(told, known) == []
    known = news(application(), [])
    assert news(application(changed="11:00:00"), known) == []


def test_recovery_after_a_degradation_is_told_again():
    """Live, degraded, live: three facts, and no fourth."""
    known = news(application(), [])
    known += news(application(health="Degraded", changed="11:00:00"), known)
    known += news(application(changed="11:05:00"), known)
    assert [(fact.event, fact.at.strftime("%H:%M")) for fact in known] == [
        (DEPLOYED, "10:01"), (DEGRADED, "11:00"), (DEPLOYED, "11:05"),
    ]  # fmt: skip
    assert news(application(changed="11:09:00"), known) == []
    assert len(news(application(health="Degraded", changed="12:00:00"), known)) == 1


def history(*revisions: str) -> list[dict]:
    return [
        {"revision": one * 40, "deployStartedAt": f"2026-03-0{n}T08:00:00Z", "deployedAt": f"2026-03-0{n}T08:01:00Z"}
        for n, one in enumerate(revisions, 1)
    ]  # fmt: skip


def test_earlier_syncs_are_known_to_have_begun_and_no_more():
    """Of the history all but the last operation, and only where nothing else is known of the revision."""
    told = application(history=history("8", "9", "b"))
    assert [(event.event, event.revision[0]) for event in earlier_of(told)] == [
        (RUNNING, "8"),
        (RUNNING, "9"),
    ]
    known = [fact for fact in news(told, []) if fact.revision[0] == "9"]
    assert [fact.revision[0] for fact in news(told, known)] == ["b", "8"]
    (old, *_) = earlier_of(told)
    assert old.images == [] and old.fact().at.day == 1


@pytest.mark.parametrize("missing", ["metadata", "status"])
def test_an_application_that_tells_too_little_tells_nothing(missing):
    """No labels, no operation, no times: no event, and no error."""
    told = copy.deepcopy(application(history=history("8", "b")))
    told.pop(missing)
    assert news(told, []) == []
    assert news({"metadata": None, "status": {"history": None, "operationState": "x"}}, []) == []
