"""Trap A17: a key of a kustomization in another case, which kustomize reads and other tools do not."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import mapping

_FILE = (
    "apiVersion bases buildMetadata commonAnnotations commonLabels components configMapGenerator configurations crds "
    "generatorOptions generators helmCharts helmGlobals images kind labels metadata namePrefix nameSuffix namespace "
    "openapi patches patchesJson6902 patchesStrategicMerge replacements replicas resources secretGenerator sortOptions "
    "transformers validators vars"
)
_LISTS = {
    "images": "name newName newTag digest tagSuffix",
    "replicas": "name count",
    "patches": "path patch target options",
    "labels": "pairs includeSelectors includeTemplates fields",
}
_SPELLING = {key.lower(): key for key in _FILE.split()}
_IN_LIST = {name: {key.lower(): key for key in keys.split()} for name, keys in _LISTS.items()}


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every key that is spelt like a known one but for its case."""
    for source in overlay.kustomizations:
        document = mapping(source.data[0]) if source.data else {}
        found = [
            (key, right, (key,)) for key in document if (right := _SPELLING.get(key.lower(), key)) != key
        ]
        for name, spelling in _IN_LIST.items():
            items = document.get(name)
            for index, item in enumerate(items if isinstance(items, list) else ()):
                for key in mapping(item):
                    right = spelling.get(key.lower(), key)
                    if right != key:
                        found.append((key, right, (name, index, key)))
        for key, right, location in found:
            message = f"the key `{key}` is read as `{right}`"
            yield RULE.at(source, source.line(*location), message, f"write `{right}`")


RULE = Rule(
    id="misspelt-key",
    why="Kustomize takes `newtag` for `newTag` and the other way round, so two tools see two different files.",
    fix="write the key as the reference does",
    link="https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/",
    check=check,
)
