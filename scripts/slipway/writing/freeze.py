"""What a freeze writes: the policies with or without it, and Argo CD's sync windows that follow from them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from slipway.errors import EditRefused, InvalidInput
from slipway.git.remote import Tip
from slipway.kustomization.edit import unified
from slipway.markdown import code
from slipway.policy.windows import check_wired, generate, render, windows_path
from slipway.policy.windows_check import Disagreement, check
from slipway.writing.bump import policy_path
from slipway.writing.change import Change

if TYPE_CHECKING:
    from slipway.policy.environment import Environment, Freeze

AHEAD = timedelta(days=365)
"""How far ahead a freeze may end: a window of Argo CD's, which knows no year, would close a year too early."""


@dataclass(frozen=True)
class Order:
    """What was asked for: a freeze to add, the name of one to lift, or neither to write the windows anew."""

    environments: tuple[str, ...]
    add: Freeze | None = None
    lift: str | None = None

    @property
    def branch(self) -> str:
        """The branch of the pull request."""
        name = re.sub(r"[^a-z0-9_-]+", "-", (self.lift or "").lower()).strip("-") or "freeze"
        return f"slipway/lift/{'-'.join(self.environments)}/{name}"

    def check(self, now: datetime) -> None:
        """Raise `InvalidInput` for a freeze that is over, or that ends more than a year from now."""
        if self.add is None or self.add.weekly:
            return
        _, end = self.add.span
        if end <= now:
            raise InvalidInput(f"the freeze {self.add.name} is over already", fix="correct --from and --to")
        if end > now + AHEAD:
            fix = "end it within a year, and prolong it when it comes to that"
            raise InvalidInput(f"the freeze {self.add.name} ends more than a year from now", fix=fix)


@dataclass(frozen=True)
class Result:
    """What becomes of one environment; `freeze` is the one added or lifted, None when there is none to lift."""

    policy: Environment
    freeze: Freeze | None
    changed: bool
    windows_changed: bool
    remarks: tuple[Disagreement, ...]


@dataclass
class Freezing:
    """One order on its way; `results` and `before` belong to the last tip that it was decided on."""

    order: Order
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    policies: dict[str, Environment] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    before: dict[str, bytes | None] = field(default_factory=dict)

    @property
    def delivery(self) -> Literal["direct", "pull-request"]:
        """Closing needs no review; opening goes the way of the strictest environment."""
        reviewed = self.order.lift and any(p.delivery != "direct" for p in self.policies.values())
        return "pull-request" if reviewed else "direct"

    def read_policies(self, tip: Tip) -> None:
        """Read what is to be changed; raises `PolicyRefused` for what is not clear or changed its delivery."""
        from slipway.policy.environment import check_delivery, parse_policy

        names = self.order.environments
        paths = [f(name) for name in names for f in (policy_path, windows_path, _kustomization_path)]
        self.before = tip.read(paths)
        for name in names:
            path = policy_path(name)
            policy = parse_policy(self.before[path], environment=name, path=path)
            if self.order.lift:
                check_delivery(self.policies.get(name), policy, path=path)
            self.policies[name] = policy

    def propose(self, tip: Tip) -> Change | None:
        """Policies and windows in one change; None when everything is there already.

        Raises `PolicyRefused` and `EditRefused`; then nothing at all is written.
        """
        self.read_policies(tip)
        now, files, self.results = self.clock(), {}, []
        for name in self.order.environments:
            check_wired(self.before[_kustomization_path(name)], name)
            files |= self._one(name, now)
        if not files:
            return None
        return Change(files, self._title(), self._trailers(), self._body())

    def _one(self, name: str, now: datetime) -> dict[str, bytes]:
        """The files that change in one environment."""
        from slipway.policy.edit import add_freeze, remove_freeze
        from slipway.policy.environment import parse_policy

        path, old = policy_path(name), self.policies[name]
        data, order = self.before[path], self.order
        freeze = order.add or next((f for f in old.freezes if f.name == order.lift), None)
        new = data
        if order.add and order.add not in old.freezes:
            new = add_freeze(data, order.add, path=path)
        elif order.lift and freeze:
            new = remove_freeze(data, order.lift, path=path)
        policy = parse_policy(new, environment=name, path=path)
        windows = generate(policy, now)
        found = check(policy, windows, now)
        if wrong := next((one for one in found if one.kind == "open"), None):
            raise EditRefused(f"the windows would let through: {wrong}", path=windows_path(name))
        patch = render(name, windows)
        files = {path: new, windows_path(name): patch}
        files = {path: data for path, data in files.items() if data != self.before[path]}
        remarks = tuple(one for one in found if one.kind == "longer")
        self.results.append(Result(policy, freeze, path in files, windows_path(name) in files, remarks))
        return files

    def diff(self, change: Change) -> str:
        """The change as a unified diff, for people."""
        return "".join(unified(path, self.before[path] or b"", data) for path, data in change.files.items())

    def _title(self) -> str:
        changed = [r.policy.name for r in self.results if r.changed]
        names = ", ".join(changed or [r.policy.name for r in self.results if r.windows_changed])
        if not changed:
            return f"{names}: sync windows written anew"
        if self.order.lift:
            return f"{names}: freeze {_line(self.order.lift)} lifted"
        return f"{names}: freeze {self.order.add.name}, {_when(self.order.add)}"

    def _trailers(self) -> list[str]:
        lines = []
        for result in self.results:
            if result.changed:
                key = "Freeze-Lifted" if self.order.lift else "Freeze"
                lines.append(f"{key}: {result.policy.name}/{_line(result.freeze.name)}")
            elif result.windows_changed:
                lines.append(f"Sync-Windows: {result.policy.name}")
        freeze = next((r.freeze for r in self.results if r.changed), None)
        return [*lines, f"Freeze-Reason: {_line(freeze.reason)}"] if freeze else lines

    def _body(self) -> str:
        """The pull request's text; only lifting comes as one."""
        lines = []
        for result in (r for r in self.results if r.changed):
            freeze = result.freeze
            what = f"Lifts the freeze {code(freeze.name)} in **{result.policy.name}**"
            lines.append(f"- {what}, {_when(freeze)}: {code(freeze.reason)}.")
            if result.policy.approvals:
                lines[-1] += f" Approvals needed: {result.policy.approvals}."
        lines += ["", "Argo CD's sync windows change with it. No image changes."]
        return "\n".join(lines) + "\n"


def _kustomization_path(environment: str) -> str:
    return f"argocd/environments/{environment}/kustomization.yaml"


def _line(text: str) -> str:
    return " ".join(text.split())


def _when(freeze: Freeze) -> str:
    """The times of a freeze as they are written, in a few words."""
    if freeze.weekly:
        weekly = freeze.weekly
        return f"{', '.join(weekly.days)} {weekly.from_} to {weekly.to} {freeze.timezone}"
    return f"{freeze.start:%Y-%m-%d %H:%M} to {freeze.end:%Y-%m-%d %H:%M} {freeze.timezone}"
