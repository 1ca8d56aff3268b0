"""What each credential of the platform cannot do, tried with the credential itself, beside what it can.

Traffic that no NetworkPolicy allows: test_network_policies.py.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from slipway import toolchain
from slipway.errors import CommandFailed
from slipway.platform import argocd, config, pipeline
from slipway.platform.supervisor import Supervisor

from tests.unit.registry_lab import held, push

from .conftest import Platform, eventually

DEPLOY = f"/repos/{config.ORGANISATION}/deploy"
FORBIDDEN = {
    "prod's images": "overlays/prod/board/kustomization.yaml",
    "prod's policy": "overlays/prod/environment.yaml",
    "the key that prod's images are verified with": "overlays/prod/cosign.pub",
    "what every environment shares": "base/board/kustomization.yaml",
    "who may deploy what": "argocd/environments/prod/project.yaml",
}
"""What the pipeline's account may not change without a pull request."""


# The pipeline's account in the forge


@pytest.fixture(scope="module")
def store(platform: Platform) -> dict[str, dict[str, str]]:
    """The credentials that builds may use, from the file that the pipeline reads."""
    settings = json.loads((platform.state / "pipeline" / "receiver.yaml").read_text())
    return json.loads(Path(settings["credentials"]).read_text())


@pytest.fixture
def bot(store) -> Iterator[httpx.Client]:
    """The forge's API with the login that the pipeline has."""
    login = (store["deploy-repo"]["username"], store["deploy-repo"]["password"])
    with httpx.Client(base_url=f"{config.FORGE_URL}/api/v1", auth=login, timeout=30) as api:
        yield api


def edit(api: httpx.Client, repository: str, path: str, **where: str) -> httpx.Response:
    """Add a line to a file of a repository."""
    address = f"/repos/{config.ORGANISATION}/{repository}/contents/{path}"
    found = api.get(address).raise_for_status().json()
    changed = base64.b64decode(found["content"]) + b"# by the pipeline's account\n"
    body = {"content": base64.b64encode(changed).decode(), "sha": found["sha"], "message": "probe"}
    return api.put(address, json=body | {"branch": "main"} | where)


def pushed(store: dict, repository: str, path: str, folder: Path, to: str = "main") -> str:
    """Add a line to a file and push it with git, as `slipway bump` does; what git says when it is refused."""
    remote = f"{config.FORGE_URL}/{config.ORGANISATION}/{repository}.git"
    clone, askpass = folder / "clone", folder / "askpass"
    subprocess.run(["git", "clone", "-q", "--depth=1", remote, clone], check=True)
    with (clone / path).open("a") as file:
        file.write("# by the pipeline's account\n")
    git = ["git", "-C", clone, "-c", "user.name=bot", "-c", "user.email=bot@slipway.invalid"]
    subprocess.run([*git, "commit", "-qam", "probe"], check=True)
    askpass.write_text('#!/bin/sh\ncase "$1" in User*) echo "$LOGIN";; *) echo "$PASSWORD";; esac\n')
    askpass.chmod(0o700)
    login = {"LOGIN": store["deploy-repo"]["username"], "PASSWORD": store["deploy-repo"]["password"]}
    env = {"PATH": "/usr/bin:/bin", "GIT_ASKPASS": str(askpass), **login}
    done = subprocess.run([*git, "push", "origin", f"HEAD:{to}"], env=env, capture_output=True, text=True)
    assert done.returncode != 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("path", FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_pipeline_s_account_pushes_to_nothing_that_asks_for_a_pull_request(
    platform: Platform, store: dict, path: str, tmp_path: Path
) -> None:
    """With git; the forge says which file it is about."""
    before, _ = platform.read("deploy", path)
    assert f"may not change {path} without a pull request" in pushed(store, "deploy", path, tmp_path)
    assert platform.read("deploy", path)[0] == before


def test_the_api_is_no_way_around(platform: Platform, bot: httpx.Client) -> None:
    """The same change is refused on main and taken on a branch, from where only the operator brings it in."""
    path = FORBIDDEN["prod's images"]
    before, _ = platform.read("deploy", path)
    refused = edit(bot, "deploy", path)
    assert refused.status_code in (403, 422, 500), refused.text
    assert platform.read("deploy", path)[0] == before
    branch = platform.branch("probe")
    assert edit(bot, "deploy", path, new_branch=branch).status_code == 200
    try:
        opened = bot.post(f"{DEPLOY}/pulls", json={"title": "Probe", "head": branch, "base": "main"})
        assert opened.status_code == 201, opened.text
        number = opened.json()["number"]
        merged = bot.post(f"{DEPLOY}/pulls/{number}/merge", json={"Do": "rebase"})
        assert merged.status_code == 405 and "not allowed to merge" in merged.text, merged.text
        bot.patch(f"{DEPLOY}/pulls/{number}", json={"state": "closed"}).raise_for_status()
    finally:
        bot.delete(f"{DEPLOY}/branches/{branch}").raise_for_status()
    assert platform.read("deploy", path)[0] == before


@pytest.mark.parametrize("repository", ["source", "events"])
def test_the_pipeline_s_account_writes_no_other_repository(
    store: dict, bot: httpx.Client, repository: str, tmp_path: Path
) -> None:
    """Neither through the API nor with git, on whatever branch."""
    for number, branch in enumerate(("main", "probe")):
        where = {} if branch == "main" else {"new_branch": branch}
        assert edit(bot, repository, "README.md", **where).status_code in (403, 404)
        folder = tmp_path / str(number)
        folder.mkdir()
        refused = pushed(store, repository, "README.md", folder, f"refs/heads/{branch}")
        assert "User permission denied for writing" in refused
    branches = bot.get(f"/repos/{config.ORGANISATION}/{repository}/branches").json()
    assert "probe" not in {branch["name"] for branch in branches}


def test_the_pipeline_s_account_changes_no_rule(bot: httpx.Client) -> None:
    """Protection, webhooks, rights, the repository itself and other accounts are the administrator's."""
    tried = {
        "protection": bot.patch(f"{DEPLOY}/branch_protections/main", json={"enable_push_whitelist": False}),
        "no protection": bot.delete(f"{DEPLOY}/branch_protections/main"),
        "webhook": bot.post(f"{DEPLOY}/hooks", json={"type": "gitea", "config": {}}),
        "git hook": bot.patch(f"{DEPLOY}/hooks/git/pre-receive", json={"content": ""}),
        "rights": bot.put(f"{DEPLOY}/collaborators/developer", json={"permission": "admin"}),
        "deploy key": bot.post(f"{DEPLOY}/keys", json={"title": "k", "key": "ssh-ed25519 AAAA"}),
        "default branch": bot.patch(DEPLOY, json={"default_branch": "probe"}),
        "users": bot.get("/admin/users"),
    }
    allowed = {name: a.status_code for name, a in tried.items() if a.status_code not in (403, 404)}
    assert allowed == {}


# The pipeline and the cluster


def test_the_pipeline_reads_no_cluster(platform: Platform, store: dict, tmp_path: Path) -> None:
    """Neither with what its environment and its home lead kubectl to, nor with any secret that it holds.

    Its process is root's on this machine and could open the kubeconfig; in Jenkins it is a Pod without a token.
    """
    processes = {p["name"]: p["pid"] for p in Supervisor(platform.state / "supervisor").processes()}
    raw = Path(f"/proc/{processes[pipeline.NAME]}/environ").read_bytes().decode()
    environment = dict(line.split("=", 1) for line in raw.split("\0") if line)
    settings = json.loads((platform.state / "pipeline" / "receiver.yaml").read_text())
    environment |= settings["environment"]
    admin = yaml.safe_load(platform.cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = tmp_path / "ca.crt"
    authority.write_bytes(base64.b64decode(admin["certificate-authority-data"]))
    kubectl = [
        toolchain.tool("kubectl"),
        f"--server={admin['server']}",
        f"--certificate-authority={authority}",
    ]
    assert platform.cluster.get("--namespace", "prod", "secrets")["items"]
    for what in ("secrets", "pods"):
        asked = [*kubectl, "--namespace=prod", "get", what]
        done = subprocess.run(
            asked, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
        # It finds no credential and asks for one, or is refused with what it found.
        assert re.search("Please enter Username|Unauthorized|Forbidden", said), said

    known = [Path(settings["secret_file"]).read_text().strip()]
    known += [value for one in store.values() for name, value in one.items() if name != "file"]
    known += [value for name, value in environment.items() if "TOKEN" in name or "PASSWORD" in name]
    trust = ssl.create_default_context(cafile=str(authority))
    with httpx.Client(base_url=admin["server"], verify=trust, timeout=30) as api:
        answers = [api.get("/api/v1/namespaces/prod/secrets")]
        for value in known:
            headers = {"Authorization": f"Bearer {value}"}
            answers.append(api.get("/api/v1/namespaces/prod/secrets", headers=headers))
            answers.append(api.get("/api/v1/namespaces/prod/secrets", auth=("slipway-bot", value)))
    assert len(answers) >= 7 and {answer.status_code for answer in answers} <= {401, 403}


# The registry


def test_no_image_tag_is_overwritten(platform: Platform) -> None:
    """The tag that prod runs refuses another image, and cannot be deleted first; a new tag is taken."""
    name = f"{config.ORGANISATION}/board-backend"
    tag = platform.version("prod")["version"]
    with httpx.Client(base_url=config.REGISTRY_URL, timeout=30) as registry:
        before = held(registry, name, tag)
        assert before == platform.version("prod")["digest"]
        refused = push(registry, name, tag, "not what was scanned and signed")
        assert refused.status_code == 403 and "tags never move" in refused.text
        for what in (tag, before):
            assert registry.delete(f"/v2/{name}/manifests/{what}").status_code == 405
        assert held(registry, name, tag) == before
        assert push(registry, f"{name}-probe", "new", "anything").status_code == 201


# Argo CD

GROUPS = {"probe-developer": "slipway:developers", "probe-operator": "slipway:operators"}
"""Local accounts that stand in for members of the identity provider's groups, which the platform does not have."""


@pytest.fixture(scope="module")
def tokens(platform: Platform) -> Iterator[dict[str, str]]:
    """A token of each account; the accounts that are only for this are gone afterwards."""
    rules = "".join(f"g, {account}, {group}\n" for account, group in GROUPS.items())
    change(platform, "configmap/argocd-cm", {f"accounts.{account}": "apiKey" for account in GROUPS})
    change(platform, "configmap/argocd-rbac-cm", {"policy.probe.csv": rules})
    try:
        issued = {
            account: eventually(lambda account=account: issue(platform, account), 60, f"{account} exists")
            for account in GROUPS
        }
        for token in issued.values():
            eventually(lambda token=token: read(token).status_code == 200, 60, "the groups' rules hold")
        own = {"slipway": argocd.TOKEN, "board": argocd.BOARD_TOKEN}
        yield issued | {account: platform.secrets.get(name) for account, name in own.items()}
    finally:
        change(platform, "configmap/argocd-rbac-cm", {"policy.probe.csv": None})
        change(platform, "configmap/argocd-cm", dict.fromkeys(f"accounts.{a}" for a in GROUPS))
        change(platform, "secret/argocd-secret", dict.fromkeys(f"accounts.{a}.tokens" for a in GROUPS))


def change(platform: Platform, what: str, data: dict[str, str | None]) -> None:
    """Set or remove keys of Argo CD's settings."""
    patch = json.dumps({"data": data})
    platform.cluster.kubectl("--namespace", "argocd", "patch", what, "--type=merge", f"--patch={patch}")


def issue(platform: Platform, account: str) -> str | None:
    """A token of a local account, from the administrator."""
    found = platform.cluster.get("--namespace", "argocd", "secret", "argocd-initial-admin-secret")
    login = {"username": "admin", "password": base64.b64decode(found["data"]["password"]).decode()}
    with httpx.Client(base_url=f"{argocd.URL}/api/v1", timeout=30) as api:
        session = api.post("/session", json=login).raise_for_status().json()["token"]
        headers = {"Authorization": f"Bearer {session}"}
        answer = api.post(f"/account/{account}/token", json={"name": account}, headers=headers)
        return answer.json()["token"] if answer.status_code == 200 else None


def read(token: str) -> httpx.Response:
    """Dev's Application, as the holder of a token sees it."""
    return ask(token, "GET", APPLICATION)


def ask(token: str, method: str, path: str, body: object = None) -> httpx.Response:
    """One request to Argo CD."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return httpx.request(method, f"{argocd.URL}/api/v1{path}", json=body, headers=headers, timeout=60)


APPLICATION = "/applications/dev-board"


def overrides(application: dict) -> dict[str, tuple[str, str, object]]:
    """Every way past Git that Argo CD's API has, by name."""
    spec = json.loads(json.dumps(application["spec"]))
    older = next((one["revision"] for one in application["status"].get("history", [])), "0" * 40)
    other = {**spec, "source": {**spec["source"], "targetRevision": "older"}}
    images = {"spec": {"source": {"kustomize": {"images": ["board-backend=example.org/other:1"]}}}}
    patch = {"name": "dev-board", "patch": json.dumps(images), "patchType": "merge"}
    metadata = {"name": "dev-probe", "namespace": "argocd"}
    made = {"metadata": metadata, "spec": spec}
    pod = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "namespace": "dev"}}
    where = "namespace=dev&resourceName=board-backend&version=v1&group=apps&kind=Deployment"
    return {
        "sync another revision": ("POST", f"{APPLICATION}/sync", {"revision": "HEAD~1"}),
        "sync an older commit": ("POST", f"{APPLICATION}/sync", {"revision": f"{older[:-1]}x"}),
        "sync manifests of one's own": ("POST", f"{APPLICATION}/sync", {"manifests": [json.dumps(pod)]}),
        "roll back": ("POST", f"{APPLICATION}/rollback", {"id": 0}),
        "another target revision": ("PUT", f"{APPLICATION}/spec", other),
        "another image": ("PATCH", APPLICATION, patch),
        "replace the Application": (
            "PUT",
            APPLICATION,
            {"metadata": application["metadata"], "spec": other},
        ),
        "an Application of one's own": ("POST", "/applications", made),
        "delete the Application": ("DELETE", f"{APPLICATION}?cascade=false", None),
        "change a resource": ("POST", f"{APPLICATION}/resource?{where}&patchType=application/json", "{}"),
        "delete a resource": ("DELETE", f"{APPLICATION}/resource?{where}", None),
        "change the project": ("PUT", "/projects/dev", {"project": {"metadata": {"name": "dev"}}}),
        "add a repository": ("POST", "/repositories", {"repo": "https://example.org/other"}),
        "add a cluster": ("POST", "/clusters", {"server": "https://example.org", "name": "other"}),
    }


@pytest.mark.parametrize("account", ["probe-developer", "probe-operator", "slipway", "board"])
def test_nobody_overrides_what_git_says(platform: Platform, tokens: dict[str, str], account: str) -> None:
    """No revision, no parameter, no manifest, no Application: permission denied to whoever may read it."""
    application = read(tokens[account]).raise_for_status().json()
    tried = {name: ask(tokens[account], *request).json() for name, request in overrides(application).items()}
    passed = {name: answer for name, answer in tried.items() if answer.get("code") != PERMISSION_DENIED}
    assert passed == {}
    assert platform.application("dev-board")["spec"] == application["spec"]


PERMISSION_DENIED = 7
"""gRPC's code, in the body of Argo CD's answer."""


def test_an_operator_syncs_and_a_developer_does_not(platform: Platform, tokens: dict[str, str]) -> None:
    """What Git says, and with its own revision; a developer pushes instead."""
    refused = ask(tokens["probe-developer"], "POST", f"{APPLICATION}/sync", {})
    assert refused.status_code == 403, refused.text
    platform.settled("dev-board")
    allowed = ask(tokens["probe-operator"], "POST", f"{APPLICATION}/sync", {})
    assert allowed.status_code == 200, allowed.text
    platform.settled("dev-board")


def test_a_token_of_nobody_reads_nothing(tokens: dict[str, str]) -> None:
    """Without one, and with one that was not issued."""
    assert read(tokens["probe-developer"]).status_code == 200
    assert read("nothing").status_code == 401
    assert httpx.get(f"{argocd.URL}/api/v1{APPLICATION}", timeout=30).status_code == 401


# Pods


def pod(**change: object) -> dict:
    """A Pod that Pod Security `restricted` takes, with one thing changed: of its container, or by `spec_`."""
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    of_spec = {name.removeprefix("spec_"): value for name, value in change.items() if name[:5] == "spec_"}
    of_container = {name: value for name, value in change.items() if name[:5] != "spec_"}
    asked = {"cpu": "1m", "memory": "1Mi"}
    container = {
        "name": "probe",
        "image": "example.org/probe:1",
        "securityContext": {n: v for n, v in (security | of_container).items() if v is not None},
        "resources": {"requests": asked, "limits": asked},
    }
    spec = {"containers": [container], **of_spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}


VIOLATIONS = {
    "privileged": {"privileged": True, "allowPrivilegeEscalation": None},
    "may gain privileges": {"allowPrivilegeEscalation": True},
    "keeps capabilities": {"capabilities": None},
    "adds a capability": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
    "may be root": {"runAsNonRoot": None},
    "is root": {"runAsUser": 0},
    "has no seccomp profile": {"seccompProfile": None},
    "sees the node's files": {"spec_volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
    "sees the node's network": {"spec_hostNetwork": True},
    "sees the node's processes": {"spec_hostPID": True},
}


@pytest.mark.parametrize("environment", config.ENVIRONMENTS)
def test_a_pod_that_violates_restricted_is_refused(platform: Platform, environment: str) -> None:
    """By the API server, whoever asks, here the administrator; the same Pod without the violation is taken."""
    create = ("--namespace", environment, "create", "--dry-run=server", "-f", "-")
    platform.cluster.kubectl(*create, input=json.dumps(pod()))
    for what, changed in VIOLATIONS.items():
        with pytest.raises(CommandFailed) as refused:
            platform.cluster.kubectl(*create, input=json.dumps(pod(**changed)))
        assert 'violates PodSecurity "restricted:' in refused.value.output, (what, refused.value.output)
