"""No pull request is merged that the gate did not pass, and everybody reads in one comment why."""

from __future__ import annotations

import httpx
from slipway.gate.contexts import CHECK, DIFF
from slipway.gate.gate_comment import MARKER
from slipway.platform import config

from .conftest import Platform, eventually

DEPLOYMENT = "base/board/backend-deployment.yaml"
RULE = "readOnlyRootFilesystem: true"
REPOSITORY = f"/repos/{config.ORGANISATION}/deploy"


def verdict(platform: Platform, number: int, sha: str, wanted: dict[str, str]) -> dict:
    """The gate's comment, once the statuses of the commit are as wanted; there is never a second one."""
    with platform.api("operator") as api:

        def told() -> dict | None:
            listed = api.get(f"{REPOSITORY}/commits/{sha}/status").json()["statuses"] or []
            states = {one["context"]: one["status"] for one in listed}
            if {name: states.get(name) for name in wanted} != wanted:
                return None
            comments = api.get(f"{REPOSITORY}/issues/{number}/comments").json()
            ours = [one for one in comments if one["body"].startswith(MARKER)]
            assert len(ours) <= 1, [one["html_url"] for one in ours]
            return ours[0] if ours and sha[:12] in ours[0]["body"] else None

        return eventually(told, 180, f"the gate says {wanted} of {sha[:12]}")


def test_a_pull_request_that_breaks_a_rule_is_merged_only_after_its_fix(platform: Platform) -> None:
    """Refused by the forge, explained in a comment, fixed by a second commit, merged; the comment is the same one."""
    text, branch = platform.read("deploy", DEPLOYMENT)[0], platform.branch("writable")
    assert RULE in text
    broken = platform.write(
        "developer", "deploy", DEPLOYMENT, text.replace(RULE, "readOnlyRootFilesystem: false"),
        "board: a root that can be written", new_branch=branch,
    ).raise_for_status().json()["commit"]["sha"]  # fmt: skip
    number = platform.pull_request(branch, "A root that can be written")
    first = verdict(platform, number, broken, {CHECK: "failure", DIFF: "success"})
    assert first["user"]["login"] == "slipway-gate" and "Must not be merged" in first["body"]
    assert "read-only-root" in first["body"] and DEPLOYMENT in first["body"]
    with platform.api("operator") as api:
        refused = api.post(f"{REPOSITORY}/pulls/{number}/merge", json={"Do": "rebase"})
        assert refused.status_code == 405, refused.text
        assert not api.get(f"{REPOSITORY}/pulls/{number}").json()["merged"]

    fixed = platform.write(
        "developer", "deploy", DEPLOYMENT, text + "# Its root stays read-only.\n",
        "board: the root is read-only again", branch=branch,
    ).raise_for_status().json()["commit"]["sha"]  # fmt: skip
    second = verdict(platform, number, fixed, {CHECK: "success", DIFF: "success"})
    assert second["id"] == first["id"] and "May be merged" in second["body"]
    platform.merge(number)
    assert platform.read("deploy", DEPLOYMENT)[0].endswith("# Its root stays read-only.\n")


def test_the_comment_leads_to_the_whole_difference(platform: Platform) -> None:
    """The page is served by the gate's build, and shows what the comment shows."""
    overlay = "overlays/dev/board/kustomization.yaml"
    text, branch = platform.read("deploy", overlay)[0], platform.branch("note")
    edited = text + "commonAnnotations:\n  example.org/note: a note\n"
    sha = platform.write(
        "developer", "deploy", overlay, edited, "dev: a note", new_branch=branch
    ).raise_for_status().json()["commit"]["sha"]  # fmt: skip
    number = platform.pull_request(branch, "A note")
    with platform.api("operator") as api:

        def link() -> str | None:
            listed = api.get(f"{REPOSITORY}/commits/{sha}/statuses").json()
            return next(
                (o["target_url"] for o in listed if o["context"] == DIFF and o["status"] == "success"), None
            )

        address = eventually(link, 180, "the gate passes the note")

        def archived() -> str | None:
            page = httpx.get(address)
            return page.text if page.status_code == 200 else None

        page = eventually(archived, 60, "the gate's build has ended, and its page is there")
        api.patch(f"{REPOSITORY}/pulls/{number}", json={"state": "closed"}).raise_for_status()
    assert "example.org/note: a note" in page
