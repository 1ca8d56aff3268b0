"""Argo CD deploys no commit that is not signed, as on EKS: the policy in Git, judged by the platform's own Argo CD.

An Application that nobody syncs follows a branch that only this file writes; its project asks for signatures as the
projects on EKS do, by a key of the test's own. The commits are signed by what signs those of `slipway bump`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pysequoia import Tsk
from slipway import paths
from slipway.git.checkout import Checkout, TreeEntry
from slipway.git.signing import KEY
from slipway.platform import config

from .conftest import Platform, eventually

NAME = "signed-commits"
POLICY = paths.CHECKOUT / "argocd" / "clusters" / "eks" / "demand-signatures.yaml"
KEYRING = ("--namespace", "argocd", "configmap", "argocd-gpg-keys-cm")


class Branch:
    """A branch of the deploy repository, from nothing; a commit says whose key signs it."""

    def __init__(self, folder: Path, platform: Platform):
        self.folder, self.url = folder, platform.remote("deploy")
        self.name, self.head = platform.branch(NAME), ""
        subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)

    def git(self, *arguments: str, text: str = "") -> str:
        identity = {f"GIT_{who}_{what}": "slipway@slipway.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip
        argv = ["git", "-C", self.folder, *arguments]
        env = {**os.environ, **identity}
        return subprocess.run(
            argv, env=env, input=text, check=True, capture_output=True, text=True
        ).stdout.strip()

    def push(self, key: Path | None, message: str) -> str:
        """Push a commit on top of the last one; its id."""
        manifest = (
            f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {NAME}\ndata:\n  at: '{time.time_ns()}'\n"
        )
        blob = self.git("hash-object", "-w", "--stdin", text=manifest)
        checkout = Checkout(self.folder)
        tree = checkout.make_tree([TreeEntry("100644", "blob", blob, "config-map.yaml")])
        parent = ["-p", self.head] if self.head else []
        commit = self.git("commit-tree", tree, *parent, "-m", message)
        with pytest.MonkeyPatch.context() as patch:
            if key:
                patch.setenv(KEY, str(key))
                commit = checkout.sign(commit)
            checkout.push(self.url, commit, self.name)
        self.head = commit
        return commit


def key_of(name: str, folder: Path) -> tuple[Path, str, str]:
    """A new key: the file of its secret half, its id, and its public half."""
    key = Tsk.generate(user_id=f"{name} <{name}@slipway.invalid>")
    file = folder / f"{name}.asc"
    file.write_text(str(key))
    public = key.extract_certificate()
    return file, public.fingerprint.upper()[-16:], str(public)


@pytest.fixture
def branch(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Branch]:
    """The branch; afterwards neither it is left, nor what followed it."""
    monkeypatch.setenv("SLIPWAY_GIT_USERNAME", "developer")
    monkeypatch.setenv("SLIPWAY_GIT_PASSWORD", platform.secrets.get("forge-developer"))
    made = Branch(tmp_path / "branch", platform)
    try:
        yield made
    finally:
        for kind in ("application", "appproject"):
            platform.cluster.kubectl("--namespace", "argocd", "delete", kind, NAME, "--ignore-not-found")
        platform.cluster.kubectl("patch", *KEYRING, "--type=merge", '--patch={"data": null}')
        with platform.api("developer") as api:
            api.delete(f"/repos/{config.ORGANISATION}/deploy/branches/{made.name}")


def follow(platform: Platform, branch: Branch, key: str) -> None:
    """Have an Application of a project with EKS's policy follow the branch."""
    (patch,) = yaml.safe_load(POLICY.read_text())
    (policy,) = patch["value"]["git"]["policies"]
    policy["gpg"]["keys"] = [key]
    meta = {"name": NAME, "namespace": "argocd"}
    where = {"server": "https://kubernetes.default.svc", "namespace": NAME}
    project = {"sourceRepos": [branch.url], "destinations": [where], "sourceIntegrity": patch["value"]}
    source = {"repoURL": branch.url, "targetRevision": branch.name, "path": "."}
    application = {"project": NAME, "source": source, "destination": where}
    kinds = {"AppProject": project, "Application": application}
    api = {"apiVersion": "argoproj.io/v1alpha1", "metadata": meta}
    objects = [api | {"kind": kind, "spec": spec} for kind, spec in kinds.items()]
    platform.cluster.apply("\n---\n".join(map(json.dumps, objects)), manager="signed-commits")


def judged(platform: Platform, commit: str) -> list[str]:
    """What Argo CD has against a commit, once it has looked at it."""
    platform.compared(NAME)

    def looked() -> dict | None:
        status = platform.application(NAME).get("status", {})
        return status if status.get("sync", {}).get("revision") == commit else None

    status = eventually(looked, 60, f"Argo CD looks at {commit[:12]}")
    return [one["message"] for one in status.get("conditions", []) if one["type"].endswith("Error")]


def test_an_unsigned_commit_is_not_deployed_nor_what_comes_after_it(
    platform: Platform, branch: Branch, tmp_path: Path
) -> None:
    """By a key that is not named neither; and only a signed commit that says so makes good what is below it."""
    mine, key, public = key_of("pipeline", tmp_path)
    other, _, _ = key_of("somebody", tmp_path)
    platform.cluster.kubectl("patch", *KEYRING, "--patch", json.dumps({"data": {key: public}}))
    # A Pod that changes is looked at by the kubelet now, with the files that it mounts; else in a minute or two.
    repo_server = ("--namespace", "argocd", "pods", "--selector=app.kubernetes.io/name=argocd-repo-server")
    platform.cluster.kubectl("annotate", "--overwrite", *repo_server, f"slipway.local/keyring={key}")

    first = branch.push(mine, "signed")
    follow(platform, branch, key)
    eventually(lambda: judged(platform, first) == [], 150, "a signed commit is good", every=2)

    unsigned = branch.push(None, "by whoever has the login")
    (message,) = judged(platform, unsigned)
    assert unsigned in message and "unsigned" in message
    (message,) = judged(platform, branch.push(mine, "signed again, on top of it"))
    assert unsigned in message
    sealed = branch.push(mine, "We looked at it\n\nArgocd-gpg-seal: it is what it says")
    assert judged(platform, sealed) == []
    foreign = branch.push(other, "signed by somebody")
    (message,) = judged(platform, foreign)
    assert foreign in message
