"""What a promotion would ship: commits, images, and what stands against it."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from board_backend import registry as board_registry
from board_testing import Backend, an_event, until
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from slipway.registry.attestations import PREDICATE, predicate
from slipway.registry.references import Reference

from tests.cli.bump_lab import BACKEND, OCI, Deploy, Registry, kustomization, sha
from tests.cli.dora_lab import Repo

KEY = ec.generate_private_key(ec.SECP256R1())
POLICIES = {
    "overlays/dev/environment.yaml": "name: dev\norder: 1\ndelivery: direct\n",
    "overlays/prod/environment.yaml": "name: prod\norder: 2\nfrom: dev\ndelivery: direct\n"
    "signature: {required: true, key: cosign.pub}\n",
    "overlays/prod/cosign.pub": KEY.public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode(),
}


def pushed(registry: Registry, tag: str, size: int, revision: str) -> str:
    """An image whose layers have that size together; its digest."""
    repository = BACKEND.partition("/")[2]
    registry.push(BACKEND, tag, revision=revision)
    _, raw = registry.manifests[repository, tag]
    manifest = json.loads(raw) | {"layers": [{"size": size - 1}, {"size": 1}]}
    body = json.dumps(manifest).encode()
    registry.manifests[repository, sha(body)] = registry.manifests[repository, tag] = (OCI, body)
    return sha(body)


def attest(registry: Registry, digest: str, *severities: str) -> None:
    """A signed statement of what a scan found, under the tag that registries without referrers have it at."""
    report = {"database": "d", "packages": 1, "scanned": "2026-03-02T08:00:00+00:00"}
    report["findings"] = [{"severity": severity} for severity in severities]
    subject = [{"name": BACKEND, "digest": {"sha256": digest.partition(":")[2]}}]
    payload = json.dumps(
        {"subject": subject, "predicateType": PREDICATE, "predicate": predicate(report)}
    ).encode()
    kind = b"application/vnd.in-toto+json"
    signed = KEY.sign(
        b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload), ec.ECDSA(hashes.SHA256())
    )
    coded = [base64.b64encode(part).decode() for part in (payload, signed)]
    bundle = {
        "dsseEnvelope": {"payload": coded[0], "payloadType": kind.decode(), "signatures": [{"sig": coded[1]}]}
    }
    bundle = json.dumps(bundle).encode()
    registry.blobs[sha(bundle)] = bundle
    layer = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "digest": sha(bundle)}
    manifest = json.dumps({"mediaType": OCI, "layers": [layer]}).encode()
    index = json.dumps({"mediaType": OCI, "manifests": [{"digest": sha(manifest)}]}).encode()
    repository = BACKEND.partition("/")[2]
    registry.manifests[repository, sha(manifest)] = (OCI, manifest)
    registry.manifests[repository, digest.replace(":", "-")] = (OCI, index)


class World:
    """dev runs s3, prod runs s1; both images are in the registry, and in the deploy repository."""

    def __init__(self, registry: Registry, folder):
        self.source = Repo.create(folder / "source.git")
        self.commits = [self.source.commit(f"change {n}", {"a": str(n)}, n) for n in range(1, 4)]
        self.tags = [f"main-{commit[:7]}" for commit in self.commits]
        self.digests = [pushed(registry, tag, 1000 + n, self.commits[n]) for n, tag in enumerate(self.tags)]
        files = {
            f"overlays/{env}/shop/kustomization.yaml": self._names(n) for env, n in (("dev", 2), ("prod", 0))
        }
        self.deploy = Deploy.create(folder / "deploy.git", POLICIES | files)

    def _names(self, number: int) -> str:
        return kustomization((BACKEND, self.tags[number], self.digests[number]))

    def image(self, number: int) -> str:
        return f"{BACKEND}:{self.tags[number]}@{self.digests[number]}"

    def settings(self) -> dict[str, str]:
        return {"source_repo": str(self.source.path), "deploy_repo": str(self.deploy.path)}

    def tell(self, backend: Backend, environment: str, number: int, minute: int) -> None:
        event = an_event(minute=minute, environment=environment, images=[self.image(number)])
        assert backend.send(event).is_success


@pytest.fixture
def registry(monkeypatch):
    """A registry on loopback that stands for the one in the images' names."""
    with Registry() as server:
        monkeypatch.setenv("SLIPWAY_REGISTRY_MIRRORS", server.mirrors)
        yield server


@pytest.fixture
def world(registry, tmp_path) -> World:
    return World(registry, tmp_path)


@pytest.fixture
def backend(world, start, url) -> Backend:
    """The board over that world, everything read."""
    backend = start(url, **world.settings())
    world.tell(backend, "dev", 2, 3)
    world.tell(backend, "prod", 0, 1)
    settled(backend)
    return backend


def settled(backend: Backend) -> None:
    until(lambda: backend.http.get("/api/status").is_success, what="the table is read")
    names = ("deploy", "source")

    def states() -> set[str]:
        return {one["state"] for one in backend.get("/api/status")["sources"] if one["name"] in names}

    until(lambda: states() == {"ok"}, what="both repositories are read")
    until(lambda: len(backend.get("/api/now")["environments"]) == 2, what="the policies are seen")
    backend.caught_up()


def promotion(backend: Backend, **query: str) -> dict:
    return backend.get("/api/promotion", **{"application": "shop", "to": "prod"} | query)


def test_a_promotion_shows_the_commits_it_would_ship(backend, world):
    """Newest first, with who wrote them and how long they wait; the source is the policy's."""
    found = promotion(backend)
    assert (found["from"], found["to"], found["state"], found["blocked"]) == ("dev", "prod", "ready", [])
    assert [(one["commit"], one["subject"], one["author"]) for one in found["commits"]] == [
        (world.commits[2], "change 3", "a"),
        (world.commits[1], "change 2", "a"),
    ]
    for one in found["commits"]:
        waited = datetime.now(UTC) - datetime.fromisoformat(one["committed_at"])
        assert abs(one["waiting_seconds"] - waited.total_seconds()) <= 61
    assert found["notes"] == []


def test_a_promotion_shows_what_the_registry_tells_of_both_images(backend, world, registry):
    """Size, age, commit; vulnerabilities only where a signed scan says so. Asked once for a digest."""
    attest(registry, world.digests[2], "high", "high", "unscored")
    (pair,) = promotion(backend)["images"]
    assert pair["name"] == BACKEND
    assert pair["from"] == {
        "tag": world.tags[2], "digest": world.digests[2], "size": 1002, "created": "2026-11-23T10:00:00Z",
        "revision": world.commits[2],
        "vulnerabilities": {"critical": 0, "high": 2, "medium": 0, "low": 0, "unknown": 1},
    }  # fmt: skip
    assert (pair["to"]["size"], pair["to"]["vulnerabilities"]) == (1000, None)
    asked = len(registry.requests)
    promotion(backend)
    assert len(registry.requests) == asked


def test_what_runs_on_both_sides_needs_no_promotion(backend, world):
    """And what would take commits back says how many."""
    world.tell(backend, "prod", 2, 4)
    backend.caught_up()
    assert (promotion(backend)["state"], promotion(backend)["commits"]) == ("nothing", [])
    world.tell(backend, "dev", 1, 5)
    backend.caught_up()
    found = promotion(backend)
    assert (found["state"], found["commits"]) == ("ready", [])
    assert found["notes"] == ["it would take back 1 commits that the target runs"]


def test_what_stands_against_it_is_told_with_the_time_at_which_it_opens(backend, world):
    """A hold, and a freeze."""
    end = (datetime.now(UTC) + timedelta(days=1)).replace(second=0, microsecond=0)
    policy = POLICIES["overlays/prod/environment.yaml"] + (
        "holds: [{app: shop, reason: v3 loses orders, since: '2026-03-01T09:30:00Z', by: ana}]\n"
        "freezes: [{name: audit, reason: the books, timezone: UTC, start: '2026-01-01T00:00', "
        f"end: '{end:%Y-%m-%dT%H:%M}'}}]\n"
    )
    world.deploy.commit("prod is closed", {"overlays/prod/environment.yaml": policy})
    blocked = until(lambda: promotion(backend)["blocked"], what="the policy is read")
    assert blocked == [
        "shop is held in prod since 2026-03-01 09:30 by ana: v3 loses orders",
        f"prod is frozen (audit: the books); it opens at {end:%Y-%m-%d %H:%M} UTC",
    ]


def test_a_registry_that_is_away_or_slow_holds_nothing_up(backend, world, registry, monkeypatch):
    """All that is known otherwise is told at once, and what is missing is said."""
    monkeypatch.setattr(board_registry, "PATIENCE", 0.3)
    registry.before = lambda handler: time.sleep(2)
    began = time.monotonic()
    found = promotion(backend)
    now = backend.http.get("/api/now", timeout=1)
    assert time.monotonic() - began < 1.5 and now.is_success
    assert len(found["commits"]) == 2 and found["images"][0]["from"]["size"] is None
    assert found["notes"] == ["the registry has not answered for board-backend yet"]
    registry.before = lambda handler: handler.answer(403)
    refused = until(
        lambda: [n for n in promotion(backend)["notes"] if "refuses" in n], what="the refusal is told"
    )
    assert "board-backend" in refused[0]
    assert found["images"][0]["from"]["digest"] == world.digests[2]


def test_a_login_to_the_registry_serves_many_images_and_is_renewed(registry, monkeypatch):
    """On AWS each login is a client of its own and a call; and it ends, so that it must not be kept for ever."""
    made = []

    class Counted(board_registry.Registry):
        def __init__(self, **options):
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(board_registry, "Registry", Counted)
    images = board_registry.Images()
    digests = [f"sha256:{number:064x}" for number in range(30)]
    for digest in digests:
        _, notes = images.facts([Reference(BACKEND, None, digest)], None)
        assert "is not in the registry" in notes[0]
    logins = len(made)
    assert 1 <= logins <= 4
    monkeypatch.setattr(board_registry, "_RENEW", -1.0)
    images.facts([Reference(BACKEND, None, "sha256:" + "f" * 64)], None)
    assert len(made) == logins + 1
    images.close()


def test_a_registry_that_git_does_not_name_is_not_asked(backend, world, registry):
    """An event may say any name; nobody is sent there by it."""
    stranger = f"127.0.0.1:{registry.http.server_port}/team/app:v1@sha256:{'e' * 64}"
    backend.send(an_event(minute=8, environment="dev", images=[stranger]))
    backend.caught_up()
    found = promotion(backend)
    assert not [path for path, _ in registry.requests if "team/app" in path]
    assert any("is not asked about app" in note for note in found["notes"])
    assert {pair["name"]: pair["from"] is None for pair in found["images"]} == {
        BACKEND: True,
        stranger.partition(":v1")[0]: False,
    }


def test_a_place_where_nothing_is_live_yet_is_said_so(start, sqlite_url, world):
    """The first promotion has no commits to compare with."""
    backend = start(sqlite_url, **world.settings())
    settled(backend)
    found = promotion(backend)
    assert found["state"] == "unknown" and found["notes"][0] == "nothing of shop went live in dev yet"
    world.tell(backend, "dev", 2, 3)
    backend.caught_up()
    found = promotion(backend)
    assert found["state"] == "ready" and "nothing of shop went live in prod yet" in found["notes"]
    assert found["images"][0]["to"] is None and found["commits"] == []


def test_without_the_source_it_is_said_what_is_not_known(start, sqlite_url, world):
    """Images differ, so there is something to promote; which commits, nobody can say."""
    settings = world.settings()
    settings.pop("source_repo")
    backend = start(sqlite_url, **settings)
    world.tell(backend, "dev", 2, 3)
    world.tell(backend, "prod", 0, 1)
    until(
        lambda: backend.http.get("/api/promotion?application=shop&to=prod").is_success,
        what="the policies are read",
    )
    backend.caught_up()
    found = promotion(backend)
    assert found["state"] == "ready" and found["commits"] == []
    assert "the source repository is not read" in found["notes"][0]


def test_the_answer_is_the_same_within_a_minute(backend):
    """So that a page that asks every few seconds is told 304."""
    for _ in range(2):
        first = backend.http.get("/api/promotion?application=shop&to=prod")
        again = backend.http.get(first.request.url, headers={"If-None-Match": first.headers["etag"]})
        if again.status_code == 304:
            return
    raise AssertionError("two answers within a minute differ")
