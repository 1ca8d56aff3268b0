"""What `slipway check` says of the repository as a whole: what nothing deploys, and the rules of that scope. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from slipway.gate.check_builtin import BUILT_IN
from slipway.gate.discover import Discovery, not_deployed
from slipway.gate.findings import Finding
from slipway.gate.overlay import KUSTOMIZATIONS, Repository
from slipway.gate.waivers import MARK, Waiver, in_file, matching, on_object

Waived = tuple[Finding, Waiver | None]
"""A finding, and the waiver that speaks of it, whether it still holds or not."""


def repository_findings(repository: Repository, discovery: Discovery, used: Iterable[str]) -> list[Waived]:
    """Every finding; `used` are the files that deployed folders reach."""
    from slipway.rules import RULES

    kustomizations = [path for path in repository.paths if path.rpartition("/")[2] in KUSTOMIZATIONS]
    idle = [
        one for one in not_deployed(discovery, kustomizations, used) if not _component(repository, one.file)
    ]
    found = [*discovery.findings, *idle]
    for rule in RULES:
        if rule.scope == "repository":
            found += guarded(rule.id, "argocd", lambda check=rule.check: check(repository))
    return list(_with_waivers(dict.fromkeys(found), repository))


def guarded(rule: str, file: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a rule finds; one that fails on an unforeseen shape is a finding itself, and ends no run."""
    try:
        return list(check())
    except Exception as exc:
        message = f"the rule {rule} cannot read this: {type(exc).__name__}: {exc}"
        return [Finding(file, 1, "rule-crash", "", message, BUILT_IN["rule-crash"].fix)]


def _component(repository: Repository, path: str) -> bool:
    return b"kind: Component" in (repository.read(path) or b"")


def _with_waivers(findings: Iterable[Finding], repository: Repository) -> Iterator[Waived]:
    objects = {one.key: one for one in repository.argocd}
    comments: dict[str, list[Waiver]] = {}
    for one in findings:
        by = matching(on_object(objects[one.object]), one) if one.object in objects else None
        if not by:
            if one.file not in comments:
                text = (repository.read(one.file) or b"").decode("utf-8", "replace")
                comments[one.file] = in_file(one.file, text.splitlines()) if MARK in text else []
            by = matching(comments[one.file], one)
        yield one, by
