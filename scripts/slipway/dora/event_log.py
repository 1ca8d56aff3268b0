"""The events as the log in Git keeps them: one JSON file each, under environment and application."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from slipway.dora.events import Event, Fact


def parse_log(files: Iterable[tuple[str, bytes]]) -> tuple[list[Fact], list[str]]:
    """The facts of (path, contents), and the paths of the JSON files that are no events."""
    facts, unreadable = [], []
    for path, data in files:
        if path.endswith(".json"):
            try:
                facts.append(Event.model_validate_json(data).fact())
            except ValidationError:
                unreadable.append(path)
    return facts, unreadable
