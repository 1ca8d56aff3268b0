"""Splits this repository into the source and the deploy repository, and keeps both in step afterwards.

A half is a tree made of this repository's top-level entries. Its commits carry a `Template:` trailer that names
the commit they came from, so that the next publication is a three-way merge on top of what people and `bump`
have written there since, and never undoes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from slipway.errors import EditRefused, InvalidInput
from slipway.git.checkout import Checkout, TreeEntry

TRAILER = "Template"
DEPLOY_FOLDERS = ("argocd", "base", "overlays")
OWN_FILES = "scripts/pair"
"""Files that exist in one half only: `scripts/pair/<half>/…` becomes the half's root."""


@dataclass(frozen=True)
class Publication:
    """What became of one half: the commit its main is at, and whether that is new."""

    half: str
    commit: str
    changed: bool


def half_entries(entries: list[TreeEntry], own: list[TreeEntry], half: str) -> list[TreeEntry]:
    """The top-level entries of a half; the half's own files replace those of the same name."""
    if half == "deploy":
        kept = [entry for entry in entries if entry.name in DEPLOY_FOLDERS]
    else:
        kept = [entry for entry in entries if entry.name not in DEPLOY_FOLDERS]
    named = {entry.name: entry for entry in (*kept, *own)}
    return [named[name] for name in sorted(named)]


def template_of(message: str) -> str | None:
    """The commit named by a message's `Template:` trailer."""
    found = re.search(rf"^{TRAILER}: ([0-9a-f]{{40,64}})$", message, re.MULTILINE)
    return found[1] if found else None


def publish(checkout: Checkout, half: str, url: str, revision: str = "HEAD") -> Publication:
    """Bring the half's remote main in step with `revision`; nothing is forced, nothing there is lost.

    Raises `EditRefused` where both sides changed the same lines, `RemoteRefused` where the remote says no.
    """
    template = checkout.resolve(revision)
    tree = _tree(checkout, template, half)
    tip = checkout.fetch(url, "main")
    message = f"Publish {half} half of {template[:12]}\n\n{TRAILER}: {template}\n"
    if tip is None:
        return _push(checkout, half, url, checkout.commit(tree, [], message, template))
    last = next(filter(None, map(template_of, checkout.messages(tip))), None)
    if last is None or not checkout.has(last):
        raise InvalidInput(
            f"the {half} repository was not published from this one, or from a commit that is not here: {last}",
            fix="fetch the whole history of this repository (`git fetch --unshallow`) or publish to an empty one",
        )
    before = _tree(checkout, last, half)
    if before == tree:
        return Publication(half, tip, False)
    base = checkout.commit(before, [], "base", template)
    ours = checkout.commit(checkout.tree_of(tip), [base], "ours", template)
    theirs = checkout.commit(tree, [base], "theirs", template)
    merged, conflicts = checkout.merge_trees(ours, theirs)
    if conflicts:
        raise EditRefused(
            f"both this repository and the {half} repository changed {', '.join(conflicts)}",
            fix=f"take over the change from {url} here, commit, and publish again",
        )
    if merged == checkout.tree_of(tip):
        return Publication(half, tip, False)
    return _push(checkout, half, url, checkout.commit(merged, [tip], message, template))


def _push(checkout: Checkout, half: str, url: str, commit: str) -> Publication:
    """Only what is deployed is signed: commits of the source must be the same each time, as images name them."""
    if half == "deploy":
        commit = checkout.sign(commit)
    checkout.push(url, commit, "main")
    return Publication(half, commit, True)


def _tree(checkout: Checkout, revision: str, half: str) -> str:
    own = (
        checkout.entries(f"{revision}:{OWN_FILES}/{half}")
        if checkout.has(f"{revision}:{OWN_FILES}/{half}")
        else []
    )
    return checkout.make_tree(half_entries(checkout.entries(revision), own, half))
