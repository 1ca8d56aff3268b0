"""The JSON Schema of an environment's policy, for editors.

`python -m slipway.policy.schema` writes `overlays/environment.schema.json`, which every environment.yaml names.
"""

from __future__ import annotations

import json

from slipway import paths
from slipway.policy.environment import json_schema

FILE = "overlays/environment.schema.json"

MEANINGS = {
    "name": "Name of the environment: that of its folder.",
    "order": "Place in the chain of environments, from 1.",
    "from": "Environment that promotions come from; null for the first.",
    "delivery": "How changes arrive: pushed by automation, or merged by people.",
    "approvals": "Approvals that a pull request needs.",
    "soak": "How long a build must have run healthily in the environment before: 90s, 10m, 2h, 1d.",
    "freezes": "Times in which nothing is written. `slipway freeze` also writes Argo CD's sync windows.",
    "holds": "Applications that automation leaves alone. `slipway rollback` adds one, `slipway release` lifts it.",
    "pruneBudget": "Share of an application's objects that one change may remove.",
    "architectures": "What the nodes run; an image must have all of them.",
    "signature": "Whether images must be signed, and by which key.",
    "retention": "Which images the registry keeps for this environment.",
    "writers": "Automations that may write images here; empty for the one that wrote last.",
}
"""What an editor shows for each key."""

_NOISE = ("title", "default", "ge", "le")


def schema() -> dict[str, object]:
    """The schema, with a meaning for every key and without what editors make nothing of."""
    found = _tidy(json_schema())
    found["title"] = "Policy of an environment"
    found["description"] = "Unknown keys are refused, and so is every write while the file is not valid."
    for key, meaning in MEANINGS.items():
        found["properties"][key]["description"] = meaning
    found["$defs"]["Freeze"]["oneOf"] = [{"required": ["start", "end"]}, {"required": ["weekly"]}]
    return found


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=2) + "\n"


def _tidy(node: object) -> object:
    if isinstance(node, list):
        return [_tidy(one) for one in node]
    if not isinstance(node, dict):
        return node
    named = ("properties", "$defs")
    return {
        key: {name: _tidy(one) for name, one in value.items()} if key in named else _tidy(value)
        for key, value in node.items()
        if key not in _NOISE
    }


if __name__ == "__main__":
    (paths.CHECKOUT / FILE).write_text(text())
