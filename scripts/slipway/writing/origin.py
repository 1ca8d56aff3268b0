"""What an environment runs of each application, by the word of Argo CD or of Git, and whether it has soaked."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from slipway.errors import InvalidInput, NotLive, PolicyRefused
from slipway.git.remote import Tip
from slipway.kustomization.images import read_images
from slipway.writing.bump import Overlay, policy_path
from slipway.writing.past import Past

if TYPE_CHECKING:
    from slipway.argocd_api import Application, ArgoCD
    from slipway.policy.environment import Environment

_ASKING = 8
"""How many applications are asked about at once."""


@dataclass(frozen=True)
class Origin:
    """What the source environment runs of one application, by whose word, and since when (UTC, if known).

    `behind` tells that Git names something else by now.
    """

    overlay: Overlay
    evidence: str
    revision: str
    since: datetime | None
    behind: bool = False

    @property
    def where(self) -> str:
        """Such as `staging/board`."""
        return f"{self.overlay.environment}/{self.overlay.app}"

    def __str__(self) -> str:
        since = f" since {_utc(self.since)}" if self.since else ""
        behind = "; Git is ahead of what runs, and what runs is promoted" if self.behind else ""
        return f"{self.where}: {self.evidence} at {self.revision[:12]}{since}{behind}"


@dataclass
class Origins:
    """Asks Argo CD, each application once, or without it takes Git's word; `branch` is what both look at."""

    argocd: ArgoCD | None
    branch: str = "main"
    _asked: dict[str, Application] = field(default_factory=dict)

    def find(
        self, tip: Tip, source: Environment, overlays: Sequence[Overlay], moment: datetime
    ) -> list[Origin]:
        """What runs of each overlay of the source environment.

        Raises `NotLive` unless all are live and healthy, `PolicyRefused` while a freeze keeps one from being it.
        """
        if self.argocd is None:
            evidence = "named by Git, without asking what runs,"
            return [Origin(o, evidence, tip.sha, tip.last_change(o.folder)) for o in overlays]
        names = sorted({_name(overlay) for overlay in overlays} - set(self._asked))
        with ThreadPoolExecutor(_ASKING) as pool:
            self._asked |= dict(zip(names, pool.map(self.argocd.application, names), strict=True))
        revisions: dict[str, list[str]] = {}
        for overlay in overlays:
            revisions.setdefault(self._revision(source, overlay, moment), []).append(overlay.path)
        read = {sha: _at(tip, sha, self.branch).read(paths) for sha, paths in revisions.items()}
        return [self._origin(overlay, read) for overlay in overlays]

    def _revision(self, source: Environment, overlay: Overlay, moment: datetime) -> str:
        """The commit that is live and healthy."""
        app = self._asked[_name(overlay)]
        if app.path != overlay.folder or app.target not in (self.branch, f"refs/heads/{self.branch}", "HEAD"):
            deploys = f"{app.path} of {app.target}"
            message = f"Argo CD's {app.name} deploys {deploys}, not {overlay.folder} of {self.branch}"
            raise NotLive(message, fix="correct the Application, or give --from-git")
        reason = app.unsettled()
        if reason and app.sync == "OutOfSync" and not app.errors:
            _check_window(source, app, moment)
        if reason:
            fix = "wait until it is live and healthy, and repeat the command"
            raise NotLive(f"{app.name} is not live and healthy: {reason}", fix=fix)
        return app.revision

    def _origin(self, overlay: Overlay, read: dict[str, dict[str, bytes | None]]) -> Origin:
        """What Git names at the live commit, if that is what the Pods run."""
        app = self._asked[_name(overlay)]
        data, at = read[app.revision][overlay.path], app.revision[:12]
        if data is None:
            message = f"{app.name} is at {at}, where {overlay.path} is not"
            raise NotLive(message, fix="wait until Argo CD has deployed it, and repeat the command")
        entries = read_images(data, path=f"{overlay.path} at {at}")
        if reason := app.differs(entry.reference for entry in entries):
            message = f"{app.name} does not run what Git names at {at}: {reason}"
            fix = "wait for the end of its rollout; an entry that no Pod runs goes with --from-git only"
            raise NotLive(message, fix=fix)
        behind = [e.reference for e in entries] != [e.reference for e in overlay.entries]
        live = replace(overlay, data=data, entries=entries)
        return Origin(live, "live and healthy in Argo CD", app.revision, app.since, behind)


def check_soak(origin: Origin, target: Environment, moment: datetime) -> None:
    """Raise `NotLive`, with the time at which it may go, unless it has run for as long as the target asks."""
    if not target.soak:
        return
    from slipway.policy.environment import shown_duration

    path, asks = policy_path(target.name), f"{target.name} asks for {shown_duration(target.soak)} of soak"
    if origin.since is None:
        message = f"since when {origin.where} has this is not known, and {asks}"
        raise NotLive(message, path=path, fix="wait for its next change, or have the soak time changed")
    ready = origin.since + target.soak
    if moment < ready:
        message = (
            f"{origin.where} has this since {_utc(origin.since)}, and {asks}: long enough at {_utc(ready)}"
        )
        raise NotLive(message, path=path, fix="repeat the command then")


def _name(overlay: Overlay) -> str:
    """What Argo CD calls the application."""
    return f"{overlay.environment}-{overlay.app}"


def _check_window(source: Environment, app: Application, moment: datetime) -> None:
    """Say so when it is a freeze that keeps Argo CD from deploying what Git names."""
    from slipway.policy.environment import opening

    if freeze := source.frozen(moment):
        until = opening(source, freeze, moment)
        message = f"{app.name} is blocked until {until} by the freeze {freeze.name}: {freeze.reason}"
        fix = "repeat the command when Argo CD has deployed what Git names"
        raise PolicyRefused(message, path=policy_path(source.name), fix=fix)


def _at(tip: Tip, sha: str, branch: str) -> Tip:
    """The branch as it was at a commit that Argo CD names; raises `NotLive` when it was never there."""
    if sha == tip.sha:
        return tip
    try:
        if Past(tip, "", "").find(sha) == sha:
            return tip.at(sha)
    except InvalidInput:
        pass
    message = f"Argo CD runs {sha[:12]}, and {branch} was never at that commit"
    raise NotLive(message, fix="wait until Argo CD has seen the branch as it is, and repeat the command")


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
