"""`slipway bootstrap`: what it refuses, what it would do, what it does, and that it does it once."""

from __future__ import annotations

import json
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from slipway.commands.bootstrap import command
from slipway.errors import SlipwayError
from slipway.platform import argocd

FAKE = Path(__file__).with_name("fake_kubectl.py")
EKS, PLAIN = "v1.36.2-eks-0a1b2c3", "v1.37.2"
EXTERNAL_SECRETS = "customresourcedefinition/externalsecrets.external-secrets.io"
ARGOCD = "deployment/argocd-server"


INSTALLATION, ENVIRONMENTS = argocd.installation, argocd.environments


@cache
def rendered(kind: str) -> tuple[str, str]:
    """What is applied, rendered once for all tests but the one that is about rendering."""
    with tempfile.TemporaryDirectory() as workspace:
        return INSTALLATION(kind, Path(workspace)), ENVIRONMENTS(kind)


class Lab:
    """A cluster in a file, and the command on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        tool = folder / "bin" / "kubectl"
        tool.parent.mkdir()
        tool.write_text(FAKE.read_text().replace("#!/usr/bin/env python3", f"#!{sys.executable}"))
        tool.chmod(0o755)
        self.file = folder / "cluster.json"
        monkeypatch.setenv("SLIPWAY_TOOLS_PATH", str(tool.parent))
        monkeypatch.setenv("FAKE_CLUSTER", str(self.file))
        monkeypatch.setattr(argocd, "installation", lambda kind, workspace: rendered(kind)[0])
        monkeypatch.setattr(argocd, "environments", lambda kind: rendered(kind)[1])
        self.is_like()

    def is_like(self, version: str = EKS, *objects: str) -> None:
        """Begin anew, with a few objects."""
        made = {
            one: {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": one}}
            for one in (EXTERNAL_SECRETS, *objects)
        }
        state = {"version": version, "contexts": ["prod", "other"], "objects": made, "calls": []}
        self.file.write_text(json.dumps(state))

    @property
    def state(self) -> dict:
        return json.loads(self.file.read_text())

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(command, [*arguments], catch_exceptions=False)

    def done(self, *arguments: str) -> dict:
        """A run that must pass; its JSON."""
        result = self.run("--context", "prod", "--json", *arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    def refused(self, *arguments: str) -> str:
        """A run that must be refused, and must have changed nothing; its error as a user reads it."""
        before = self.state
        with pytest.raises(SlipwayError) as error:
            self.run(*arguments)
        assert self.state == before
        return error.value.render()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A new EKS cluster with External Secrets."""
    return Lab(tmp_path, monkeypatch)


def test_the_context_has_no_default(lab: Lab) -> None:
    """Whatever the kubeconfig's current one is."""
    result = lab.run()
    assert result.exit_code == 2 and "--context" in result.output
    assert lab.state["calls"] == []


def test_an_unknown_context_is_refused_with_the_known_ones(lab: Lab) -> None:
    """By its name."""
    text = lab.refused("--context", "production")
    assert "there is no context production" in text and "other, prod" in text


@pytest.mark.parametrize(
    ("version", "kind", "objects", "says"),
    [
        (PLAIN, "eks", (), "is no cluster of the kind eks: it runs v1.37.2"),
        (EKS, "local", (), "is no cluster of the kind local"),
        (EKS, "eks", (ARGOCD,), "has an Argo CD that Slipway did not install"),
    ],
)
def test_the_wrong_cluster_is_refused(
    lab: Lab, version: str, kind: str, objects: tuple[str, ...], says: str
) -> None:
    """With its name, its address and what to do; nothing was applied."""
    lab.is_like(version, *objects)
    text = lab.refused("--context", "prod", "--kind", kind)
    assert says in text and "prod (https://prod.invalid)" in text and "fix: " in text


def test_without_external_secrets_it_is_refused(lab: Lab) -> None:
    """Argo CD would come up without its secrets."""
    state = lab.state
    del state["objects"][EXTERNAL_SECRETS]
    lab.file.write_text(json.dumps(state))
    assert "no External Secrets" in lab.refused("--context", "prod")


def test_a_dry_run_says_everything_and_changes_nothing(lab: Lab) -> None:
    """Argo CD's workloads, our secrets, the projects: all of it would be created."""
    before = lab.state
    told = lab.done("--dry-run")
    assert lab.state == before
    wanted = {
        "Deployment.apps/argocd-server",
        "StatefulSet.apps/argocd-redis-ha-server",
        "ExternalSecret.external-secrets.io/nonprod-cluster",
        "AppProject.argoproj.io/prod",
        "ApplicationSet.argoproj.io/dev",
    }
    assert wanted <= set(told["created"]) and told["changed"] == told["unchanged"] == []
    assert told["server"] == "https://prod.invalid" and told["dry_run"] is True


def test_argocd_is_there_before_what_it_deploys(lab: Lab) -> None:
    """Kinds, then workloads, then projects; then a note in the cluster."""
    told = lab.done()
    assert "AppProject.argoproj.io/prod" in told["created"]
    calls = lab.state["calls"]
    assert [call.split()[0] for call in calls] == ["apply", "wait", "wait", "rollout", "apply", "apply"]
    assert calls[-1] == "apply 1" and "configmap/slipway-bootstrapped" in lab.state["objects"]


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    """And says so; what somebody changed meanwhile is put back, and named."""
    created = lab.done()["created"]
    again = lab.done()
    assert (again["created"], again["changed"], sorted(again["unchanged"])) == ([], [], sorted(created))
    state = lab.state
    state["objects"]["configmap/argocd-cm"]["data"]["exec.enabled"] = "true"
    lab.file.write_text(json.dumps(state))
    assert lab.done("--dry-run")["changed"] == ["ConfigMap/argocd-cm"]
    assert lab.state["objects"]["configmap/argocd-cm"]["data"]["exec.enabled"] == "true"
    assert lab.done()["changed"] == ["ConfigMap/argocd-cm"]
    assert lab.state["objects"]["configmap/argocd-cm"]["data"]["exec.enabled"] == "false"


@pytest.mark.parametrize("known", ["configmap/slipway-bootstrapped", "configmap/slipway-applied", None])
def test_our_own_argocd_is_known_again_and_another_one_adopted_when_told(lab: Lab, known: str | None) -> None:
    """By the note of this command, or of `slipway up`; else by --adopt alone."""
    lab.is_like(EKS, ARGOCD, *([known] if known else []))
    arguments: list[str] = [] if known else ["--adopt"]
    assert "AppProject.argoproj.io/prod" in lab.done(*arguments)["created"]


def test_people_read_the_same(lab: Lab) -> None:
    """One line an object, and how many stay."""
    text = lab.run("--context", "prod", "--dry-run").output
    assert text.startswith("prod (https://prod.invalid):\n")
    assert "  would be created  Deployment.apps/argocd-server\n" in text
    assert text.endswith("  would be unchanged  0 objects\n")


def test_rendering_fetches_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release that EKS names by its address comes from the pinned module: there is no git to fetch it with."""
    monkeypatch.setattr(argocd, "installation", INSTALLATION)
    monkeypatch.setattr(argocd, "environments", ENVIRONMENTS)
    monkeypatch.setenv("PATH", "")
    assert lab.done("--dry-run")["created"]
