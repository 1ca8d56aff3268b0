"""The page «Now» arranged: applications as rows, environments as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from board_frontend.schema import Environment, Overview, Place


@dataclass(frozen=True)
class Row:
    """One application; a cell is None where it is not deployed."""

    application: str
    cells: list[Place | None]


@dataclass(frozen=True)
class Grid:
    """What is shown."""

    environments: list[Environment]
    rows: list[Row]


def environments(overview: Overview, order: Sequence[str] = ()) -> list[Environment]:
    """In the policy's order; without one in `order`, and others as the backend names them.

    An environment that only a place names is one too.
    """
    known = {one.name: one for one in overview.environments}
    for place in overview.places:
        known.setdefault(place.environment, Environment(name=place.environment))
    last = len(known)

    def rank(one: Environment) -> tuple[int, int]:
        configured = order.index(one.name) if one.name in order else last
        return (last if one.order is None else one.order, configured)

    return sorted(known.values(), key=rank)


def needs_attention(place: Place) -> bool:
    """Whether somebody has to look at it: it failed, is not well, is held, or does not move to what Git names."""
    unwell = place.health not in ("", "Healthy", "Progressing")
    stuck = place.wanted is not None and not place.rolling
    return unwell or stuck or place.failure is not None or place.hold is not None


def arrange(
    overview: Overview,
    *,
    order: Sequence[str] = (),
    environment: str | None = None,
    application: str = "",
    attention: bool = False,
) -> Grid:
    """The part of the overview that was asked for; `application` is any part of a name."""
    columns = [one for one in environments(overview, order) if environment in (None, one.name)]
    at = {(place.application, place.environment): place for place in overview.places}
    rows = []
    for name in sorted({place.application for place in overview.places}):
        cells = [at.get((name, column.name)) for column in columns]
        shown = [cell for cell in cells if cell is not None]
        if application.casefold() not in name.casefold() or not shown:
            continue
        if attention and not any(map(needs_attention, shown)):
            continue
        rows.append(Row(name, cells))
    return Grid(columns, rows)


def counts(grid: Grid) -> dict[str, int]:
    """How many places are in each state worth a figure."""
    places = [cell for row in grid.rows for cell in row.cells if cell is not None]
    return {
        "deployed": len(places),
        "rolling": sum(place.rolling for place in places),
        "failed": sum(place.failure is not None for place in places),
        "degraded": sum(place.health == "Degraded" and place.failure is None for place in places),
        "held": sum(place.hold is not None for place in places),
    }
