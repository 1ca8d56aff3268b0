"""ECR lifecycle policies: what one may say, and what ECR documents that it does with a repository's images.

The rules of evaluation are those of the user guide. What decides here is that an image which matches the tags of a
rule is never expired by a rule behind it: the first rule that matches an image alone decides about it, and the
others only count it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from slipway.errors import InvalidInput

KEEP = "keep-"
"""What the tags begin with that protect an image."""

_MOST = 100_000
"""ECR's quota of images in a repository: as many protected images are never too many."""

_LENGTH = (100, 30_720)
"""Characters that ECR takes as a policy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class Selection(_Strict):
    """Which images a rule is about, and when it is their turn."""

    tag_status: Literal["tagged", "untagged", "any"]
    tag_pattern_list: list[Annotated[str, Field(min_length=1)]] = []
    tag_prefix_list: list[Annotated[str, Field(min_length=1)]] = []
    storage_class: Literal["standard", "archive"] = "standard"
    count_type: Literal[
        "imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"
    ]
    count_unit: Literal["days"] | None = None
    count_number: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Selection:
        lists = [name for name in (self.tag_pattern_list, self.tag_prefix_list) if name]
        if (self.tag_status == "tagged") != (len(lists) == 1) or len(lists) > 1:
            raise ValueError(
                "tagged needs either tagPatternList or tagPrefixList, and nothing else takes one"
            )
        if any(pattern.count("*") > 4 for pattern in self.tag_pattern_list):
            raise ValueError("a pattern has at most four wildcards")
        if (self.count_unit is None) != (self.count_type == "imageCountMoreThan"):
            raise ValueError("countUnit belongs to the counts of days, and to them only")
        return self

    @property
    def about(self) -> tuple[str, str, frozenset[str]]:
        """What no two rules may have in common."""
        return self.storage_class, self.tag_status, frozenset(self.tag_pattern_list + self.tag_prefix_list)

    def matches(self, image: Stored) -> bool:
        """Whether the image has the tags, and lies where the rule looks; all patterns must be met by some tag."""
        if (self.storage_class == "archive") != (image.archived is not None):
            return False
        if self.tag_status != "tagged":
            return self.tag_status == "any" or not image.tags
        wanted = [*map(_pattern, self.tag_pattern_list), *(re.escape(p) + ".*" for p in self.tag_prefix_list)]
        return all(any(re.fullmatch(pattern, tag) for tag in image.tags) for pattern in wanted)


class Action(_Strict):
    """What becomes of the images: expired, or moved to the archive, from where they cannot be pulled either."""

    type: Literal["expire", "transition"]
    target_storage_class: Literal["archive"] | None = None


class Rule(_Strict):
    """One rule; the lowest priority number goes first."""

    rule_priority: Annotated[int, Field(ge=1)]
    description: str | None = None
    selection: Selection
    action: Action

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        count, moved = self.selection.count_type, self.action.type == "transition"
        if moved != (self.action.target_storage_class is not None):
            raise ValueError("a transition needs targetStorageClass, and nothing else takes it")
        if moved and self.selection.storage_class == "archive":
            raise ValueError("what is in the archive cannot move there")
        if count == "sinceImagePulled" and not moved:
            raise ValueError("sinceImagePulled works with the action transition only")
        if (count == "sinceImageTransitioned") != (self.selection.storage_class == "archive"):
            raise ValueError("sinceImageTransitioned and the storage class archive go together")
        if count == "sinceImageTransitioned" and self.selection.count_number < 90:
            raise ValueError("what is in the archive stays there for at least 90 days")
        return self


class LifecyclePolicy(_Strict):
    """The whole document."""

    rules: Annotated[list[Rule], Field(min_length=1, max_length=50)]

    @model_validator(mode="after")
    def _consistent(self) -> LifecyclePolicy:
        ordered = self.ordered
        if len({rule.rule_priority for rule in ordered}) < len(ordered):
            raise ValueError("two rules have the same rulePriority")
        if len({rule.selection.about for rule in ordered}) < len(ordered):
            raise ValueError("two rules select the same tags")
        for place, rule in enumerate(ordered):
            later = {other.selection.storage_class for other in ordered[place + 1 :]}
            if rule.selection.tag_status == "any" and rule.selection.storage_class in later:
                raise ValueError("a rule for any tag status must have the highest rulePriority")
        return self

    @property
    def ordered(self) -> list[Rule]:
        """The rules as they are applied."""
        return sorted(self.rules, key=lambda rule: rule.rule_priority)


@dataclass(frozen=True)
class Stored:
    """An image as a repository holds it, times in UTC; `children` are the images of an index, `subject` what it signs."""

    digest: str
    tags: tuple[str, ...]
    pushed: datetime | None
    pulled: datetime | None = None
    archived: datetime | None = None
    children: tuple[str, ...] = ()
    subject: str | None = None


@dataclass(frozen=True)
class Fate:
    """What a policy does with an image: the rule that decides, its action, and from when on; None for never.

    Without `rule` no rule is about the image.
    """

    rule: int | None = None
    action: str | None = None
    due: datetime | None = None


def parse_lifecycle(text: str, *, path: str) -> LifecyclePolicy:
    """The policy that the JSON text states; raises `InvalidInput` for whatever ECR or this evaluator would not take."""
    fix = "correct the policy; nothing is known of what it would expire"
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates)
        if not _LENGTH[0] <= len(text) <= _LENGTH[1]:
            raise ValueError(f"ECR takes {_LENGTH[0]} to {_LENGTH[1]} characters, not {len(text)}")
        return LifecyclePolicy.model_validate(data)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
        raise InvalidInput(f"not a lifecycle policy: {message}", path=path, fix=fix) from exc
    except ValueError as exc:
        raise InvalidInput(f"not a lifecycle policy: {exc}", path=path, fix=fix) from exc


def protecting(days: int) -> dict[str, object]:
    """A policy that keeps what is tagged `keep-…`, and everything else for a number of days."""
    expire = {"type": "expire"}
    return {
        "rules": [
            {
                "rulePriority": 1,
                "description": "What Git needs: slipway retention writes these tags",
                "selection": {
                    "tagStatus": "tagged",
                    "tagPatternList": [f"{KEEP}*"],
                    "countType": "imageCountMoreThan",
                    "countNumber": _MOST,
                },
                "action": expire,
            },
            {
                "rulePriority": 2,
                "description": f"Everything else, {days} days after its push",
                "selection": {
                    "tagStatus": "any",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": days,
                },
                "action": expire,
            },
        ]
    }


def keep_tag(digest: str) -> str:
    """The tag that protects an image: it names the digest, so that it never has to move."""
    return KEEP + digest.partition(":")[2]


def fates(policy: LifecyclePolicy, images: Sequence[Stored], moment: datetime) -> dict[str, Fate]:
    """What the policy does with each image by digest, as long as none is pushed or pulled any more.

    Every image needs the time of its push. What is due may lie after `moment`, which is now. An image that an index
    holds is not expired before the index.
    """
    own: dict[str, Fate] = {}
    for rule in policy.ordered:
        matched = [image for image in images if rule.selection.matches(image)]
        due = _due(rule.selection, matched, moment)
        for image in matched:
            when = due.get(image.digest)
            own.setdefault(image.digest, Fate(rule.rule_priority, rule.action.type if when else None, when))
    holders: dict[str, list[str]] = {}
    for image in images:
        for child in image.children:
            holders.setdefault(child, []).append(image.digest)
    return {image.digest: _with_holders(image.digest, own, holders) for image in images}


def _due(selection: Selection, matched: Iterable[Stored], moment: datetime) -> dict[str, datetime]:
    """When the rule would act on each image that it matches, higher rules aside."""
    if selection.count_type == "imageCountMoreThan":
        youngest = sorted(matched, key=lambda image: image.pushed, reverse=True)
        return {image.digest: moment for image in youngest[selection.count_number :]}
    since = {
        "sinceImagePushed": lambda image: image.pushed,
        "sinceImagePulled": lambda image: image.pulled or image.pushed,
        "sinceImageTransitioned": lambda image: image.archived,
    }[selection.count_type]
    return {image.digest: since(image) + timedelta(days=selection.count_number) for image in matched}


def _with_holders(digest: str, own: Mapping[str, Fate], holders: Mapping[str, Sequence[str]]) -> Fate:
    fate = own.get(digest, Fate())
    for holder in holders.get(digest, ()):
        above = _with_holders(holder, own, holders)
        if fate.due and (above.due is None or above.due > fate.due):
            fate = above
    return fate


def _pattern(text: str) -> str:
    return ".*".join(map(re.escape, text.split("*")))


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a key is there twice")
    return data
