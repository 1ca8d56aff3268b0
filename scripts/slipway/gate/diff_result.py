"""What `slipway diff` found, and its four forms. No I/O; the same result gives the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from slipway.gate.diff_objects import Change

COMMENT_LIMIT = 65_536
"""What a forge takes in a comment: characters there, bytes here, which are never fewer."""


@dataclass(frozen=True)
class ImageDiff:
    """One image that changes, with the source commits between as (id, subject) and how many there are, if known."""

    old: str
    new: str
    old_commit: str | None
    new_commit: str | None
    commits: tuple[tuple[str, str], ...]
    commit_count: int | None


@dataclass(frozen=True)
class AppDiff:
    """One deployed folder; `status` is added, changed or removed, an error is why a side was not rendered."""

    environment: str
    app: str
    path: str
    status: str
    error_before: str
    error_after: str
    images: tuple[ImageDiff, ...]
    changes: tuple[Change, ...]
    restarts: tuple[str, ...]

    @property
    def counts(self) -> Counter[str]:
        """Objects added, changed and removed."""
        return Counter(change.change for change in self.changes)


@dataclass
class EnvironmentDiff:
    """The applications of one environment; the empty name stands for Argo CD's own objects.

    `total` is how many objects it had, counted only when some are removed; `budget` is in percent of them.
    """

    name: str
    apps: list[AppDiff]
    removed: int = 0
    total: int = 0
    budget: float = 0.0
    refusals: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name or "Argo CD"


@dataclass(frozen=True)
class DiffResult:
    """A whole comparison; `others` are changed files that no rendering reads."""

    base: str
    head: str
    environments: tuple[EnvironmentDiff, ...]
    others: tuple[str, ...]
    problems: tuple[str, ...]
    allow_prune: bool = False

    @property
    def apps(self) -> Sequence[AppDiff]:
        """Every application that changes, in order."""
        return [app for environment in self.environments for app in environment.apps]

    @property
    def changes(self) -> bool:
        """Whether anything that is deployed changes."""
        return bool(self.apps)

    @property
    def refusals(self) -> list[str]:
        """Removals that need approval, whether they have it or not."""
        return [reason for environment in self.environments for reason in environment.refusals]

    @property
    def failures(self) -> list[str]:
        """What could not be rendered or made out, so that nobody knows what the change does there."""
        return [*self.problems, *(f"{app.path}: {app.error_after}" for app in self.apps if app.error_after)]

    @property
    def blocked(self) -> list[str]:
        """Why the change must not be merged as it is."""
        return self.failures + ([] if self.allow_prune else self.refusals)

    @property
    def summary(self) -> str:
        """One line: how much changes."""
        if not self.changes:
            return "nothing that is deployed changes"
        counts = sum((app.counts for app in self.apps), Counter())
        images = len({(image.old, image.new) for app in self.apps for image in app.images})
        said = [_count(images, "image")] if images else []
        said += [
            f"{_count(counts[what], 'object')} {what}"
            for what in ("added", "changed", "removed")
            if counts[what]
        ]
        where = f"{_count(len(self.apps), 'application')} in {_count(len(self.environments), 'environment')}"
        return f"{where}: {', '.join(said) or 'not rendered'}"

    def as_json(self) -> dict[str, object]:
        """Everything, as plain data."""
        return {
            "base": self.base,
            "head": self.head,
            "changes": self.changes,
            "blocked": self.blocked,
            "approved": self.refusals if self.allow_prune else [],
            "environments": [
                {
                    "name": environment.name,
                    "removed": environment.removed,
                    "total": environment.total,
                    "budget": environment.budget,
                    "applications": [_app_json(app) for app in environment.apps],
                }
                for environment in self.environments
            ],
            "other_files": list(self.others),
        }

    def as_text(self) -> str:
        """For a terminal, with colour codes, which are stripped where there is none."""
        from slipway.gate.diff_text import text

        return text(self)

    def as_markdown(self, *, limit: int = COMMENT_LIMIT, details_url: str | None = None) -> str:
        """For a comment: the summary first, then as many details as fit into `limit` bytes."""
        from slipway.gate.diff_markdown import markdown

        return markdown(self, limit, details_url)

    def as_html(self) -> str:
        """One page with everything, which needs nothing from anywhere."""
        from slipway.gate.diff_html import html

        return html(self)


def _app_json(app: AppDiff) -> dict[str, object]:
    return {
        "name": app.app,
        "path": app.path,
        "status": app.status,
        "error": app.error_after or None,
        "error_before": app.error_before or None,
        "images": [asdict(image) for image in app.images],
        "restarts": list(app.restarts),
        "objects": [
            {
                "change": one.change,
                "object": one.object,
                "was": one.was or None,
                "file": one.file,
                "line": one.line,
                "diff": list(one.diff),
            }
            for one in app.changes
        ],
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
