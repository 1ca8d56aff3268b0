"""Gitea as the forge: its process, its users and repositories, protection and webhooks, all made idempotently."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway import toolchain
from slipway.errors import CommandFailed, StateError, Unreachable
from slipway.gate.contexts import CHECK, DIFF
from slipway.platform import config, forge_guard
from slipway.platform.secrets import Secrets
from slipway.platform.supervisor import Program
from slipway.proc import run

USER = "nobody"
ADMIN = "slipway-admin"
BOT = "slipway-bot"
"""The pipeline's: pushes images to environments that take direct commits, and nothing else to main."""
PUBLISHER = "slipway-publisher"
"""Publishes the deploy half of the pair; its password never reaches the pipeline."""
GATE = "slipway-gate"
"""Comments on pull requests and sets statuses; may push to no protected branch."""
ARGOCD = "slipway-argocd"
"""Sets the statuses that say what became of a commit; may push to no protected branch."""
RECORDER = "slipway-events"
"""Writes the event log, and may write nothing else."""
BOARD = "slipway-board"
"""Reads, and may write nothing."""
PULL_REQUEST = ("pull_request", "pull_request_sync", "pull_request_label")
"""The events of Gitea that have the gate judge a pull request again."""
PEOPLE = {
    "developer": "pushes to the source repository",
    "operator": "reviews and merges in the deploy repository",
}
REPOSITORIES = {
    "source": {},
    "deploy": {},
    # Begun with a README, since a file can be added only to a branch that exists.
    "events": {"auto_init": True, "readme": "Default", "description": "What Argo CD reported, a file each."},
}
"""What each is made with."""
RIGHTS = {
    "developer": {"source": "write", "deploy": "write"},
    "operator": {"deploy": "write"},
    BOT: {"deploy": "write"},
    PUBLISHER: {"deploy": "write"},
    GATE: {"deploy": "write"},
    ARGOCD: {"deploy": "write"},
    RECORDER: {"events": "write"},
    BOARD: dict.fromkeys(REPOSITORIES, "read"),
}
"""Of each user, by repository."""
SCOPES = {ARGOCD: "write:repository", RECORDER: "write:repository", BOARD: "read:repository"}
"""Those who log in with a token, and what it is limited to."""
PROTECTED = {
    "deploy": {
        "push_whitelist_usernames": [BOT, PUBLISHER],
        "enable_merge_whitelist": True,
        "merge_whitelist_usernames": ["operator"],
        "block_on_rejected_reviews": True,
    },
    "events": {"push_whitelist_usernames": [RECORDER]},
}
"""Who may push to main; the others go through a pull request, and nobody rewrites it."""


class Forge:
    """The local Gitea, with its files in `state/forge`."""

    def __init__(self, state: Path):
        self.folder = state / "forge"
        self.repositories = self.folder / "data" / "repositories"
        self.secrets = Secrets(state)
        self.url = config.FORGE_URL

    # The process

    def program(self) -> Program:
        """What the supervisor runs; the forge is not root."""
        env = {"HOME": str(self.folder / "data"), "USER": USER, "GITEA_WORK_DIR": str(self.folder)}
        argv = [self.folder / "gitea", "--config", self.folder / "app.ini", "web"]
        return Program("forge", argv, env, user=USER)

    def prepare(self) -> None:
        """Lay out what an unprivileged process can read: root's cache it cannot."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        _link(toolchain.tool("gitea"), self.folder / "gitea")
        static = self.folder / "static"
        if not static.is_dir():
            shutil.copytree(toolchain.share("forge", "gitea"), static)
        text = self._settings()
        settings = self.folder / "app.ini"
        if not settings.is_file() or settings.read_text() != text:
            settings.touch(mode=0o600)
            settings.write_text(text)
        for path in (self.folder, data, settings):
            shutil.chown(path, USER, "nogroup")
        settings.chmod(0o600)

    def _settings(self) -> str:
        return f"""APP_NAME = Slipway forge
RUN_USER = {USER}
RUN_MODE = prod
WORK_PATH = {self.folder}

[server]
PROTOCOL = http
HTTP_ADDR = {config.HOST}
HTTP_PORT = {config.FORGE_PORT}
ROOT_URL = {self.url}/
STATIC_ROOT_PATH = {self.folder}/static
APP_DATA_PATH = {self.folder}/data
DISABLE_SSH = true
LFS_START_SERVER = false
OFFLINE_MODE = true

[database]
DB_TYPE = sqlite3
PATH = {self.folder}/data/gitea.db

[repository]
ROOT = {self.repositories}
DEFAULT_BRANCH = main
DISABLE_HTTP_GIT = false

[security]
INSTALL_LOCK = true
SECRET_KEY = {self.secrets.get("forge-secret-key")}
INTERNAL_TOKEN = {self.secrets.get("forge-internal-token")}
PASSWORD_HASH_ALGO = pbkdf2$50000$50

[oauth2]
JWT_SECRET = {self.secrets.get("forge-jwt-secret")}

[service]
DISABLE_REGISTRATION = true
REQUIRE_SIGNIN_VIEW = false

[webhook]
ALLOWED_HOST_LIST = {config.HOST}/32,{config.NODE}/32
DELIVER_TIMEOUT = 15

[actions]
ENABLED = false

[packages]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db

[cron]
ENABLED = false

[cron.update_checker]
ENABLED = false

[log]
LEVEL = Warn
"""

    def _admin(self, *arguments: str) -> str:
        """Run Gitea's own administration; needed only before the first token exists."""
        prefix = ["runuser", "-u", USER, "--", self.folder / "gitea", "--config", self.folder / "app.ini"]
        env = {"HOME": str(self.folder / "data"), "USER": USER, "GITEA_WORK_DIR": str(self.folder)}
        return run([*prefix, "admin", "user", *arguments], env=env, cwd=self.folder).stdout

    # The API

    def client(self, token: str | None = None) -> httpx.Client:
        """An API client, by default with the administrator's token."""
        headers = {"Authorization": f"token {token or self.secrets.get('forge-token')}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=30)

    @retry(
        retry=retry_if_exception_type(Unreachable),
        stop=stop_after_delay(60),
        wait=wait_fixed(0.3),
        reraise=True,
    )
    def wait(self) -> None:
        """Wait until the forge answers."""
        try:
            httpx.get(f"{self.url}/api/healthz", timeout=5).raise_for_status()
        except httpx.HTTPError as exc:
            log = self.folder.with_name("supervisor") / "forge.log"
            last = log.read_text(errors="replace").splitlines()[-1:] if log.is_file() else []
            raise Unreachable(
                f"the forge does not answer ({exc}): {''.join(last)}", fix=f"see {log}"
            ) from exc

    def set_up(self, hooks: dict[str, list[dict]]) -> None:
        """Make the administrator, people, organisation, repositories, protection and webhooks.

        `hooks` is, per repository, the webhooks as the API takes them.
        """
        self._bootstrap()
        with self.client() as api:
            for name in RIGHTS:
                self._user(api, name)
            _ensure(
                api.post("/orgs", json={"username": config.ORGANISATION, "visibility": "public"}), 201, 422
            )
            for name, more in REPOSITORIES.items():
                body = {"name": name, "default_branch": "main", "private": False, **more}
                _ensure(api.post(f"/orgs/{config.ORGANISATION}/repos", json=body), 201, 409)
            for user, rights in RIGHTS.items():
                for repository, permission in rights.items():
                    self._grant(api, repository, user, permission)
            for repository, rule in PROTECTED.items():
                self._protect(api, repository, rule)
            forge_guard.confine(self.repositories / config.ORGANISATION / "deploy.git", BOT)
            for name, wanted in hooks.items():
                self._hooks(api, name, wanted)
        for user, scope in SCOPES.items():
            self._issue(user, scope)

    def _bootstrap(self) -> None:
        """The first administrator and token, which only Gitea's own command can make."""
        if self.secrets.exists("forge-token"):
            return
        create = ("create", "--username", ADMIN, "--email", f"{ADMIN}@slipway.invalid", "--admin")
        try:
            printed = self._admin(*create, "--random-password", "--must-change-password=false")
            password = re.search(r"generated random password is '(.+)'", printed)
            if not password:
                raise StateError("the forge did not print the administrator's password")
            self.secrets.put(f"forge-{ADMIN}", password[1])
        except CommandFailed as exc:
            if "already exists" not in exc.output:
                raise
        name = f"platform-{os.urandom(4).hex()}"
        token = self._admin(
            *("generate-access-token", "--username", ADMIN, "--token-name", name, "--scopes", "all", "--raw")
        )
        self.secrets.put("forge-token", token.strip().splitlines()[-1])

    def _user(self, api: httpx.Client, name: str) -> None:
        body = {
            "username": name,
            "email": f"{name}@slipway.invalid",
            "password": self.secrets.get(f"forge-{name}"),
            "must_change_password": False,
        }
        _ensure(api.post("/admin/users", json=body), 201, 422)

    def _grant(self, api: httpx.Client, repository: str, user: str, permission: str) -> None:
        path = f"/repos/{config.ORGANISATION}/{repository}/collaborators/{user}"
        _ensure(api.put(path, json={"permission": permission}), 204)

    def _issue(self, user: str, scope: str) -> None:
        """A token, which only the user's own password can have made."""
        if self.secrets.exists(f"forge-{user}-token"):
            return
        login = (user, self.secrets.get(f"forge-{user}"))
        body = {"name": f"platform-{os.urandom(4).hex()}", "scopes": [scope]}
        with httpx.Client(base_url=f"{self.url}/api/v1", auth=login, timeout=30) as own:
            made = _ensure(own.post(f"/users/{user}/tokens", json=body), 201)
        self.secrets.put(f"forge-{user}-token", made.json()["sha1"])

    def _protect(self, api: httpx.Client, repository: str, rule: dict) -> None:
        path = f"/repos/{config.ORGANISATION}/{repository}/branch_protections"
        if api.get(f"{path}/main").status_code == 404:
            common = {"rule_name": "main", "enable_push": True, "enable_push_whitelist": True}
            _ensure(api.post(path, json=common | rule), 201)
        else:
            _ensure(api.patch(f"{path}/main", json=rule), 200)

    def require_gate(self, gate: dict) -> None:
        """Announce pull requests of the deploy repository to the gate, and let none be merged that it did not pass."""
        path = f"/repos/{config.ORGANISATION}/deploy/branch_protections/main"
        with self.client() as api:
            self._hooks(api, "deploy", [gate])
            rule = {"enable_status_check": True, "status_check_contexts": [CHECK, DIFF]}
            _ensure(api.patch(path, json=rule), 200)

    def _hooks(self, api: httpx.Client, repository: str, wanted: list[dict]) -> None:
        path = f"/repos/{config.ORGANISATION}/{repository}/hooks"
        present = {hook["config"]["url"] for hook in _ensure(api.get(path), 200).json()}
        for hook in wanted:
            if hook["config"]["url"] not in present:
                _ensure(api.post(path, json={**hook, "active": True}), 201)

    def redeliver(self, repository: str) -> None:
        """Announce the newest commit of a repository to its webhooks once more."""
        path = f"/repos/{config.ORGANISATION}/{repository}/hooks"
        with self.client() as api:
            for present in _ensure(api.get(path), 200).json():
                _ensure(api.post(f"{path}/{present['id']}/tests"), 204)

    def remote(self, repository: str) -> str:
        """The clone address, without any credential."""
        return f"{self.url}/{config.ORGANISATION}/{repository}.git"


def hook(kind: str, url: str, secret: str, *events: str) -> dict:
    """A webhook as Gitea's API takes it, for pushes unless told otherwise; `kind` is `gitea` or `gogs`."""
    return {
        "type": kind,
        "events": list(events or ["push"]),
        "config": {"url": url, "content_type": "json", "secret": secret},
    }


def _ensure(response: httpx.Response, *allowed: int) -> httpx.Response:
    if response.status_code not in allowed:
        where = f"{response.request.method} {response.request.url.path}"
        raise Unreachable(f"the forge answered {response.status_code} to {where}: {response.text[:300]}")
    return response


def _link(source: Path, target: Path) -> None:
    """A hard link where the file system allows it, else a copy; replaced when the source is another build."""
    if target.exists():
        if (
            target.stat().st_size == source.stat().st_size
            and target.stat().st_mtime == source.stat().st_mtime
        ):
            return
        target.unlink()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
