"""What is asked about: the images that a commit or a reference stands for, by what the deploy branch records."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from slipway.errors import InvalidInput
from slipway.git.remote import Tip
from slipway.kustomization.images import read_images
from slipway.live.verdict import Place, Verdict, absent
from slipway.policy.environment import read_policies
from slipway.registry.references import Reference, parse
from slipway.writing.lineage import changed_images, parse_trailers
from slipway.writing.order import FILE
from slipway.writing.past import REACH

_COMMIT = re.compile(r"[0-9a-fA-F]{4,40}")


@dataclass(frozen=True)
class Subject:
    """`images` by name; one without a digest stands for whatever has its tag. `commit` is one of the deploy branch."""

    text: str
    images: Mapping[str, Reference] = field(default_factory=dict)
    commit: str | None = None
    is_image: bool = False

    def fits(self, reference: Reference) -> bool:
        """Whether this is the image that is asked about."""
        asked = self.images.get(reference.name)
        if asked is None:
            return False
        return asked.digest == reference.digest if asked.digest else asked.tag == reference.tag


def find(tip: Tip, text: str) -> Subject | None:
    """What a text means; None for a commit that nothing in the branch records, which may not have been built yet.

    Raises `InvalidInput` for what is neither a commit nor an image, or means several commits.
    """
    if not _COMMIT.fullmatch(text):
        if not re.search(r"[/:@]", text):
            raise InvalidInput(
                f"{text!r} is neither a commit nor an image", fix="give NAME:TAG, NAME@DIGEST or a commit"
            )
        reference = parse(text)
        if not (reference.tag or reference.digest):
            raise InvalidInput(f"{text} names no version", fix="give NAME:TAG or NAME@DIGEST")
        return Subject(text, {reference.name: reference}, is_image=True)
    prefix = text.lower()
    for more in (0, *REACH):
        if more and not tip.is_cut:
            break
        if more:
            tip.deepen(more)
        if found := _recorded(tip, prefix):
            return found
    return None


def _recorded(tip: Tip, prefix: str) -> Subject | None:
    commits = tip.history()
    own = [commit for commit in commits if commit.sha.startswith(prefix)]
    builds = [build for commit in commits for build in parse_trailers(commit.message)]
    built = [build for build in builds if build.revision and build.revision.startswith(prefix)]
    several = {commit.sha for commit in own} | {build.revision for build in built}
    if len(several) > 1:
        shown = ", ".join(sorted(sha[:12] for sha in several))
        raise InvalidInput(f"{prefix} is several commits: {shown}", fix="give more digits")
    if own:
        images = {b.reference.name: b.reference for b in parse_trailers(own[0].message)}
        return Subject(own[0].sha, images, own[0].sha)
    if built:
        # The newest build of the commit counts: one may have been built again.
        return Subject(built[0].revision, {b.reference.name: b.reference for b in reversed(built)})
    return None


@dataclass(frozen=True)
class Found:
    """The places to ask Argo CD about, and the verdicts that Git alone gives; `order` are the environments in theirs."""

    places: tuple[Place, ...]
    verdicts: tuple[Verdict, ...]
    order: tuple[str, ...]


def places(tip: Tip, subject: Subject, environments: Collection[str], apps: Collection[str]) -> Found:
    """Where the subject is, should be or was; raises `InvalidInput` for a name that is not there."""
    policies = read_policies(tip)
    chosen = [policy.name for policy in policies]
    _known(environments, chosen, "environment")
    folders = tip.folders([f"overlays/{name}" for name in chosen])
    every = {
        name: [app for app, is_folder in folders[f"overlays/{name}"].items() if is_folder] for name in chosen
    }
    _known(apps, {app for names in every.values() for app in names}, "application")
    found: list[Place] = []
    verdicts: list[Verdict] = []
    for policy in policies:
        if environments and policy.name not in environments:
            continue
        for app in sorted(every[policy.name]):
            if not apps or app in apps:
                _place(tip, subject, policy, app, found, verdicts)
    if not found and not verdicts:
        raise InvalidInput(
            f"no application has an image of {subject.text}", fix="check the name, --env and --app"
        )
    return Found(tuple(found), tuple(verdicts), tuple(policy.name for policy in policies))


def _place(tip: Tip, subject: Subject, policy, app: str, found: list[Place], verdicts: list[Verdict]) -> None:
    path = f"overlays/{policy.name}/{app}/{FILE}"
    data = tip.read([path])[path]
    entries = [entry.reference for entry in read_images(data, path=path)] if data else []
    mine = [reference for reference in entries if reference.name in subject.images]
    by_revision = subject.commit and not subject.images
    if not mine and not by_revision:
        return
    commits, where = tip.history(), f"{policy.name}/{app}"
    if by_revision:
        newest = [commit.sha for commit in commits]
        since = newest[: newest.index(subject.commit) + 1]
        wanted = {ref.name: ref for ref in entries if ref.digest}
        found.append(Place(policy.name, app, policy, wanted, since, tip.written(since[-1])))
        return
    since = _since(commits, where, mine)
    wanted = {ref.name: ref for ref in mine}
    place = Place(policy.name, app, policy, wanted, since, tip.written(since[-1]))
    if all(map(subject.fits, mine)):
        found.append(place)
        return
    was_there = any(
        subject.fits(build.reference)
        for commit in commits
        if changed_images(commit.message, where)
        for build in parse_trailers(commit.message)
    )
    current = {ref.name: ref for ref in mine}
    verdicts.append(absent(place, current, was_there, subject.text[:12], subject.is_image))


def _since(commits, where: str, images: Collection[Reference]) -> list[str]:
    """The newest commits down to the one that brought these images to the overlay; all, when nothing records it."""
    taken = []
    for commit in commits:
        taken.append(commit.sha)
        names = changed_images(commit.message, where)
        if names & {image.name for image in images}:
            break
    return taken


def _known(asked: Collection[str], there: Collection[str], what: str) -> None:
    if unknown := sorted(set(asked) - set(there)):
        raise InvalidInput(f"no {what} {unknown[0]}", fix=f"there are: {', '.join(sorted(there))}")
