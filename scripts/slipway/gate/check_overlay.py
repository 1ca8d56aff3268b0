"""What `slipway check` makes of one rendered overlay: verdicts, findings, waivers. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field

from slipway.gate.check_builtin import BUILT_IN
from slipway.gate.check_repository import guarded
from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay, Source
from slipway.gate.render import Rendered
from slipway.gate.waivers import MARK, Waiver, in_file, on_object

_KEPT_SOURCES = 500
"""Files that are kept in memory, read and parsed, for the next overlay."""


@dataclass
class Result:
    """What became of one overlay; depends on nothing but what its fingerprint covers."""

    findings: list[Finding] = field(default_factory=list)
    waivers: list[Waiver] = field(default_factory=list)
    refs: list[tuple[str, str, str, str]] = field(default_factory=list)
    valid: int = 0
    invalid: int = 0
    skipped: int = 0
    listed: int = 0
    """Objects of kinds that are listed as having no schema."""
    objects: list[Object] = field(default_factory=list)
    """Kept for Argo CD's own objects only."""

    def dump(self) -> str:
        """As text, for `load`."""
        plain = {"f": [astuple(one) for one in self.findings], "w": [astuple(one) for one in self.waivers],
                 "r": self.refs, "c": [self.valid, self.invalid, self.skipped, self.listed],
                 "o": [(one.data, one.file, one.line) for one in self.objects]}  # fmt: skip
        return json.dumps({key: value for key, value in plain.items() if value}, separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> Result:
        """From the text of `dump`."""
        plain = json.loads(text)
        return cls(
            [Finding(*one) for one in plain.get("f", ())],
            [Waiver(*one) for one in plain.get("w", ())],
            [tuple(one) for one in plain.get("r", ())],
            *plain["c"],
            [Object(*one) for one in plain.get("o", ())],
        )


def place_of(folder: str) -> tuple[str, str]:
    """Environment and application of an overlay, by its path `overlays/<env>/<app>`."""
    parts = folder.split("/")
    return (parts[1], parts[-1]) if parts[0] == "overlays" and len(parts) > 2 else ("", parts[-1])


def policy_path(folder: str) -> str:
    """The policy of an overlay's environment."""
    return f"overlays/{place_of(folder)[0]}/environment.yaml"


def as_overlay(
    one: Rendered,
    environment: str,
    app: str,
    policy,
    read: Callable[[str], bytes],
    shared: dict[str, Source] | None = None,
) -> Overlay:
    """A rendered folder as rules see it; `read` gives the files' content when a rule asks.

    `shared` are files that an earlier overlay read, for the same object, read and parsed, to serve again.
    """
    sources = {}
    for path in sorted(one.files):
        known = (shared or {}).pop(path, None)
        sources[path] = known or Source(path, lambda path=path: read(path), one.documents.get(path))
    if shared is not None:
        shared.update(sources)
        for path in list(shared)[: max(len(shared) - _KEPT_SOURCES, 0)]:
            del shared[path]
    objects = [Object(item["data"], item["file"], item["line"]) for item in one.objects]
    local = any("/clusters/local/" in path or "/components/local-" in path for path in one.files)
    return Overlay(one.target.path, environment, app, objects, sources, policy, local)


def evaluate(one: Rendered, overlay: Overlay, rules: Sequence, unchecked: frozenset[str]) -> Result:
    """Findings, waivers and counts of one rendered folder. Pure: equal input gives an equal result."""
    result = Result()
    if one.error:
        about = BUILT_IN.get(one.error.rule)
        fix = about.fix if about else "correct the file"
        found = Finding(one.error.file, max(one.error.line, 1), one.error.rule, "", one.error.message, fix)
        result.findings.append(found)
        result.skipped += 1
    for item in one.duplicates:
        if not overlay.sources[item["file"]].is_kustomization:
            message = f"the key `{item['key']}` stands twice in one mapping"
            fix = BUILT_IN["duplicate-key"].fix
            result.findings.append(Finding(item["file"], item["line"], "duplicate-key", "", message, fix))
    for item, subject in zip(one.objects, overlay.objects, strict=True):
        _validated(item, subject, result, unchecked)
        result.refs.append((subject.api_version, subject.kind, subject.namespace, subject.name))
        result.waivers += on_object(subject)
    if not one.error:
        for rule in rules:
            file = f"{overlay.path}/kustomization.yaml"
            result.findings += guarded(rule.id, file, lambda check=rule.check: check(overlay))
    for path in {finding.file for finding in result.findings} & set(overlay.sources):
        source = overlay.sources[path]
        if MARK in source.text:
            result.waivers += in_file(path, source.lines)
    result.findings = sorted(set(result.findings))
    return result


def _validated(item: dict, subject: Object, result: Result, unchecked: frozenset[str]) -> None:
    verdict = item.get("verdict")
    if verdict == "valid":
        result.valid += 1
    elif verdict == "invalid":
        result.invalid += 1
        for problem in item.get("problems") or []:
            path = problem["path"].replace("/", ".")
            message = f"{path}: {problem['message']}" if path else problem["message"]
            found = Finding(
                problem["file"] or subject.file, problem["line"] or subject.line, "schema", subject.key, message,
                BUILT_IN["schema"].fix,
            )  # fmt: skip
            result.findings.append(found)
    elif f"{subject.api_version.rpartition('/')[0]}/{subject.kind}" in unchecked:
        result.listed += 1
    else:
        result.skipped += 1
        message = f"no schema describes {subject.kind} of {subject.api_version}"
        fix = BUILT_IN["unknown-kind"].fix
        result.findings.append(Finding(subject.file, subject.line, "unknown-kind", subject.key, message, fix))
