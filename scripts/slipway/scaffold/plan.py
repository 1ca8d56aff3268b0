"""What a new application means for a checkout: files to create, files to add to, and what remains to be done."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from slipway.pipeline import config
from slipway.scaffold import edits, lock
from slipway.scaffold.names import module_of
from slipway.scaffold.survey import ALB, Environment, Survey, check_free

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".tmpl"
_LOCK = "requirements.lock"
_FOLDERS = {
    "source": ("apps", "images", "tests"),
    "deploy": ("base", "overlays"),
}
_STICKY = ",stickiness.enabled=true,stickiness.type=lb_cookie,stickiness.lb_cookie.duration_seconds=3600"
_DRAIN = "deregistration_delay.timeout_seconds=30"


@dataclass(frozen=True)
class Kind:
    """What differs between kinds of applications; paths are below the application's own."""

    port: int
    alive: str
    ready: str
    metrics: str
    sessions: str
    target_group: str
    memory: str
    memory_limit: str


KINDS = {
    "streamlit": Kind(
        8501,
        "/_stcore/health",
        "/_stcore/health",
        "/_stcore/metrics",
        "memory",
        _DRAIN + _STICKY,
        "192Mi",
        "512Mi",
    ),
    "fastapi": Kind(8000, "/healthz", "/readyz", "/metrics", "none", _DRAIN, "96Mi", "256Mi"),
    "container": Kind(8000, "/healthz", "/healthz", "/metrics", "none", _DRAIN, "48Mi", "128Mi"),
}


@dataclass(frozen=True)
class Plan:
    """Paths are relative to the checkout; `changed` holds the new text of files that are there."""

    name: str
    kind: str
    image: str
    halves: tuple[str, ...]
    created: Mapping[str, str]
    changed: Mapping[str, str]
    remaining: list[str] = field(default_factory=list)


def make(survey: Survey, name: str, kind: str, owner: str | None) -> Plan:
    """The whole plan; raises `EditRefused` when the name is taken or a file cannot be added to."""
    values = _values(survey, name, kind)
    created = dict(_created(survey, name, kind, values))
    check_free(survey, name, list(created))
    if (source := created.get(f"apps/{name}/requirements.in")) is not None:
        larger = (survey.root / _LOCK).read_text()
        file = f"apps/{name}/requirements.in"
        created[f"apps/{name}/{_LOCK}"] = lock.subset(larger, source, file)
    return Plan(
        name,
        kind,
        values["image"],
        survey.halves,
        dict(sorted(created.items())),
        dict(_changed(survey, name, created, owner)),
        _remaining(survey, name),
    )


def _values(survey: Survey, name: str, kind: str) -> dict[str, str]:
    facts = KINDS[kind]
    balancer = {f"{ALB}{key}": value for key, value in survey.load_balancer.items()}
    lines = yaml.safe_dump(balancer, sort_keys=False, width=10_000).splitlines(keepends=True)
    return {
        "name": name,
        "module": module_of(name),
        "image": f"{survey.registry}/{name}",
        "python_image": survey.python_image,
        "load_balancer": "".join(f"    {line}" for line in lines),
        "port": str(facts.port),
        "alive": f"/{name}{facts.alive}",
        "ready": f"/{name}{facts.ready}",
        "metrics": f"/{name}{facts.metrics}",
        "sessions": facts.sessions,
        "target_group": facts.target_group,
        "memory": facts.memory,
        "memory_limit": facts.memory_limit,
    }


def fill(template: str, values: Mapping[str, str]) -> str:
    """A template's text with `<<name>>` replaced; raises `KeyError` for a name without a value."""
    return re.sub(r"<<(\w+)>>", lambda found: values[found[1]], template)


def _created(survey: Survey, name: str, kind: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    folders = [folder for half in survey.halves for folder in _FOLDERS[half]]
    for root in (TEMPLATES / "common", TEMPLATES / kind):
        for file in sorted(root.rglob(f"*{SUFFIX}")):
            path = file.relative_to(root).as_posix().removesuffix(SUFFIX)
            if path.partition("/")[0] not in folders:
                continue
            path = path.replace("NAME", name).replace("MODULE", values["module"])
            places = survey.environments if "ENVIRONMENT" in path else [None]
            for place in places:
                more = _of_environment(place) if place else {}
                yield (
                    path.replace("ENVIRONMENT", more.get("environment", "")),
                    fill(file.read_text(), {**values, **more}),
                )


def _of_environment(environment: Environment) -> dict[str, str]:
    namespace = "" if environment.has_namespace else "- ../../../base/namespace\n"
    return {"environment": environment.name, "cluster": environment.cluster, "namespace": namespace}


def _changed(
    survey: Survey, name: str, created: Mapping[str, str], owner: str | None
) -> Iterator[tuple[str, str]]:
    def text(path: str) -> str:
        file = survey.root / path
        return file.read_bytes().decode() if file.is_file() else ""

    if survey.pipeline:
        locked = f"apps/{name}/{_LOCK}"
        dependencies = [locked] if locked in created else []
        repository = f"{survey.registry}/{name}".removeprefix(f"{survey.pipeline.registry}/")
        path = config.FILE.as_posix()
        yield path, edits.add_image(text(path), name, repository, dependencies)
    if owner and survey.pipeline:
        yield "CODEOWNERS", edits.add_owner(text("CODEOWNERS"), [f"/apps/{name}/", f"/images/{name}/"], owner)
    if owner and survey.environments:
        path = "scripts/pair/deploy/CODEOWNERS" if survey.pipeline else "CODEOWNERS"
        yield path, edits.add_owner(text(path), [f"/base/{name}/"], owner)


def _remaining(survey: Survey, name: str) -> list[str]:
    image = f"{survey.registry}/{name}"
    repository = f"on AWS, make the ECR repository of {image}"
    if survey.halves == ("source",):
        return [
            f"run `slipway new app {name}` in the deploy repository too, and have that merged first: "
            "a bump refuses an image that no overlay names",
            repository,
            "commit and push",
        ]
    if survey.halves == ("deploy",):
        return [
            "open a pull request; until the first bump the application has no Pods",
            f"run `slipway new app {name}` in the source repository too: its first build is bumped here",
        ]
    first, *others = [environment.name for environment in survey.environments]
    steps = [
        repository,
        "commit",
        f"`slipway pair publish` both halves: the pipeline builds it and bumps {first}",
    ]
    return steps + [f"`slipway promote {name} --to {other}` when it may go there" for other in others]
