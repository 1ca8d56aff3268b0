"""`slipway gate`: a pull request checked and compared as it would be after its merge, and the forge told of it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from slipway.errors import InvalidInput, SlipwayError
from slipway.forge.pull_requests import Forge, Proposed
from slipway.gate.check import Check, Selection
from slipway.gate.check_cache import CheckCache
from slipway.gate.contexts import CHECK, DIFF
from slipway.gate.diff import compare
from slipway.gate.diff_result import DiffResult
from slipway.gate.findings import Report
from slipway.gate.gate_comment import MARKER, comment, described
from slipway.gate.prune import LABEL
from slipway.git.checkout import Checkout

_WAIVER = re.compile(r"slipway(\.dev/waive-|: waive )")


@dataclass
class Outcome:
    """What the gate found; `conflicts` are files in which the pull request and its base disagree."""

    proposed: Proposed
    base: str
    report: Report
    diff: DiffResult | None
    conflicts: tuple[str, ...] = ()
    waivers: tuple[str, ...] = ()
    comment_url: str | None = None
    superseded: bool = False
    states: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the pull request may be merged as far as the gate is concerned."""
        return not (self.conflicts or self.report.failed or self.diff is None or self.diff.blocked)

    def as_json(self) -> dict[str, object]:
        """Everything, as plain data."""
        return {
            "pull_request": self.proposed.number,
            "head": self.proposed.head,
            "base": self.base,
            "passed": self.passed,
            "superseded": self.superseded,
            "statuses": self.states,
            "comment": self.comment_url,
            "conflicts": list(self.conflicts),
            "waivers": list(self.waivers),
            "check": self.report.as_json(),
            "diff": self.diff.as_json() if self.diff else None,
        }


@dataclass(frozen=True)
class Gate:
    """One repository's gate; `details_url` is where the whole of it can be read, `say` whether the forge is told."""

    forge: Forge
    url: str
    cache: CheckCache
    source_repo: Path | None = None
    details_url: str | None = None
    mirror: Path | None = None
    workers: int | None = None
    say: bool = True

    def run(self, number: int) -> Outcome | None:
        """Judge a pull request; None when it is not open any more.

        The statuses are `pending` meanwhile, and `error` when the gate itself fails, which it then raises.
        """
        proposed = self.forge.proposed(number)
        if proposed.state != "open":
            return None
        for context in (CHECK, DIFF):
            self._status(proposed, context, "pending", "rendering what the change does")
        try:
            outcome = self._judge(proposed)
        except BaseException as exc:
            reason = exc.message if isinstance(exc, SlipwayError) else type(exc).__name__
            for context in (CHECK, DIFF):
                with suppress(SlipwayError):
                    self._status(proposed, context, "error", f"could not be told: {reason}")
            raise
        self._tell(outcome)
        return outcome

    def _judge(self, proposed: Proposed) -> Outcome:
        with self._repository() as repository:
            checkout = Checkout(repository)
            base, head = self._fetched(checkout, proposed)
            tree, conflicts = checkout.merge_trees(base, head)
            if conflicts:
                return Outcome(proposed, base, Report(), None, tuple(conflicts))
            merged = checkout.commit(tree, [base, head], f"pull request {proposed.number} merged", like=head)
            report = self._checked(checkout, base, merged)
            allow = LABEL in proposed.labels
            options = {"source_repo": self.source_repo, "allow_prune": allow, "workers": self.workers}
            diff = compare(repository, base, merged, cache=self.cache, **options)
            waivers = checkout.added_lines(base, merged, _WAIVER)
            return Outcome(proposed, base, report, diff, waivers=tuple(waivers))

    def _fetched(self, checkout: Checkout, proposed: Proposed) -> tuple[str, str]:
        """The tip of the base and the head of the pull request; raises when that is another one by now."""
        base = checkout.fetch(self.url, proposed.base)
        head = checkout.fetch_ref(self.url, f"refs/pull/{proposed.number}/head")
        if not base or not head:
            what = proposed.base if not base else f"head of pull request {proposed.number}"
            raise InvalidInput(f"{self.url} has no {what}", fix="check the repository's address")
        if head != proposed.head:
            message = (
                f"pull request {proposed.number} moved from {proposed.head[:12]} to {head[:12]} meanwhile"
            )
            raise InvalidInput(message, fix="run the gate again; a webhook for the new commit is on its way")
        return base, head

    def _checked(self, checkout: Checkout, base: str, merged: str) -> Report:
        """The findings on overlays that the change reaches, and on the repository as a whole."""
        changed = frozenset(checkout.changed_between(base, merged))
        with tempfile.TemporaryDirectory(prefix="slipway-gate-") as name:
            folder = Path(name) / "tree"
            checkout.lay_out(merged, folder)
            check = Check(folder, self.cache, workers=self.workers, lasting=False)
            report = check.run(Selection(changed=changed))
            report.rules = check.abouts
        return report

    @contextmanager
    def _repository(self) -> Iterator[Path]:
        """A bare repository to fetch into: the given one, which is kept, or one for this run."""
        with tempfile.TemporaryDirectory(prefix="slipway-gate-") as name:
            folder = self.mirror or Path(name) / "git"
            Checkout.make_bare(folder)
            yield folder

    # What the forge is told

    def _status(self, proposed: Proposed, context: str, state: str, description: str) -> None:
        if self.say:
            self.forge.set_status(proposed.head, context, state, description, self.details_url)

    def _tell(self, outcome: Outcome) -> None:
        """Statuses of the commit that was judged, and the comment unless a newer commit is there by now."""
        number = outcome.proposed.number
        outcome.superseded = self.forge.proposed(number).head != outcome.proposed.head
        if self.say and not outcome.superseded:
            text = comment(outcome, self.details_url)
            outcome.comment_url, _ = self.forge.comment(number, MARKER, text)
        for context, (state, description) in described(outcome).items():
            outcome.states[context] = state
            self._status(outcome.proposed, context, state, description)
