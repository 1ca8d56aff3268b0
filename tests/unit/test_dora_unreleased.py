"""An overlay that waits for its first image is synced, and is no deployment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from slipway.dora.attempts import Histories, attempts
from slipway.dora.events import DEPLOYED, RUNNING, Fact
from slipway.dora.history import DeployHistory
from slipway.registry.references import NOTHING, Reference

START = datetime(2026, 11, 25, 9, tzinfo=UTC)
WAITING = Reference("registry.example.com/shop/hello", "unreleased", NOTHING)
FIRST = Reference("registry.example.com/shop/hello", "main-1234567", "sha256:" + "a" * 64)


def fact(event: str, revision: str, minute: int, *images: Reference) -> Fact:
    """Something that Argo CD reported, some minutes after the start."""
    at = START + timedelta(minutes=minute)
    return Fact(event, "hello", "prod", revision * 40, at, at, images)


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "backwards"])
def test_the_first_deployment_is_that_of_the_first_image(order: int) -> None:
    """What was reported before it, without images too, neither counts nor stays open for ever."""
    facts = [
        fact(RUNNING, "1", 0),
        fact(DEPLOYED, "1", 1, WAITING),
        fact(RUNNING, "2", 5),
        fact(DEPLOYED, "2", 6, FIRST),
    ]
    (only,) = attempts(facts[::order], Histories.of(DeployHistory([]), None))
    assert (only.kind, only.images, only.live) == ("images", (FIRST,), START + timedelta(minutes=6))


def test_an_application_without_a_release_has_no_deployment() -> None:
    """Undefined is undefined, and not a success."""
    assert attempts([fact(DEPLOYED, "1", 1, WAITING)], Histories.of(DeployHistory([]), None)) == []
