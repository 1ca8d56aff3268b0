"""The border to Gitea (and Forgejo): pull requests through its API, version 1."""

from __future__ import annotations

import base64
from urllib.parse import quote, urlsplit

from slipway.errors import InvalidInput, RemoteRefused
from slipway.forge.conversation import Conversation
from slipway.forge.pull_requests import TOKEN, AlreadyOpen, Proposed, PullRequest
from slipway.git.access import environment_credentials
from slipway.rest import Rest

_PAGE = 50
_LOGIN = (
    f"set {TOKEN} to a token that may write pull requests, or SLIPWAY_GIT_USERNAME and SLIPWAY_GIT_PASSWORD"
)


def version(api: str) -> str | None:
    """What Gitea says its version is; None when this is no Gitea, or none that tells strangers. Sends no credential."""
    try:
        answer = Rest(api, {}, name=f"Gitea ({urlsplit(api).netloc})", login=_LOGIN).ask("GET", "/version")
        return answer.json().get("version")
    except (RemoteRefused, InvalidInput, ValueError, AttributeError):
        return None


class Gitea(Conversation):
    """The pull requests of one repository; without a token, Git's own credentials are used."""

    def __init__(self, api: str, owner: str, name: str, token: str | None = None):
        rest = Rest(
            api,
            {"Authorization": _authorization(token)},
            name=f"Gitea ({urlsplit(api).netloc})",
            login=_LOGIN,
        )
        repository = f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}"
        super().__init__(rest, repository, {"limit": _PAGE})
        self._pulls = f"{repository}/pulls"

    def find(self, branch: str, base: str) -> PullRequest | None:
        """The open pull request that would bring `branch` of this repository into `base`."""
        page, seen = 1, 0
        while True:
            answer = self._rest.ask(
                "GET", self._pulls, params={"state": "open", "limit": _PAGE, "page": page}
            )
            listed = answer.json()
            for data in listed:
                head, target = data["head"], data["base"]
                if (head["ref"], target["ref"]) == (branch, base) and head["repo_id"] == target["repo_id"]:
                    return _pull_request(data)
            seen += len(listed)
            if not listed or seen >= int(answer.headers.get("x-total-count") or 0):
                return None
            page += 1

    def create(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """A new pull request; raises `AlreadyOpen` when there is one."""
        wanted = {"head": branch, "base": base, "title": title, "body": body}
        answer = self._rest.ask("POST", self._pulls, 409, json=wanted)
        if answer.status_code == 409:
            raise AlreadyOpen
        return _pull_request(answer.json())

    def update(self, number: int, title: str, body: str) -> PullRequest:
        """The same pull request with another title and body."""
        answer = self._rest.ask("PATCH", f"{self._pulls}/{number}", json={"title": title, "body": body})
        return _pull_request(answer.json())

    def proposed(self, number: int) -> Proposed:
        """What a pull request brings now."""
        data = self._rest.ask("GET", f"{self._pulls}/{number}").json()
        return Proposed.read(data, _pull_request(data).state)


def _authorization(token: str | None) -> str:
    if token:
        return f"token {token}"
    pair = environment_credentials()
    if not pair:
        raise InvalidInput("there are no credentials for Gitea", fix=_LOGIN)
    return "Basic " + base64.b64encode(":".join(pair).encode()).decode()


def _pull_request(data: dict) -> PullRequest:
    state = "merged" if data.get("merged") else data["state"]
    return PullRequest(data["number"], data["html_url"], state, data["head"]["ref"], data["title"])
