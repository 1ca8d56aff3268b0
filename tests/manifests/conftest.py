"""Every test that asks for `resources` runs once per environment and kind of cluster."""

from __future__ import annotations

import pytest
from rendering import CLUSTERS, ENVIRONMENTS, Resource, environment


@pytest.fixture(params=[(name, cluster) for name in ENVIRONMENTS for cluster in CLUSTERS], ids="-".join)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An environment and a kind of cluster."""
    return request.param


@pytest.fixture
def resources(place: tuple[str, str]) -> list[Resource]:
    """What is deployed there."""
    return environment(*place)
