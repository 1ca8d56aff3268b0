"""Comments and statuses in Gitea and GitHub, against a server that answers as both document it."""

from __future__ import annotations

import pytest
from slipway.forge.conversation import DESCRIPTION_LIMIT
from slipway.forge.gitea import Gitea
from slipway.forge.github import GitHub
from slipway.forge.pull_requests import Proposed

from tests.cli.promote_lab import TOKEN, JsonServer

MARK = "<!-- mark -->"


class ConversationServer(JsonServer):
    """Comments of one pull request, statuses of commits; `size` is how many comments fit on a page."""

    def __init__(self, kind: str, size: int | None):
        super().__init__()
        self.kind, self.size = kind, size
        self.comments: list[dict] = []
        self.statuses: list[tuple[str, dict]] = []

    def add(self, user: str, body: str) -> dict:
        number = len(self.comments) + 1
        one = {"id": number, "user": {"login": user}, "body": body, "html_url": f"{self.url}/c/{number}"}
        self.comments.append(one)
        return one

    def answer(self, method, path, asked, body):
        if path.endswith("/user"):
            return 200, {"login": "gate"}, {}
        if path.endswith("/pulls/7"):
            merged = {"merged": False} if self.kind == "gitea" else {"merged_at": None}
            pull = {
                "number": 7,
                "html_url": "u",
                "state": "open",
                "title": "t",
                "user": {"login": "ana"},
                **merged,
            }
            pull |= {"head": {"sha": "a" * 40, "ref": "work"}, "base": {"ref": "main"}}
            return 200, pull | {"labels": [{"name": "b"}, {"name": "a"}]}, {}
        if "/statuses/" in path:
            self.statuses.append((path.rpartition("/")[2], body))
            return 201, {}, {}
        if method == "POST":
            return 201, self.add("gate", body["body"]), {}
        if method == "PATCH":
            one = self.comments[int(path.rpartition("/")[2]) - 1]
            one |= body
            return 200, one, {}
        first = (int(asked["page"]) - 1) * (self.size or 0)
        return 200, self.comments[first : first + self.size] if self.size else self.comments, {}


@pytest.fixture(params=[("gitea", None), ("github", 2)], ids=["gitea", "github"])
def lab(request):
    with ConversationServer(*request.param) as server:
        yield server


@pytest.fixture
def forge(lab):
    kind = Gitea if lab.kind == "gitea" else GitHub
    return kind(lab.url, "bot", "deploy", TOKEN)


def test_what_a_pull_request_brings_is_read(forge):
    """The head's commit, the base's branch, the author, the labels in order."""
    found = forge.proposed(7)
    assert found == Proposed(7, "u", "open", "t", "ana", "a" * 40, "main", ("a", "b"))


def test_one_comment_is_made_and_then_updated(lab, forge):
    """Also when it stands on a later page; and nothing is sent when it says that already."""
    for number in range(5):
        lab.add("ana", f"remark {number}")
    assert forge.comment(7, MARK, "first") == (f"{lab.url}/c/6", True)
    assert forge.comment(7, MARK, "second") == (f"{lab.url}/c/6", False)
    assert lab.comments[5]["body"] == f"{MARK}\nsecond" and len(lab.comments) == 6
    before = lab.count("PATCH")
    forge.comment(7, MARK, "second")
    assert lab.count("PATCH") == before


def test_a_comment_of_somebody_else_is_never_touched(lab, forge):
    """Even with the same mark: it may have been put there to be overwritten, or believed."""
    lab.add("mallory", f"{MARK}\nall is well")
    assert forge.comment(7, MARK, "it is not") == (f"{lab.url}/c/2", True)
    assert lab.comments[0]["body"].endswith("all is well")


def test_a_status_is_cut_to_what_is_shown(lab, forge):
    """The address is left out where there is none."""
    forge.set_status("b" * 40, "slipway/check", "failure", "x" * 500, None)
    forge.set_status("b" * 40, "slipway/diff", "success", "fine", "https://ci.example/1")
    (sha, first), (_, second) = lab.statuses
    assert sha == "b" * 40 and len(first["description"]) == DESCRIPTION_LIMIT and "target_url" not in first
    assert second == {"state": "success", "context": "slipway/diff", "description": "fine", "target_url": "https://ci.example/1"}  # fmt: skip
