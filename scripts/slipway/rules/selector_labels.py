"""Trap A28: labels that a kustomization also writes into selectors."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import mapping, mappings


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every `commonLabels`, and every `labels` with `includeSelectors`."""
    for source in overlay.kustomizations:
        document = mapping(source.data[0]) if source.data else {}
        if document.get("commonLabels"):
            yield RULE.at(
                source, source.line("commonLabels"), "`commonLabels` are written into every selector"
            )
        for index, item in enumerate(mappings(document.get("labels"))):
            if item.get("includeSelectors") in (True, "true"):
                where = source.line("labels", index, "includeSelectors")
                yield RULE.at(source, where, "these labels are written into every selector")


RULE = Rule(
    id="selector-labels",
    why="A Deployment's selector cannot be changed: when such a label changes, every later sync fails.",
    fix="use `labels:` with `includeTemplates: true` and without `includeSelectors`",
    link="https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/labels/",
    check=check,
)
