"""The border to GitHub and GitHub Enterprise: pull requests through the REST API, version 2022-11-28."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from slipway.errors import InvalidInput, RemoteRefused
from slipway.forge.conversation import Conversation
from slipway.forge.pull_requests import TOKEN, Address, AlreadyOpen, Proposed, PullRequest
from slipway.rest import Rest, told

_LOGIN = f"set {TOKEN} to a token with the permission to write pull requests"


def default_api(address: Address) -> str:
    """Where the API of github.com, or of an Enterprise Server, is."""
    return "https://api.github.com" if address.host == "github.com" else f"https://{address.host}/api/v3"


class GitHub(Conversation):
    """The pull requests of one repository."""

    def __init__(self, api: str, owner: str, name: str, token: str | None = None):
        if not token:
            raise InvalidInput("there is no token for GitHub", fix=_LOGIN)
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self._owner = owner
        rest = Rest(api, headers, name=f"GitHub ({urlsplit(api).netloc})", login=_LOGIN)
        repository = f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}"
        super().__init__(rest, repository, {"per_page": 100})
        self._pulls = f"{repository}/pulls"

    def find(self, branch: str, base: str) -> PullRequest | None:
        """The open pull request that would bring `branch` of this repository into `base`."""
        params = {"state": "open", "head": f"{self._owner}:{branch}", "base": base, "per_page": 100}
        for data in self._rest.ask("GET", self._pulls, params=params).json():
            head, target = data["head"], data["base"]
            fork = not head.get("repo") or head["repo"]["id"] != target["repo"]["id"]
            if (head["ref"], target["ref"]) == (branch, base) and not fork:
                return _pull_request(data)
        return None

    def create(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """A new pull request; raises `AlreadyOpen` when there is one."""
        wanted = {"head": branch, "base": base, "title": title, "body": body}
        answer = self._rest.ask("POST", self._pulls, 422, json=wanted)
        if answer.status_code == 422:
            if "already exists" in told(answer):
                raise AlreadyOpen
            raise RemoteRefused(
                f"{self._rest.name} opens no pull request: {told(answer)}", fix="see its text"
            )
        return _pull_request(answer.json())

    def update(self, number: int, title: str, body: str) -> PullRequest:
        """The same pull request with another title and body."""
        answer = self._rest.ask("PATCH", f"{self._pulls}/{number}", json={"title": title, "body": body})
        return _pull_request(answer.json())

    def proposed(self, number: int) -> Proposed:
        """What a pull request brings now."""
        data = self._rest.ask("GET", f"{self._pulls}/{number}").json()
        return Proposed.read(data, _pull_request(data).state)


def _pull_request(data: dict) -> PullRequest:
    state = "merged" if data.get("merged_at") else data["state"]
    return PullRequest(data["number"], data["html_url"], state, data["head"]["ref"], data["title"])
