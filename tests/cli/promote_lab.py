"""Forges and an Argo CD on loopback that answer as their documentation says, for one repository each."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.cli.bump_lab import Deploy, Server, git, query

TOKEN = "t0ken"


class JsonServer(Server):
    """Answers requests for JSON by `answer(method, path, query, body)`; `before` may answer with a status instead.

    `requests` are (method, path, Authorization).
    """

    def __init__(self):
        super().__init__(_JsonHandler)
        self.requests: list[tuple[str, str, str | None]] = []
        self.before: Callable[[str, str], tuple[int, object, dict] | None] | None = None

    def answer(self, method: str, path: str, asked: dict, body: dict) -> tuple[int, object, dict]:
        """Status, JSON and headers."""
        raise NotImplementedError

    def count(self, method: str) -> int:
        """How many requests had this method."""
        return sum(request[0] == method for request in self.requests)


class _JsonHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        lab: JsonServer = self.server.lab
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        path = urlsplit(self.path).path
        lab.requests.append((self.command, path, self.headers.get("Authorization")))
        lab.headers = dict(self.headers)
        found = lab.before(self.command, path) if lab.before else None
        asked = {key: values[0] for key, values in query(self.path).items()}
        status, data, headers = found or lab.answer(self.command, path, asked, body)
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PATCH = do_GET

    def log_message(self, *_):
        return


class ForgeServer(JsonServer):
    """Pull requests of `bot/deploy`, as Gitea or as GitHub tells them; the repository behind it is `deploy`."""

    def __init__(self, kind: str = "gitea", deploy: Deploy | None = None):
        super().__init__()
        self.kind, self.deploy = kind, deploy
        self.pulls: list[dict] = []
        self.page = 2
        """More than this many pull requests do not fit on Gitea's page, whatever is asked for."""

    @property
    def api(self) -> str:
        """What `--forge-api` takes."""
        return self.url + ("/api/v1" if self.kind == "gitea" else "")

    def answer(self, method, path, asked, body):
        if path == "/api/v1/version" and self.kind == "gitea":
            return 200, {"version": "1.26.0"}, {}
        if TOKEN not in (self.requests[-1][2] or ""):
            return 401, {"message": "Bad credentials"}, {}
        _, _, tail = path.partition("/pulls")
        if "/pulls" not in path:
            return 404, {"message": "Not Found"}, {}
        if method == "GET":
            return self._list(asked)
        if method == "PATCH":
            pull = self.pulls[int(tail.strip("/")) - 1]
            pull |= body
            return 201 if self.kind == "gitea" else 200, pull, {}
        return self._create(body)

    def _list(self, asked: dict):
        found = [pull for pull in self.pulls if pull["state"] == asked["state"]]
        if self.kind == "github":
            owner, _, branch = asked["head"].partition(":")
            found = [p for p in found if (p["head"]["ref"], p["base"]["ref"]) == (branch, asked["base"])]
            return 200, found if owner else [], {}
        first = (int(asked["page"]) - 1) * self.page
        return 200, found[first : first + self.page], {"X-Total-Count": str(len(found))}

    def _create(self, body: dict):
        if any(p["state"] == "open" and p["head"]["ref"] == body["head"] for p in self.pulls):
            if self.kind == "gitea":
                return 409, {"message": "pull request already exists for these targets"}, {}
            errors = [{"message": f"A pull request already exists for bot:{body['head']}."}]
            return 422, {"message": "Validation Failed", "errors": errors}, {}
        if self.deploy and self._is_empty(body["head"]):
            errors = [{"message": f"No commits between main and {body['head']}"}]
            return 422, {"message": "Validation Failed", "errors": errors}, {}
        return 201, self.open(body["head"], body["title"], body["body"]), {}

    def _is_empty(self, branch: str) -> bool:
        return git("rev-list", f"main..{branch}", cwd=self.deploy.path) == ""

    def open(
        self, branch: str, title: str = "t", body: str = "", *, base: str = "main", repo: int = 1
    ) -> dict:
        """A pull request that is open; with another `repo`, from a fork."""
        number = len(self.pulls) + 1
        url = f"{self.url}/bot/deploy/pulls/{number}"
        head, target = ({"ref": r, "repo_id": i, "repo": {"id": i}} for r, i in ((branch, repo), (base, 1)))
        pull = {"number": number, "html_url": url, "state": "open", "title": title, "body": body}
        pull |= {"head": head, "base": target, "merged": False, "merged_at": None}
        self.pulls.append(pull)
        return pull

    def close(self, number: int, *, merged: bool = False) -> None:
        """Close a pull request; with `merged`, main becomes what its branch is."""
        pull = self.pulls[number - 1]
        pull |= {"state": "closed", "merged": merged, "merged_at": "2026-11-24T10:00:00Z" if merged else None}
        if merged and self.deploy:
            git("update-ref", "refs/heads/main", pull["head"]["ref"], cwd=self.deploy.path)


class ArgoServer(JsonServer):
    """Argo CD with the applications in `apps`, by name, as its API tells them."""

    def __init__(self):
        super().__init__()
        self.apps: dict[str, dict] = {}

    def answer(self, method, path, asked, body):
        if self.requests[-1][2] != f"Bearer {TOKEN}":
            return (
                401,
                {"error": "no session information", "code": 16, "message": "no session information"},
                {},
            )
        found = self.apps.get(path.removeprefix("/api/v1/applications/"))
        if not found:
            return 403, {"error": "permission denied", "code": 7, "message": "permission denied"}, {}
        return 200, found, {}

    def runs(self, environment: str, app: str, revision: str, *images: str, **changes) -> dict:
        """An application that is live and healthy since an hour ago; `changes` replace parts of its status."""
        hour = datetime.now(UTC) - timedelta(hours=1)
        self.apps[f"{environment}-{app}"] = found = application(
            environment, app, revision, *images, since=hour
        )
        found["status"] |= changes
        return found


def application(
    environment: str, app: str, revision: str, *images: str, since: datetime, deployed: datetime | None = None
) -> dict:
    """An Application as the API of Argo CD 3.6 tells it."""
    times = [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (since, deployed or since)]
    folder = f"overlays/{environment}/{app}"
    source = {
        "repoURL": "https://git.example/deploy.git",
        "path": folder,
        "targetRevision": "refs/heads/main",
    }
    status = {
        "sync": {"status": "Synced", "revision": revision, "comparedTo": {"source": source}},
        "health": {"status": "Healthy", "lastTransitionTime": times[0]},
        "history": [{"id": 0, "revision": revision, "deployedAt": times[1]}],
        "operationState": {"phase": "Succeeded", "finishedAt": times[1]},
        "summary": {"images": list(images)},
    }
    return {"metadata": {"name": f"{environment}-{app}"}, "spec": {"source": source}, "status": status}
