"""Brings the platform up: what is there is kept, what is missing or broken is made, in the order of need.

Long work that nothing waits for yet runs beside the rest: scanners and signers are built, and the forge is set
up, while the cluster comes up.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from slipway import toolchain
from slipway.errors import StateError
from slipway.git.checkout import Checkout
from slipway.kubectl import Cluster
from slipway.paths import CHECKOUT, PYTHON
from slipway.platform import (
    argocd,
    config,
    debian,
    delivery,
    groundwork,
    images,
    loadbalancer,
    monitoring,
    network,
    node,
    pipeline,
    policy_engine,
    preflight,
    registry,
)
from slipway.platform.down import MARK, down, end_leftovers, note_absent, refuse_unknown_folder
from slipway.platform.forge import PUBLISHER, PULL_REQUEST, Forge, hook
from slipway.platform.secrets import Secrets
from slipway.platform.supervisor import Program, Supervisor
from slipway.proc import run
from slipway.progress import Steps

RECORD = "platform.json"


class Up:
    """One run of `slipway up`; `context` names an existing cluster to use in the embedded one's place."""

    def __init__(self, state: Path, steps: Steps, context: str | None = None, kubeconfig: str | None = None):
        self.state = state
        self.steps = steps
        self.external = context is not None
        self.log = state / "up.log"
        self.node = node.Node(state)
        self.forge = Forge(state)
        self.secrets = Secrets(state)
        self._published = state / "published"
        self.supervisor = Supervisor(state / "supervisor")
        chosen = Path(kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
        self.cluster = Cluster(chosen, context) if context else Cluster(self.node.kubeconfig)

    def run(self, deliver: bool = True) -> None:
        """Everything, from whatever state the last run left."""
        with self.steps.step("machine"):
            preflight.check(self.state, embedded=not self.external)
        with self.steps.step("Debian packages") as step:
            step.note(debian.provide())
        with locked(self.state), ThreadPoolExecutor(max_workers=4) as beside:
            for group in ("cluster", "registry", "forge", "loadbalancer", "network"):
                self._build(group)
            scanners = beside.submit(self._build, "supplychain")
            renderer = beside.submit(self._build, "render")
            base = beside.submit(self._base_image)
            self._reconcile_record()
            self._services()
            forge = beside.submit(self._forge)
            delivered = beside.submit(self._hand_in, forge, scanners, base, deliver)
            watchers = [beside.submit(self._build, group) for group in monitoring.GROUPS]
            if not self.external:
                self._node()
            forge.result()
            self._cluster()
            delivered.result()
            renderer.result()
            for watcher in watchers:
                watcher.result()
            if deliver:
                self._serve()
            if not self.external:
                self._watch()

    @cached_property
    def settings(self) -> str:
        """A digest of everything that decides what is applied to the cluster."""
        digest = hashlib.sha256("".join(toolchain.key(group) for group in toolchain.PLATFORM).encode())
        for folder in ("argocd", "scripts/slipway/platform"):
            for file in sorted((CHECKOUT / folder).rglob("*")):
                if file.suffix in (".yaml", ".py"):
                    digest.update(file.read_bytes())
        return digest.hexdigest()

    # Steps

    def _build(self, group: str) -> None:
        with self.steps.step(f"tools: {group}") as step:
            if not toolchain.build(group, step.advance):
                step.note("in the cache")

    def _base_image(self) -> Path:
        with self.steps.step("base image for the application"):
            return images.python_base(self.log)

    def _reconcile_record(self) -> None:
        """A platform made by other tools is removed first; a process that outlived its supervisor is ended."""
        record = {"tools": {group: toolchain.key(group) for group in toolchain.PLATFORM}}
        file = self.state / RECORD
        if json.loads(file.read_text()) not in ({}, record):
            with self.steps.step("platform of another version removed"):
                down(self.state, keep=("lock",))
        if not self.supervisor.alive():
            end_leftovers(self.state)
        file.write_text(json.dumps(record))
        note_absent(self.state)

    def _services(self) -> None:
        with self.steps.step("link, registry, forge, AWS API, load balancer"):
            network.up(self.state)
            registry.prepare(self.state)
            self.forge.prepare()
            pipeline.prepare(self.state, self.forge, self.secrets)
            pipeline.prepare_gate(self.state, self.forge, self.secrets)
            monitoring.prepare(self.state)
            embedded = not self.external or self.node.initialised()
            if embedded:
                if not self.node.initialised():
                    self.supervisor.halt("node")  # half-made; its files are about to be removed
                self.node.prepare()
            programs = [
                *([self.node.program()] if embedded else []),
                registry.program(self.state),
                self.forge.program(),
                *_balancer(self.state),
                *pipeline.programs(self.state),
                *([] if self.external else monitoring.programs(self.state)),
            ]
            os.environ[MARK] = str(self.state)
            self.supervisor.start(programs)
            for program in programs:
                self.supervisor.run(program.name)
            registry.wait()

    def _forge(self) -> None:
        """Users, their tokens, and repositories, of which the cluster is told."""
        with self.steps.step("users, repositories, webhooks"):
            self.forge.wait()
            webhook = self.secrets.get("argocd-webhook")
            self.forge.set_up(
                {
                    "source": [hook("gitea", pipeline.URL, self.secrets.get("pipeline-webhook"))],
                    "deploy": [hook("gogs", url, webhook) for url in argocd.WEBHOOK_URLS],
                }
            )

    def _hand_in(self, forge: Future, scanners: Future, base: Future, deliver: bool) -> None:
        """Everything on the way to a bump, which needs no cluster."""
        forge.result()
        pipeline.use_base(self.state, base.result())
        scanners.result()
        if deliver:
            self._publish_pair()

    def _node(self) -> None:
        with self.steps.step("Kubernetes") as step:
            archive = images.archive(self.log)
            if self.node.initialised():
                step.note("kept")
            self.node.start(archive, self.log)
            node.wait_api(self.node.kubeconfig)

    def _cluster(self) -> None:
        with self.steps.step("policy engine, Argo CD, load balancer controller, the board's access") as step:
            if self.cluster.remembers("applied", self.settings):
                step.note("nothing changed")
                return
            if not self.external:
                # First, so that it is at work before Argo CD is given the Pods that Git's policies hold.
                policy_engine.install(self.cluster)
            groundwork.apply(self.cluster, self.state)
            crds = toolchain.share("loadbalancer", "aws-load-balancer-controller/crds.yaml")
            loadbalancer.install(self.cluster, crds, config.AWS_URL, self.state)
            argocd.install(self.cluster, self.state)
            argocd.wait(self.cluster)
            if not self.external:
                policy_engine.wait(self.cluster)
            argocd.make_tokens(self.cluster, self.secrets)
            # Before anything is delivered: a Pod without its Secret does not start.
            groundwork.give_access(self.cluster, self.secrets, self.secrets.get(argocd.BOARD_TOKEN))
            self.cluster.remember("applied", self.settings)

    def _publish_pair(self) -> None:
        """Publish both halves; the source half's webhook starts the pipeline, whose end is waited for."""
        pipeline.credentials(self.secrets)
        head = Checkout(CHECKOUT).resolve("HEAD")
        with self.steps.step("pair published") as step:
            if self._published.is_file() and self._published.read_text() == head:
                step.note("in step")
                return
            deploy = self._publish("deploy", PUBLISHER)
            delivery.hand_over_key(self.forge, self.secrets)
            source = self._publish("source", "developer")
            step.note("changed" if source["changed"] or deploy["changed"] else "in step")
        if source["changed"] or delivery.unreleased(self.forge):
            with self.steps.step("pipeline: test, build, scan, push, sign, bump") as step:
                delivery.wait_for_build(self.forge, source["commit"], step.advance)
        with self.steps.step("first delivery to every environment") as step:
            if not delivery.spread(self.forge, self.secrets):
                step.note("all have one")
        # Only now, or the first delivery would wait for the gate while the machine is at its busiest.
        self.forge.require_gate(
            hook("gitea", pipeline.GATE_URL, self.secrets.get("gate-webhook"), *PULL_REQUEST)
        )
        self._published.write_text(head)

    def _serve(self) -> None:
        """Hand the environments over to Argo CD and wait until users are served."""
        with self.steps.step("application served") as step:
            loadbalancer.heal(self.cluster, config.AWS_URL)
            if not self.cluster.remembers("deployed", self.settings):
                loadbalancer.wait(self.cluster)
                # An ApplicationSet that met no repo server would try again only minutes later.
                argocd.wait(self.cluster)
                argocd.deploy(self.cluster)
                self.cluster.remember("deployed", self.settings)
            delivery.wait_served(step.advance)

    def _watch(self) -> None:
        """Let Prometheus in; only now, or it would report that what is not there yet does not answer."""
        if not self.cluster.remembers("watched", self.settings):
            monitoring.admit(self.cluster, self.state)
            self.cluster.remember("watched", self.settings)

    def _publish(self, half: str, user: str) -> dict:
        """What a user would do: `slipway pair publish`, with that user's login in the environment."""
        login = {"SLIPWAY_GIT_USERNAME": user, "SLIPWAY_GIT_PASSWORD": self.secrets.get(f"forge-{user}")}
        command = [
            PYTHON.with_name("slipway"),
            "pair",
            "publish",
            f"--{half}",
            self.forge.remote(half),
        ]
        return json.loads(run([*command, "--json"], env=login, cwd=CHECKOUT).stdout)[0]


def _balancer(state: Path) -> list[Program]:
    """The AWS API, and the data plane that drives HAProxy from what the controller writes there."""
    python = [PYTHON, "-m"]
    metrics = ["--metrics-port", str(config.BALANCER_METRICS_PORT)]
    return [
        Program("aws", [*python, "slipway.platform.aws", "--state", state]),
        Program("alb", [*python, "slipway.platform.alb", "--state", state, *metrics]),
    ]


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Hold the state directory for one `up` at a time."""
    if state.exists():
        refuse_unknown_folder(state)
    state.mkdir(parents=True, exist_ok=True)
    if not (state / RECORD).exists():
        (state / RECORD).write_text("{}")
    with (state / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StateError("another `slipway up` is at work", path=state, fix="wait until it ends") from exc
        yield
