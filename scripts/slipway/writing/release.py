"""What a release writes: the environment's policy without the hold on one application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slipway.errors import InvalidInput
from slipway.git.remote import Tip
from slipway.kustomization.edit import unified
from slipway.markdown import code
from slipway.writing.bump import policy_path
from slipway.writing.change import Change

if TYPE_CHECKING:
    from slipway.policy.environment import Environment, Hold


@dataclass
class Release:
    """One order on its way; `hold` is the one that goes, None when there is none."""

    app: str
    environment: str
    policy: Environment | None = None
    hold: Hold | None = None
    before: dict[str, bytes] = field(default_factory=dict)

    @property
    def branch(self) -> str:
        """The branch of the pull request."""
        return f"slipway/release/{self.environment}/{self.app}"

    def read_policy(self, tip: Tip) -> Environment:
        """The environment's policy; raises `PolicyRefused` when it is not clear, or asks for another delivery by now."""
        from slipway.policy.environment import check_delivery, parse_policy

        path = policy_path(self.environment)
        self.before = tip.read([path])
        policy = parse_policy(self.before[path], environment=self.environment, path=path)
        check_delivery(self.policy, policy, path=path)
        self.policy = policy
        return policy

    def propose(self, tip: Tip) -> Change | None:
        """The policy without the hold; None when the application is not held.

        Raises `PolicyRefused`, `EditRefused`, and `InvalidInput` for an application that is not there.
        """
        from slipway.policy.edit import remove_hold

        policy, path = self.read_policy(tip), policy_path(self.environment)
        self.hold = policy.hold(self.app)
        if self.hold is None:
            folder = f"overlays/{self.environment}/{self.app}"
            if not tip.folders([folder])[folder]:
                fix = "correct the application's name or the environment's"
                raise InvalidInput(f"no application {self.app} in {policy.name}", path=folder, fix=fix)
            return None
        files = {path: remove_hold(self.before[path], self.app, path=path)}
        return Change(files, f"{policy.name}: {self.app} released", self._trailers(), self._body())

    def diff(self, change: Change) -> str:
        """The change as a unified diff, for people."""
        return "".join(unified(path, self.before[path], data) for path, data in change.files.items())

    @property
    def held(self) -> str:
        """Since when it was held, by whom and why."""
        since, reason = self.hold.since, " ".join(self.hold.reason.split())
        return f"since {since:%Y-%m-%d %H:%M} by {' '.join(self.hold.by.split())}: {reason}"

    def _trailers(self) -> list[str]:
        return [f"Released: {self.environment}/{self.app}", f"Held: {self.held}"]

    def _body(self) -> str:
        """The pull request's text."""
        lines = [f"Lifts the hold on **{self.app}** in **{self.environment}**, held {code(self.held)}."]
        if self.policy.approvals:
            lines[-1] += f" Approvals needed: {self.policy.approvals}."
        lines += ["", "It changes no image. After the merge the next bump or promotion may land."]
        return "\n".join(lines) + "\n"
