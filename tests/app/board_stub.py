"""A stand-in for the board's backend: answers by path, waits, fails or hangs up as a test says; and what it answers."""

from __future__ import annotations

import http.server
import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import unquote, urlsplit

CHAIN = ("dev", "staging", "prod")
HOSTILE = "<img src=x onerror=alert(1)> **bold** [x](javascript:alert(1)) :red[y] $z$ {{7*7}}"
"""A text that would be markup if a page let it."""


def ago(**units: float) -> str:
    """That long before now, as the API writes it."""
    return (datetime.now(UTC) - timedelta(**units)).isoformat()


def sha(text: object) -> str:
    """A commit of its own for every text."""
    return sha256(str(text).encode()).hexdigest()[:40]


def links(commit: str, revision: str, where: str) -> dict:
    """As the backend makes them."""
    return {
        "commit": f"http://git.test/source/commit/{commit}",
        "deploy": f"http://git.test/deploy/commit/{revision}",
        "argocd": f"http://argocd.test/applications/argocd/{where}",
    }


def place(application: str = "shop", environment: str = "dev", **fields: object) -> dict:
    """One application in one environment, well, with `fields` set otherwise."""
    commit, revision = sha(application), sha(application + environment)
    tag = f"main-20260101T000000Z-{commit[:7]}"
    return {
        "application": application,
        "environment": environment,
        "images": [{"name": f"registry.test/team/{application}", "tag": tag, "digest": "sha256:" + "a" * 64}],
        "version": tag,
        "commit": commit,
        "subject": f"Let {application} answer sooner",
        "revision": revision,
        "health": "Healthy",
        "sync": "Synced",
        "deployed_at": ago(hours=3),
        "running_since": ago(hours=3),
        "started_at": ago(hours=3, minutes=2),
        "rolling": False,
        "failure": None,
        "wanted": None,
        "hold": None,
        "compared": None,
        "links": links(commit, revision, f"{environment}-{application}"),
    } | fields


def environments(*names: str) -> list[dict]:
    """A chain of environments, each promoted from the one before."""
    return [
        {
            "name": name,
            "order": n,
            "from": names[n - 1] if n else None,
            "delivery": "pull-request" if n else "direct",
            "freeze": None,
        }
        for n, name in enumerate(names)
    ]


SOURCES = [
    {"name": name, "state": "ok", "since": None, "message": ""}
    for name in ("deploy", "source", "events", "argocd", "database")
]


def now(*places: dict, chain: tuple[str, ...] = CHAIN, sources: list[dict] | None = None) -> dict:
    """The answer to /api/now."""
    return {
        "environments": environments(*chain),
        "places": list(places),
        "sources": SOURCES if sources is None else sources,
    }


def many(applications: int = 50, chain: tuple[str, ...] = CHAIN) -> dict:
    """A company's board: mostly well, some rolling, failed, held, behind."""
    places = []
    for n in range(applications):
        name = f"{('billing', 'catalogue', 'checkout', 'search', 'shop')[n % 5]}-{n:02}"
        for m, environment in enumerate(chain):
            fields: dict = {
                "running_since": ago(hours=1.3 + n * 5 * (m + 1)),
                "deployed_at": ago(hours=1.3 + n * 5),
            }
            if m and (n + m) % 4 == 0:
                fields["compared"] = {"to": chain[m - 1], "state": "behind", "commits": 1 + n % 6}
            if (n, m) == (3, 0):
                fields |= {"rolling": True, "health": "Progressing", "wanted": {"version": f"main-20260102T000000Z-{sha('new')[:7]}", "commit": sha("new")}}  # fmt: skip
            if (n, m) == (7, 1):
                fields |= {"health": "Degraded", "failure": {"reason": "degraded", "at": ago(minutes=14)}}
            if (n, m) == (9, 2):
                fields["hold"] = {
                    "by": "Olga Petrova",
                    "since": ago(days=2),
                    "reason": "rolled back, see INC-482",
                }
            if (n, m) == (12, 2):
                fields["version"] = None
            places.append(place(name, environment, **fields))
    return now(*places, chain=chain)


def deployment(n: int = 0, **fields: object) -> dict:
    """A deployment that went live `n` hours ago, with `fields` set otherwise."""
    commit, revision = sha(("commit", n)), sha(("revision", n))
    return {
        "id": revision,
        "application": "shop",
        "environment": "dev",
        "revision": revision,
        "kind": "images",
        "version": f"main-20260101T000000Z-{commit[:7]}",
        "commit": commit,
        "subject": f"Change number {n}",
        "images": [],
        "started_at": ago(hours=n, minutes=2),
        "live_at": ago(hours=n),
        "at": ago(hours=n),
        "state": "live",
        "health": "Healthy",
        "sync": "Synced",
        "failure": None,
        "commits": 1 + n % 3,
        "lead_seconds": 840.0 + n,
        "links": links(commit, revision, "dev-shop"),
    } | fields


def deployments(count: int = 60) -> dict:
    """A week of three applications in three environments."""
    items = []
    for n in range(count):
        fields: dict = {"application": ("shop", "desk", "search")[n % 3], "environment": CHAIN[n * 7 % 5 % 3]}
        if n % 17 == 5:
            fields |= {"state": "failed", "live_at": None, "failure": {"reason": "sync failed", "at": ago(hours=n), "recovered_at": ago(hours=n - 0.4), "by": sha(n)}}  # fmt: skip
        elif n % 17 == 6:
            fields["kind"] = "rollback"
        elif n % 17 == 9:
            fields["kind"] = "config"
        items.append(deployment(n, **fields))
    return {"items": items, "next": None}


def facts(n: int, **fields: object) -> dict:
    """What a registry says of an image."""
    return {
        "tag": f"main-2026010{n}T000000Z-{sha(n)[:7]}",
        "digest": "sha256:" + str(n) * 64,
        "size": 141_300_000 + n * 2_400_000,
        "created": ago(days=9 - n),
        "revision": sha(n),
        "vulnerabilities": {"critical": 0, "high": 3 - n, "medium": 4 + n, "low": 11, "unknown": 0},
    } | fields


def promotion(**fields: object) -> dict:
    """A promotion of three commits in two images."""
    return {
        "application": "shop",
        "from": "staging",
        "to": "prod",
        "state": "ready",
        "images": [
            {"name": "registry.test/team/shop-backend", "from": facts(2), "to": facts(1)},
            {
                "name": "registry.test/team/shop-frontend",
                "from": facts(2, size=None, vulnerabilities=None),
                "to": facts(1),
            },  # fmt: skip
        ],
        "commits": [
            {
                "commit": sha(("p", n)),
                "subject": (
                    "Round prices once",
                    "Read the stock from the replica",
                    "Say why a payment was refused",
                )[n],
                "author": ("Ada Lovelace", "Grace Hopper", "Alan Turing")[n],
                "committed_at": ago(hours=5 + 20 * n),
                "waiting_seconds": 3600.0 * (5 + 20 * n),
                "link": f"http://git.test/source/commit/{sha(('p', n))}",
            }
            for n in range(3)
        ],
        "blocked": [],
        "notes": [],
    } | fields


def figures(**fields: object) -> dict:
    """DORA's figures of a month in prod."""
    stages = zip(
        ("build", "queue", "review", "argocd", "rollout"),
        ((184.0, 260.0), (40.0, 900.0), (5400.0, 86000.0), (31.0, 120.0), (74.0, 190.0)),
        strict=True,
    )
    return {
        "environment": "prod",
        "application": None,
        "since": ago(days=90),
        "until": ago(),
        "window_hours": 24.0,
        "frequency": {"count": 143, "per_day": 1.589, "per_week": 11.0},
        "rollbacks": 4,
        "config_deployments": 22,
        "lead_time": {
            "median": 6120.0,
            "p90": 90200.0,
            "commits": 311,
            "skewed": 2,
            "unknown": 1,
            "stages": [{"name": name, "median": median, "p90": p90} for name, (median, p90) in stages],
        },
        "change_failure": {"part": 9, "of": 152, "rate": 9 / 152},
        "rework": {"part": 5, "of": 152, "rate": 5 / 152},
        "recovery": {"median": 1260.0, "p90": 7500.0, "count": 8, "open": 1},
        "failures": [
            {
                "application": ("shop", "desk")[n % 2],
                "environment": "prod",
                "revision": sha(("failed", n)),
                "kind": "images",
                "reason": ("degraded", "sync failed", f"reverted by {sha(n)[:12]}")[n % 3],
                "at": ago(days=n * 9),
                "recovered_at": None if n == 0 else ago(days=n * 9, minutes=-21 * n),
                "recovered_by": None if n == 0 else sha(("repair", n)),
                "seconds": None if n == 0 else 1260.0 * n,
            }
            for n in range(9)
        ],
    } | fields


def nothing_measured() -> dict:
    """Figures of a time without any deployment."""
    none = {"median": None, "p90": None}
    return figures(
        frequency={"count": 0, "per_day": None, "per_week": None},
        rollbacks=0,
        config_deployments=0,
        lead_time=none | {"commits": 0, "skewed": 0, "unknown": 0, "stages": [{"name": "build"} | none]},
        change_failure={"part": 0, "of": 0, "rate": None},
        rework={"part": 0, "of": 0, "rate": None},
        recovery=none | {"count": 0, "open": 0},
        failures=[],
    )


def commit(n: int = 0, **fields: object) -> dict:
    """A source commit."""
    return {
        "commit": sha(("c", n)),
        "subject": ("Read the stock from the replica", "Say why a payment was refused", "Round prices once")[
            n % 3
        ],
        "author": ("Ada Lovelace", "Grace Hopper", "Alan Turing")[n % 3],
        "committed_at": ago(hours=2 + n),
        "link": f"http://git.test/source/commit/{sha(('c', n))}",
    } | fields


def verdict(environment: str, state: str, text: str, **fields: object) -> dict:
    """One answer of `slipway live`."""
    return {
        "environment": environment,
        "app": "shop",
        "state": state,
        "text": text,
        "fix": "",
        "since": None,
        "until": None,
        "ready": None,
        "wanted": None,
        "pods": [],
    } | fields


def way(environment: str, state: str, *seconds: float | None) -> dict:
    """The steps to an environment; `seconds` of each after the one before, None for what has not happened."""
    steps, passed = [{"name": "committed", "at": ago(hours=2), "seconds": None}], 0.0
    for name, taken in zip(("built", "written", "merged", "synced", "live"), seconds, strict=True):
        passed += taken or 0
        at = None if taken is None else ago(hours=2, seconds=-passed)
        steps.append({"name": name, "at": at, "seconds": taken})
    return {"environment": environment, "application": "shop", "state": state, "steps": steps}


def change(**fields: object) -> dict:
    """A commit that is live in dev, rolls in staging and has not come to prod."""
    return {
        "text": sha(("c", 0)),
        "commit": commit(),
        "verdicts": [
            verdict("dev", "live", "2 of 2 Pods run exactly this", since=ago(hours=1), ready=2, wanted=2),
            verdict("staging", "rolling", "1 of 2 Pods are ready", since=ago(minutes=1), ready=1, wanted=2),
            verdict(
                "prod",
                "not-there",
                "not promoted; Git names shop main-1",
                fix="`slipway promote shop --to prod`",
            ),  # fmt: skip
        ],
        "live_known": True,
        "steps": [
            way("dev", "live", 184.0, 3.0, 0.0, 22.0, 41.0),
            way("staging", "rolling", 184.0, 1200.0, 2400.0, 30.0, None),
            way("prod", "not-there", 184.0, None, None, None, None),
        ],
    } | fields


def status(**fields: object) -> dict:
    """A backend that knows everything."""
    return {"sources": SOURCES, "facts": 412, "deployments": 143, "changed_at": ago(minutes=3)} | fields


class BoardStub:
    """Serves `answers` (path → JSON, or a function of path and query), each with an ETag.

    It waits `delay` seconds first; answers `status` with `detail` when that is not 200; hangs up when `cut`. `asked`
    counts addresses, `unchanged` the answers 304, `headers` are those of the last question.
    """

    def __init__(self, port: int = 0):
        self.answers = self.known()
        self.status, self.detail, self.delay, self.cut = 200, "", 0.0, False
        self.more_headers: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.unchanged = 0
        self.headers: dict[str, str] = {}
        self._stopping = threading.Event()
        self._port = port
        self.start()

    @staticmethod
    def known() -> dict[str, object]:
        """What is answered unless a test says otherwise."""
        return {
            "/api/now": now(place(), place(environment="staging"), place(environment="prod")),
            "/api/deployments": deployments(),
            "/api/promotion": promotion(),
            "/api/dora": figures(),
            "/api/changes": {"items": [commit(n) for n in range(8)]},
            "/api/changes/*": change(),
            "/api/status": status(),
        }

    def _find(self, address: str) -> object:
        parts = urlsplit(address)
        answer = self.answers.get(parts.path)
        if answer is None and parts.path.startswith("/api/changes/"):
            answer = self.answers["/api/changes/*"]
        return answer(unquote(parts.path), parts.query) if isinstance(answer, Callable) else answer

    def start(self) -> None:
        """Serve, on the same port as before."""
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                stub.asked[self.path] += 1
                stub.headers = {name.lower(): value for name, value in self.headers.items()}
                stub._stopping.wait(stub.delay)
                if stub.cut:
                    return self.connection.close()
                if stub.status != 200:
                    return self.answer(stub.status, json.dumps({"detail": stub.detail}).encode())
                answer = stub._find(self.path)
                if answer is None:
                    return self.answer(404, b'{"detail": "Nothing records this."}')
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                etag = f'"{sha(body)}"'
                if self.headers.get("If-None-Match") == etag:
                    stub.unchanged += 1
                    return self.answer(304, b"", etag)
                self.answer(200, body, etag)

            def answer(self, status, body, etag=None):
                self.send_response(status)
                for name, value in stub.more_headers.items():
                    self.send_header(name, value)
                if etag:
                    self.send_header("ETag", etag)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Nothing: what matters is asserted."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """Nothing: clients that give up, and connections cut on purpose, are what this is for."""

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        self.url = f"http://127.0.0.1:{self._port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Nobody listens any more."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
        self._stopping.clear()
