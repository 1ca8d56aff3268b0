"""A small evaluator of IAM: what the policies of a role allow, read from a template or from AWS's answers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


def listed(value: Any) -> list:
    """IAM writes one as itself and several as a list."""
    return value if isinstance(value, list) else [value]


def matches(pattern: str, text: str) -> bool:
    """IAM's wildcards: `*` for any characters, `?` for one; actions in any case."""
    wild = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wild, text, re.DOTALL) is not None


@dataclass(frozen=True)
class Statement:
    """One statement, its resources as texts."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: dict[str, dict[str, Any]]

    @classmethod
    def parse(cls, statement: dict[str, Any]) -> Statement:
        unknown = set(statement) - {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
        assert not unknown, f"not evaluated: {unknown}"
        return cls(
            statement["Effect"],
            tuple(listed(statement["Action"])),
            tuple(listed(statement["Resource"])),
            statement.get("Condition", {}),
        )

    def covers(self, action: str, resource: str, context: dict[str, str]) -> bool:
        return (
            any(matches(pattern.lower(), action.lower()) for pattern in self.actions)
            and any(matches(pattern, resource) for pattern in self.resources)
            and all(met(test, expected, context) for test, expected in self.conditions.items())
        )


def met(test: str, expected: dict[str, Any], context: dict[str, str]) -> bool:
    """Whether a condition holds; a key that the request does not have fails every test but `Null`."""
    if test == "Null":
        return all((key not in context) == (wanted == "true") for key, wanted in expected.items())
    operator = {
        "StringEquals": str.__eq__,
        "ForAnyValue:StringEquals": str.__eq__,
        "ArnEquals": lambda value, wanted: matches(wanted, value),
        "ArnLike": lambda value, wanted: matches(wanted, value),
    }[test]
    return all(
        key in context and any(operator(context[key], wanted) for wanted in listed(values))
        for key, values in expected.items()
    )


def allowed(
    statements: Iterable[Statement], action: str, resource: str, context: dict[str, str] | None = None
) -> bool:
    """A denial wins, and what nothing allows is denied."""
    hits = [s.effect for s in statements if s.covers(action, resource, context or {})]
    return "Allow" in hits and "Deny" not in hits
