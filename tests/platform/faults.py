"""The faults of the platform: how each is brought about, how it is seen to be over, and what must be there afterwards.

`python -m tests.platform.faults` prints what the last runs measured, as the README shows it. There is no drain of a
node among them: the platform has one node, and nothing could go anywhere.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from slipway import paths, toolchain
from slipway.errors import CommandFailed
from slipway.platform import config
from slipway.platform.forge import REPOSITORIES
from slipway.platform.node import Node
from slipway.platform.supervisor import Supervisor
from slipway.proc import run

from .conftest import REFRESH, Platform, eventually

ENVIRONMENT = "dev"
"""Where the load goes, and the deliveries."""
OUTPUT = paths.CHECKOUT / "out" / "faults.json"
BACKEND = f"{config.REGISTRY_URL}/v2/slipway/board-backend"

Question = Callable[[], object]
"""True once something is so."""
_CTR = ("ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_ROOM = 1 << 20
"""Bytes of the disk that is full: the smallest that an overlay can lie on."""
_STAYS_FULL = 10.0


@dataclass(frozen=True)
class Fault:
    """`inject` brings it about and returns the question whether it is over; `quick` ones are part of `make test`.

    `excuse` is why requests may fail; without it none may.
    """

    name: str
    inject: Callable[[Platform], Question]
    excuse: str = ""
    quick: bool = False


# Processes of the two supervisors


def program(name: str, answers: Callable[[Platform], object], *, in_node: bool = False):
    """kill -9 of a supervised process; over once another one runs and answers."""

    def inject(platform: Platform) -> Question:
        supervisor = Supervisor(platform.state / ("node/control" if in_node else "supervisor"))
        killed = _pid(supervisor, name)
        if in_node:
            run(Node(platform.state).inside(["kill", "-9", str(killed)]))
        else:
            os.kill(killed, signal.SIGKILL)
        at = datetime.now(UTC)
        return lambda: _pid(supervisor, name) not in (0, killed) and answers(platform, at)

    return inject


def _pid(supervisor: Supervisor, name: str) -> int:
    return next(p["pid"] for p in supervisor.processes() if p["name"] == name)


def url_answers(url: str):
    """A question to a service of the machine."""
    return lambda platform, at: httpx.get(url, timeout=2).is_success


def node_reports(platform: Platform, at: datetime) -> bool:
    """The kubelet has renewed its lease, the node is ready, and a command runs in a container."""
    lease = platform.cluster.get("--namespace", "kube-node-lease", "lease", config.NODE_NAME)
    conditions = platform.cluster.get("node", config.NODE_NAME)["status"]["conditions"]
    ready = any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)
    inside = ("exec", "board-postgres-0", "--", "true")
    renewed = datetime.fromisoformat(lease["spec"]["renewTime"]) > at
    return ready and renewed and bool(platform.cluster.kubectl("--namespace", ENVIRONMENT, *inside))


def loop_is_in_control(platform: Platform, at: datetime) -> bool:
    """The load balancer's control loop has brought HAProxy to what the AWS API says."""
    status = json.loads((platform.state / "alb" / "status.json").read_text())
    return status["error"] is None and datetime.fromisoformat(status["updated"]) > at and served(platform, at)


def served(platform: Platform, at: datetime) -> bool:
    """Every environment answers through its load balancer."""
    return all(platform.version(environment) for environment in platform.urls)


def proxy(platform: Platform) -> Question:
    """kill -9 of HAProxy's master and workers at once, the control loop left alone."""
    config_file = str(platform.state / "alb" / "haproxy.cfg")
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if config_file in _arguments(folder)]
    assert pids, f"no process was started with {config_file}"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return lambda: served(platform, datetime.now(UTC))


def _arguments(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_text().split("\0")
    except OSError:
        return []


# Containers


def container(
    namespace: str,
    selector: str,
    name: str,
    answers: Callable[[Platform], object] = lambda platform: True,
    lease: str | None = None,
):
    """kill -9 of the first process of a container of one Pod; over once it is ready again and answers.

    One that leads by a `lease` must hold it again, too.
    """

    def inject(platform: Platform) -> Question:
        pods = ("--namespace", namespace, "pods", "--selector", selector)
        pod = min(platform.cluster.get(*pods)["items"], key=lambda pod: pod["metadata"]["name"])
        before, holder = _container(pod, name), _holder(platform, lease)
        run(Node(platform.state).inside(["kill", "-9", _first_process(platform, before["containerID"])]))

        def over() -> object:
            now = _container(
                platform.cluster.get("--namespace", namespace, "pod", pod["metadata"]["name"]), name
            )
            again = now["restartCount"] > before["restartCount"] and now["ready"]
            return again and (lease is None or _holder(platform, lease) != holder) and answers(platform)

        return over

    return inject


def _container(pod: dict, name: str) -> dict:
    return next(one for one in pod["status"]["containerStatuses"] if one["name"] == name)


def _holder(platform: Platform, lease: str | None) -> str | None:
    if lease is None:
        return None
    return platform.cluster.get("--namespace", "kube-system", "lease", lease)["spec"]["holderIdentity"]


def _first_process(platform: Platform, identity: str) -> str:
    """Its id as the node sees it."""
    rows = [line.split() for line in ctr(platform, "tasks", "ls").splitlines()]
    return next(row[1] for row in rows if row[0] == identity.removeprefix("containerd://"))


def ctr(platform: Platform, *arguments: str) -> str:
    """What containerd's own client prints of the node's containers and images."""
    client = [toolchain.tool(_CTR[0]), *_CTR[1:], *arguments]
    return run(Node(platform.state).inside(client)).stdout


def control_plane(name: str, lease: str | None = None):
    """A static Pod of the control plane; what it does is needed by the delivery that follows."""
    return container("kube-system", f"component={name}", name, api_answers, lease)


def api_answers(platform: Platform) -> bool:
    """The API server and its database."""
    return platform.cluster.kubectl("get", "--raw", "/readyz").stdout == "ok"


def argocd(name: str, of: str):
    """A part of Argo CD; over once Argo CD has rendered and compared an Application anew."""

    def inject(platform: Platform) -> Question:
        compared = compares_anew(platform)
        return container("argocd", f"app.kubernetes.io/name={name}", of, lambda _: compared())(platform)

    return inject


def compares_anew(platform: Platform) -> Question:
    """Asks for a hard refresh, which needs controller, repo server and Redis, and again if it failed."""
    application = f"{ENVIRONMENT}-board"
    asked = False

    def compared() -> bool:
        nonlocal asked
        found = platform.application(application)
        if REFRESH in found["metadata"].get("annotations", {}):
            return False
        errors = [c["type"] for c in found["status"].get("conditions", []) if c["type"].endswith("Error")]
        if asked and not errors:
            return True
        annotate = ("annotate", "application", application, f"{REFRESH}=hard", "--overwrite")
        platform.cluster.kubectl("--namespace", "argocd", *annotate)
        asked = True
        return False

    return compared


def board_answers(platform: Platform) -> bool:
    """The board's API, which needs its database."""
    with platform.board(ENVIRONMENT) as board:
        return board.get("/now").is_success


def delete_a_pod(platform: Platform) -> Question:
    """One of the two Pods of the backend, deleted as by an eviction; over once two others are ready and it is gone."""
    selector = ("--namespace", ENVIRONMENT, "pods", "--selector", "app.kubernetes.io/name=board-backend")
    gone = min(pod["metadata"]["name"] for pod in platform.cluster.get(*selector)["items"])
    platform.cluster.kubectl("--namespace", ENVIRONMENT, "delete", "pod", gone, "--wait=false")

    def replaced() -> bool:
        pods = platform.cluster.get(*selector)["items"]
        ready = [pod for pod in pods if {"type": "Ready", "status": "True"}.items() <= _ready(pod).items()]
        return len(ready) == len(pods) == 2 and gone not in [pod["metadata"]["name"] for pod in pods]

    return replaced


def _ready(pod: dict) -> dict:
    return next((c for c in pod["status"].get("conditions", []) if c["type"] == "Ready"), {})


# The disk


def full_disk(platform: Platform) -> Question:
    """No byte is left where the registry writes; over once it takes a blob, counted from when there is room again.

    The registry's folder becomes an overlay whose upper side is a tmpfs that is full: what is stored can be read, every
    write ends with the kernel's own ENOSPC. Meanwhile a push must be refused and leave nothing behind, and a pull pass.
    """
    blob = os.urandom(1 << 16)
    with no_room(platform.state / "registry" / "data", platform.state / "registry" / "full"):
        refused = push(blob)
        assert refused.status_code >= 500, f"a full disk took a blob: {refused.status_code} {refused.text}"
        assert httpx.head(f"{BACKEND}/blobs/{digest(blob)}").status_code == 404
        assert pull(platform) != {}
        time.sleep(_STAYS_FULL)
    # The blob stays, since this registry deletes nothing: 64 KiB that no image names.
    return lambda: push(blob).is_success


@contextmanager
def no_room(folder: Path, small: Path) -> Iterator[None]:
    """Inside the block nothing can be written into `folder`; what was there before is as before afterwards."""
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs", small])
    try:
        for part in ("upper", "work"):
            (small / part).mkdir()
        options = f"lowerdir={folder},upperdir={small}/upper,workdir={small}/work"
        run(["mount", "-t", "overlay", "-o", options, "overlay", folder])
        try:
            fill(small / "ballast")
            yield
        finally:
            eventually(lambda: not run(["umount", folder], check=False).returncode, 30, f"umount {folder}")
    finally:
        run(["umount", small])
        small.rmdir()


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as ballast:
        for size in (1 << 12, 1):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise


def push(blob: bytes) -> httpx.Response:
    """Upload a blob; the first answer that is not a success, else the last."""
    begun = httpx.post(f"{BACKEND}/blobs/uploads/", timeout=10)
    if not begun.is_success:
        return begun
    url = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest(blob)})
    return httpx.put(url, content=blob, headers={"Content-Type": "application/octet-stream"}, timeout=10)


def digest(blob: bytes) -> str:
    """As the registry names it."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


# What must not be lost


@dataclass(frozen=True)
class Kept:
    """Commits, events and images: the heads of all branches, the event log, the board's deployments, the digests."""

    heads: dict[str, str]
    events: frozenset[str]
    deployments: frozenset[str]
    images: dict[str, str]

    def lost(self, now: Kept) -> list[str]:
        """What is not there any more, or is another."""
        missing = [
            *(f"event {one}" for one in self.events - now.events),
            *(f"deployment {one}" for one in self.deployments - now.deployments),
            *(f"image {name}" for name, one in self.images.items() if now.images.get(name) != one),
        ]
        for name, head in self.heads.items():
            after = now.heads.get(name)
            repository = name.partition(" ")[0]
            if after is None or not _contains(repository, after, head):
                missing.append(f"commit {head} of {name}")
        return sorted(missing)


def kept(platform: Platform) -> Kept:
    """Read it all, and check what is read: every object of every repository, every blob of the image that runs."""
    heads = {}
    for repository in REPOSITORIES:
        git(repository, "fsck", "--full", "--no-dangling")
        for line in git(repository, "for-each-ref", "refs/heads").splitlines():
            commit, _, ref = line.split()
            heads[f"{repository} {ref}"] = commit
    return Kept(
        heads=heads,
        events=frozenset(git("events", "ls-tree", "-r", "--name-only", "main").splitlines()),
        deployments=frozenset(_deployments(platform)),
        images=_images() | pull(platform),
    )


def git(repository: str, *arguments: str) -> str:
    """Git in the forge's own repository, which nobody serves for it."""
    folder = paths.state() / "forge" / "data" / "repositories" / config.ORGANISATION / f"{repository}.git"
    return run(["git", "-c", "safe.directory=*", "--git-dir", folder, *arguments]).stdout


def _contains(repository: str, commit: str, earlier: str) -> bool:
    try:
        git(repository, "merge-base", "--is-ancestor", earlier, commit)
    except CommandFailed:
        return False
    return True


def _deployments(platform: Platform) -> Iterator[str]:
    """All that the board knows of."""
    cursor: str | None = ""
    with platform.board(ENVIRONMENT) as board:
        while cursor is not None:
            asked = {"limit": 1000, **({"cursor": cursor} if cursor else {})}
            page = board.get("/deployments", params=asked).raise_for_status().json()
            yield from (one["id"] for one in page["items"])
            cursor = page["next"]


def _images() -> dict[str, str]:
    """Every tag of the registry and what it stands for."""
    found = {}
    with httpx.Client(base_url=f"{config.REGISTRY_URL}/v2", timeout=30) as registry:
        for name in registry.get("/_catalog", params={"n": 1000}).raise_for_status().json()["repositories"]:
            for tag in registry.get(f"/{name}/tags/list").raise_for_status().json()["tags"] or []:
                accept = {"Accept": f"{_MANIFEST}, application/vnd.oci.image.index.v1+json"}
                head = registry.head(f"/{name}/manifests/{tag}", headers=accept).raise_for_status()
                found[f"{name}:{tag}"] = head.headers["Docker-Content-Digest"]
    return found


def pull(platform: Platform) -> dict[str, str]:
    """Every byte of the backend's image that runs: its manifest and blobs, each checked against its digest."""
    running = platform.version(ENVIRONMENT)["digest"]
    manifest = httpx.get(f"{BACKEND}/manifests/{running}", headers={"Accept": _MANIFEST}).raise_for_status()
    layers = manifest.json()["layers"]
    found = {"manifest": digest(manifest.content)}
    for one in (manifest.json()["config"]["digest"], *(layer["digest"] for layer in layers)):
        found[f"blob {one}"] = digest(
            httpx.get(f"{BACKEND}/blobs/{one}", timeout=60).raise_for_status().content
        )
    wrong = [name for name, seen in found.items() if name.removeprefix("blob ") not in (seen, "manifest")]
    assert (wrong, found["manifest"]) == ([], running), "the registry gives other bytes than were stored"
    return found


# A delivery during the fault

OVERLAY = f"overlays/{ENVIRONMENT}/board/kustomization.yaml"
_NOTE = "# A note of the fault tests, which no Pod sees.\n"


def noted(text: str, note: str) -> str:
    """The overlay with a note that makes Argo CD deliver without any Pod being replaced; without it if it is empty."""
    plain = text.partition(_NOTE)[0]
    if not note:
        return plain
    patch = f"""patches:
- patch: |-
    apiVersion: policy/v1
    kind: PodDisruptionBudget
    metadata:
      name: board-backend
      annotations:
        slipway.local/fault-test: {json.dumps(note)}
"""
    return f"{plain}{_NOTE}{patch}"


def commit(platform: Platform, note: str) -> str:
    """Write the note into Git, as `slipway bump` would an image; the commit that has it, if it is there already."""
    text, _ = platform.read("deploy", OVERLAY)
    wanted = noted(text, note)
    if text == wanted:
        return git("deploy", "log", "-1", "--format=%H", "main", "--", OVERLAY).strip()
    message = f"{ENVIRONMENT}: {note or 'no note of the fault tests any more'}"
    answer = platform.write("slipway-bot", "deploy", OVERLAY, wanted, message)
    return answer.raise_for_status().json()["commit"]["sha"]


def delivered(platform: Platform, note: str, seconds: float) -> float:
    """Deliver a commit; the seconds until the event log and the board know that it is live."""
    started = time.monotonic()
    made = eventually(lambda: commit(platform, note), seconds, f"the forge takes the commit {note!r}")

    def told() -> bool:
        names = git("events", "ls-tree", "-r", "--name-only", "main")
        if f"on-deployed-{made[:12]}" not in names:
            return False
        with platform.board(ENVIRONMENT) as board:
            newest = board.get("/deployments", params={"environment": ENVIRONMENT, "limit": 20})
        return any(
            (one["revision"], one["state"]) == (made, "live")
            for one in newest.raise_for_status().json()["items"]
        )

    eventually(told, seconds, f"event log and board know of {made[:12]}")
    return round(time.monotonic() - started, 1)


# The table


@dataclass(frozen=True)
class Row:
    """What one fault cost; seconds from the fault on."""

    fault: str
    requests: int
    failed: int
    heals: float
    delivers: float
    lost: list[str]
    first_failures: list[str]
    date: str
    commit: str


def record(row: Row) -> None:
    """Put the row in the place of what an earlier run measured."""
    rows = {one.fault: one for one in measured()} | {row.fault: row}
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps([asdict(one) for one in rows.values()], indent=1) + "\n")
    OUTPUT.with_suffix(".md").write_text(table(measured()))


def measured() -> list[Row]:
    """The last measurement of each fault, in the order of the faults."""
    rows = [Row(**one) for one in json.loads(OUTPUT.read_text())] if OUTPUT.is_file() else []
    order = [fault.name for fault in FAULTS]
    return sorted((row for row in rows if row.fault in order), key=lambda row: order.index(row.fault))


def table(rows: list[Row]) -> str:
    """As the README shows it."""
    lines = [
        "| fault | requests | failed | heals in | delivers in | lost |",
        "|---|---|---|---|---|---|",
    ]
    excuses = {fault.name: fault.excuse for fault in FAULTS}
    for row in rows:
        failed = (
            f"{row.failed}: {excuses[row.fault]}" if row.failed and excuses[row.fault] else f"{row.failed}"
        )
        lost = ", ".join(row.lost) or "nothing"
        numbers = f"{row.requests:,} | {failed} | {_seconds(row.heals)} | {_seconds(row.delivers)}"
        lines.append(f"| {row.fault} | {numbers} | {lost} |")
    when = sorted({f"{row.date} at commit {row.commit}" for row in rows})
    return "\n".join([*lines, "", f"Measured {'; '.join(when)}.", ""])


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 1 else "under 1 s"


def version() -> str:
    """The commit that is checked out, and whether there is more than it."""
    argv = ["git", "-C", paths.CHECKOUT, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


FAULTS = (
    Fault("kube-apiserver killed", control_plane("kube-apiserver")),
    Fault("kube-scheduler killed", control_plane("kube-scheduler", "kube-scheduler")),
    Fault(
        "kube-controller-manager killed", control_plane("kube-controller-manager", "kube-controller-manager")
    ),
    Fault("etcd killed", control_plane("etcd")),
    Fault("kubelet killed", program("kubelet", node_reports, in_node=True)),
    Fault("containerd killed", program("containerd", node_reports, in_node=True)),
    Fault(
        "Argo CD's controller killed",
        argocd("argocd-application-controller", "argocd-application-controller"),
    ),
    Fault("Argo CD's repo server killed", argocd("argocd-repo-server", "argocd-repo-server")),
    Fault("Argo CD's Redis killed", argocd("argocd-redis", "redis")),
    Fault("forge killed", program("forge", url_answers(f"{config.FORGE_URL}/api/healthz"))),
    Fault("registry killed", program("registry", url_answers(f"{config.REGISTRY_URL}/v2/"))),
    Fault("registry's disk full", full_disk),
    Fault("AWS API killed", program("aws", url_answers(f"{config.AWS_URL}/slipway/elbv2"))),
    Fault(
        "load balancer controller killed",
        container("kube-system", "app.kubernetes.io/name=aws-load-balancer-controller", "controller"),
    ),
    Fault("load balancer's control loop killed", program("alb", loop_is_in_control), quick=True),
    Fault("load balancer's proxy killed", proxy, excuse="it is the proxy"),
    Fault(
        "policy engine killed", container("kube-system", "app.kubernetes.io/name=kube-router", "kube-router")
    ),
    Fault(
        "PostgreSQL killed",
        container(ENVIRONMENT, "app.kubernetes.io/name=board-postgres", "postgres", board_answers),
        excuse="it is the database",
    ),
    Fault("application Pod deleted", delete_a_pod),
    Fault(
        "application Pod's process killed",
        container(ENVIRONMENT, "app.kubernetes.io/name=board-backend", "backend"),
        excuse="an ALB sends no request twice",
    ),
)


if __name__ == "__main__":
    print(table(measured()))
