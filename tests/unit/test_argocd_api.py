"""What may be called live and healthy, by what Argo CD tells of an application."""

from datetime import UTC, datetime, timedelta

import pytest
from slipway.argocd_api import ArgoCD, open_argocd, parse_application
from slipway.errors import InvalidInput, RemoteRefused
from slipway.registry.references import Reference

from tests.cli.promote_lab import TOKEN, ArgoServer, application

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
IMAGE = f"registry.example/board@{NEW}"
WANTED = [Reference("registry.example/board", "v2", NEW)]


def app(*images, since=NOW, deployed=None, **status):
    """The application, with parts of its status replaced."""
    data = application("staging", "board", "a" * 40, *images, since=since, deployed=deployed)
    data["status"] |= status
    return parse_application(data)


def test_live_and_healthy():
    """Synced, healthy, nothing running, and exactly the digests that Git names."""
    found = app(IMAGE, "registry.example/sidecar:v1")
    assert found.unsettled() is None and found.differs(WANTED) is None
    assert (found.name, found.path, found.revision) == ("staging-board", "overlays/staging/board", "a" * 40)
    assert found.target == "refs/heads/main" and found.since == NOW


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"sync": {"status": "OutOfSync", "revision": "a" * 40}}, "it is OutOfSync"),
        ({"sync": {"status": "Synced"}}, "it is Synced"),
        ({"sync": {"status": "Unknown"}}, "it is Unknown"),
        ({"sync": None}, "of unknown sync"),
        ({"health": {"status": "Progressing"}}, "it is Progressing"),
        ({"health": {"status": "Degraded"}}, "it is Degraded"),
        ({"health": {"status": "Suspended"}}, "it is Suspended"),
        ({"health": {}}, "of unknown health"),
        ({"operationState": {"phase": "Running"}}, "a sync is running"),
        ({"operationState": {"phase": "Terminating"}}, "a sync is running"),
        ({"conditions": [{"type": "ComparisonError", "message": "render failed"}]}, "ComparisonError: render failed"),
        ({"conditions": [{"type": "SyncError", "message": "no"}]}, "SyncError: no"),
    ],
)  # fmt: skip
def test_everything_else_is_unsettled(status, reason):
    """Each sign of trouble is enough, and is named."""
    assert reason in app(IMAGE, **status).unsettled()


def test_an_operation_that_was_only_asked_for_counts():
    """A sync that is asked for has not begun, and will change what runs."""
    data = application("staging", "board", "a" * 40, IMAGE, since=NOW) | {"operation": {"sync": {}}}
    assert parse_application(data).unsettled() == "a sync is running"


def test_warnings_do_not_count():
    """An orphaned resource is none of the application's images."""
    warning = [{"type": "OrphanedResourceWarning", "message": "1 orphan"}]
    assert app(IMAGE, conditions=warning).unsettled() is None


def test_C4_missing_status_is_not_healthy():
    """An application of which nothing is known is not live."""
    found = parse_application({"metadata": {"name": "x"}})
    assert found.unsettled() and found.since is None and found.differs(WANTED)


def test_C2_healthy_counts_from_the_last_sync():
    """Healthy throughout a rollout, as Argo CD may see it, counts from the end of that rollout."""
    earlier = NOW - timedelta(hours=5)
    assert app(IMAGE, since=earlier, deployed=NOW).since == NOW
    assert app(IMAGE, since=NOW, deployed=earlier).since == NOW
    assert app(IMAGE, since=NOW, history=[]).since == NOW
    assert app(IMAGE, health={"status": "Healthy"}).since is None


@pytest.mark.parametrize(
    ("images", "text"),
    [
        ([], "no Pod of it runs"),
        ([f"registry.example/board@{OLD}"], "no Pod of it runs"),
        (["registry.example/board:v2"], "no Pod of it runs"),
        ([f"registry.example/board-2@{NEW}"], "no Pod of it runs"),
        ([IMAGE, f"registry.example/board@{OLD}"], f"run another board beside {NEW}: {OLD}"),
        ([IMAGE, "registry.example/board:v2"], "one without a digest"),
        (["Not An Image"], "no Pod of it runs"),
    ],
)
def test_C1_other_images_are_told(images, text):
    """Old Pods that still drain, a tag without digest, another image: then it is not this build that is live."""
    assert text in app(*images).differs(WANTED)


def test_several_sources_are_none_that_is_known():
    """An application of several sources has no one path to compare."""
    data = application("staging", "board", "a" * 40, IMAGE, since=NOW)
    data["spec"]["sources"] = [data["spec"]["source"]]
    assert parse_application(data).path is None


def test_the_server_is_asked_with_the_token():
    """Name and token arrive; an application that is not there, or not for this account, is a refusal."""
    with ArgoServer() as lab:
        lab.runs("staging", "board", "a" * 40, IMAGE)
        assert ArgoCD(lab.url, TOKEN).application("staging-board").unsettled() is None
        assert lab.requests == [("GET", "/api/v1/applications/staging-board", f"Bearer {TOKEN}")]
        with pytest.raises(RemoteRefused, match="permission denied") as caught:
            ArgoCD(lab.url, TOKEN).application("staging-other")
        assert "ARGOCD_AUTH_TOKEN" in caught.value.fix
        with pytest.raises(RemoteRefused, match="no session information") as caught:
            ArgoCD(lab.url, "wr0ng").application("staging-board")
        assert "wr0ng" not in caught.value.render()


def test_C22_missing_settings_are_named(monkeypatch):
    """Without an address or a token the variable is named; a bare host name means HTTPS."""
    for name in ("ARGOCD_SERVER", "ARGOCD_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidInput, match="which Argo CD") as caught:
        open_argocd()
    assert "ARGOCD_SERVER" in caught.value.fix and "--from-git" in caught.value.fix
    with pytest.raises(InvalidInput, match="ARGOCD_AUTH_TOKEN is not set"):
        open_argocd("argocd.example")
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", TOKEN)
    assert "https://argocd.example/api/v1" in str(open_argocd("argocd.example")._rest._client.base_url)
    with pytest.raises(InvalidInput, match="unencrypted"):
        open_argocd("http://argocd.example")


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("argocd-server.argocd.svc", True),
        ("argocd-server.argocd.svc.cluster.local", True),
        ("10.250.1.2:30080", True),
        ("argocd.svc.example.com", False),
        ("8.8.8.8", False),
    ],
)
def test_a_token_goes_unencrypted_only_where_nobody_outside_listens(host, told, monkeypatch):
    """A Service of the cluster and a private address; a public name that looks like one is refused."""
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", TOKEN)
    if told:
        assert open_argocd(f"http://{host}")
    else:
        with pytest.raises(InvalidInput, match="unencrypted"):
            open_argocd(f"http://{host}")
