"""CloudFormation templates as data: resources by type, references told, policies with their ARNs written out."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import synth


@dataclass(frozen=True)
class Resource:
    """One resource of a stack."""

    stack: str
    id: str
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        return self.body["Type"]

    @property
    def tags(self) -> dict[str, str]:
        """Some types write them as a list, some as a map."""
        tags = self.get("Tags", {})
        return tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}

    def __getitem__(self, name: str) -> Any:
        return self.body["Properties"][name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.body.get("Properties", {}).get(name, default)

    def __str__(self) -> str:
        return f"{self.stack}/{self.id}"


@dataclass(frozen=True)
class Assembly:
    """The stacks in the order of deployment, and their templates."""

    stacks: list[dict[str, str]]
    templates: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, out: Path) -> Assembly:
        stacks = synth.stacks(out)
        return cls(stacks, {s["name"]: json.loads((out / s["template"]).read_text()) for s in stacks})

    def copy(self) -> Assembly:
        """One whose templates may be changed."""
        return Assembly(self.stacks, copy.deepcopy(self.templates))

    def account(self, stack: str) -> str:
        return next(s["account"] for s in self.stacks if s["name"] == stack)

    def all(self, kind: str = "") -> Iterator[Resource]:
        """Every resource of the type, or every resource."""
        for stack, template in self.templates.items():
            for name, body in template["Resources"].items():
                if not kind or body["Type"] == kind:
                    yield Resource(stack, name, body)

    def one(self, stack: str, name: str) -> Resource:
        """The resource whose logical id begins so; ids that CDK ends with a hash are unique by their beginning."""
        resources = self.templates[stack]["Resources"]
        found = [id_ for id_ in resources if id_ == name] or [
            id_ for id_ in resources if id_.startswith(name)
        ]
        assert len(found) == 1, f"{stack}/{name}: {found}"
        return Resource(stack, found[0], resources[found[0]])

    def names(self, resource: Resource, value: Any) -> list[str]:
        """What a value refers to, as `stack/id` or `stack/id.attribute`; literal texts as they are."""
        if isinstance(value, list):
            return [name for item in value for name in self.names(resource, item)]
        if not isinstance(value, dict):
            return [str(value)]
        ((function, argument),) = value.items()
        if function == "Ref":
            return [f"{resource.stack}/{argument}"]
        if function == "Fn::GetAtt":
            return [f"{resource.stack}/{argument[0]}.{argument[1]}"]
        if function == "Fn::ImportValue":
            return self._exported(argument)
        assert function == "Fn::Join", function
        return self.names(resource, argument[1])

    def _exported(self, name: str) -> list[str]:
        for stack, template in self.templates.items():
            for output in template.get("Outputs", {}).values():
                if output.get("Export", {}).get("Name") == name:
                    return self.names(Resource(stack, name, {}), output["Value"])
        raise AssertionError(f"nothing exports {name}")

    def text(self, resource: Resource, value: Any) -> str:
        """A value as one text, references in `<…>`."""
        if isinstance(value, str):
            return value
        ((function, argument),) = value.items()
        if function == "Fn::Join":
            return argument[0].join(self.text(resource, part) for part in argument[1])
        if value == {"Ref": "AWS::Partition"}:
            return "aws"
        return f"<{self.names(resource, value)[0]}>"
