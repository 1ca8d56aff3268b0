"""The deploy half, its Applications and what makes them, as several rules read them."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.overlay import Object, Repository
from slipway.rules._facts import mapping, mappings


def manifests(repository: Repository) -> Iterator[str]:
    """The files of the deploy half; tests and tools beside it hold mistakes on purpose."""
    return (path for path in repository.paths if path.startswith(("argocd/", "base/", "overlays/")))


def applications(repository: Repository) -> Iterator[tuple[Object, dict]]:
    """Every Application, and every one that an ApplicationSet makes: the object and metadata with spec."""
    for subject in repository.argocd:
        if subject.kind == "Application":
            yield subject, subject.data
        elif subject.kind == "ApplicationSet":
            yield subject, mapping(subject.spec.get("template"))


def spec(application: dict) -> dict:
    """The spec of an Application."""
    return mapping(application.get("spec"))


def sources(application: dict) -> list[dict]:
    """Its one or several sources."""
    found = spec(application)
    return [
        *([found["source"]] if isinstance(found.get("source"), dict) else []),
        *mappings(found.get("sources")),
    ]


def sync_policy(application: dict) -> dict:
    """Its sync policy."""
    return mapping(spec(application).get("syncPolicy"))


def sync_options(application: dict) -> dict[str, str]:
    """Its sync options by name."""
    options = sync_policy(application).get("syncOptions")
    pairs = (str(option).partition("=") for option in (options if isinstance(options, list) else []))
    return {name: value for name, _, value in pairs}


def annotation_options(value: object) -> dict[str, str]:
    """The sync options of a resource's annotation."""
    pairs = (option.strip().partition("=") for option in str(value or "").split(","))
    return {name: text for name, _, text in pairs if name}
