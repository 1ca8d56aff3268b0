"""Each setting that lets users notice nothing of a rollout is needed: without it requests fail, put back none does.

Seven Deployments roll out at once under the same load, each behind a load balancer of its own: one with every setting
that the board ships, and one for each setting without it, by nothing else different. The setting that is taken away
is the line in Git: objects come from the rendered overlay and base, the image from what runs in dev. What runs in
the Pods is a small server that behaves like an application (`settings_server`). Then the same seven are given what
they lack, and roll out again under the same load.

The load balancers are the platform's, by a data plane of the test's own, so that the platform's own is not touched
and the lag can be chosen. It learns of leaving targets as late as the platform's does, and takes new ones in as late
as AWS does when it is busy, for which the readiness gate exists. Two of the Deployments have production's waiting
times and a load balancer that learns later than Kubernetes' 30 s of grace: dev's shorter ones fit into these 30 s.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from slipway import kustomize, paths
from slipway.errors import CommandFailed
from slipway.platform import config

from tests.cli.storm_lab import free_port

from .conftest import Platform, eventually
from .settings_load import RATE

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

NAME = "board-frontend"
"""The Deployment whose settings are tried: it keeps sessions in memory, so it has all of them."""
KINDS = {"Deployment": NAME, "Service": NAME, "ServiceAccount": NAME, "Ingress": "board"}
ALB = "alb.ingress.kubernetes.io/"
GATE = "elbv2.k8s.aws/pod-readiness-gate-inject"

REPLICAS = 4
"""Below four, Kubernetes rounds its default of 25 % unavailable down to none."""
WORK_SECONDS = 2
WINDOW = 8
CAPACITY = 24
"""Requests that one Pod takes within WINDOW seconds: of four Pods each gets 20, of three each would get 27."""
DEFAULT_GRACE = 30
SESSIONS, RETURNS = 12, 5

Object = dict
Change = Callable[[dict[str, Object]], None]


def without_readiness_gate(objects: dict[str, Object]) -> None:
    """The label that has the gate put into every Pod of the Namespace."""
    del objects["Namespace"]["metadata"]["labels"][GATE]


def without_pre_stop(objects: dict[str, Object]) -> None:
    """The pause between the order to leave and SIGTERM."""
    del container(objects)["lifecycle"]["preStop"]


def without_grace_period(objects: dict[str, Object]) -> None:
    """The time until the Pod is killed, which is then Kubernetes' default."""
    del pod(objects)["terminationGracePeriodSeconds"]


def without_max_unavailable(objects: dict[str, Object]) -> None:
    """How many Pods may be missing, which is then Kubernetes' default."""
    del objects["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"]


def without_stickiness(objects: dict[str, Object]) -> None:
    """What has a client come back to its Pod."""
    annotations = objects["Service"]["metadata"]["annotations"]
    attributes = annotations[f"{ALB}target-group-attributes"].split(",")
    kept = [attribute for attribute in attributes if not attribute.startswith("stickiness.")]
    assert len(kept) < len(attributes)
    annotations[f"{ALB}target-group-attributes"] = ",".join(kept)


def unchanged(objects: dict[str, Object]) -> None:
    """Everything that is shipped."""


@dataclass(frozen=True)
class Environment:
    """Rendered objects by kind, and how late their load balancer is, in seconds."""

    objects: dict[str, Object]
    learn_lag: float
    register_lag: float


@dataclass(frozen=True)
class Variant:
    """A Deployment with its load balancer, in a Namespace of this name."""

    name: str
    environment: str
    change: Change


WHOLE, LATE_WHOLE = "settings-whole", "settings-late-whole"
VARIANTS = (
    Variant(WHOLE, "dev", unchanged),
    Variant("settings-no-gate", "dev", without_readiness_gate),
    Variant("settings-no-prestop", "dev", without_pre_stop),
    Variant("settings-no-unavailable", "dev", without_max_unavailable),
    Variant("settings-no-stickiness", "dev", without_stickiness),
    Variant(LATE_WHOLE, "production", unchanged),
    Variant("settings-no-grace", "production", without_grace_period),
)
ENVIRONMENT = {variant.name: variant.environment for variant in VARIANTS}


@dataclass(frozen=True)
class Outcome:
    """What a variant's users saw: of requests during the rollout, and of sessions before it."""

    requests: int
    failures: int
    kinds: dict[str, int]
    first_failures: list[str]
    sessions_lost: int


def pod(objects: dict[str, Object]) -> Object:
    """The specification of the Deployment's Pods."""
    return objects["Deployment"]["spec"]["template"]["spec"]


def container(objects: dict[str, Object]) -> Object:
    """Its one container."""
    return pod(objects)["containers"][0]


def rendered(*folders: Path) -> dict[str, Object]:
    """The objects of the Deployment by kind, with its Namespace."""
    found = [one for folder in folders for one in yaml.safe_load_all(kustomize.build(folder))]
    return {
        one["kind"]: one
        for one in found
        if one["kind"] == "Namespace" or KINDS.get(one["kind"]) == one["metadata"]["name"]
    }


def environments() -> dict[str, Environment]:
    """dev as it runs here, and the base, whose waiting times are production's.

    The platform's load balancer controller takes `preStop.sleep` out of Pods, so production sleeps by a command, as
    dev does. Its load balancer learns halfway between Kubernetes' grace period and the end of the shipped sleep.
    """
    dev = rendered(paths.CHECKOUT / "overlays" / "dev" / "board")
    production = rendered(paths.CHECKOUT / "base" / "namespace", paths.CHECKOUT / "base" / "board")
    asleep = container(production)["lifecycle"]["preStop"]["sleep"]["seconds"]
    container(production)["lifecycle"]["preStop"] = {"exec": {"command": ["sleep", str(asleep)]}}
    assert asleep > DEFAULT_GRACE
    return {
        "dev": Environment(dev, 5, 24),
        "production": Environment(production, (DEFAULT_GRACE + asleep) / 2, 0),
    }


def prepared(objects: dict[str, Object], name: str, image: str) -> dict[str, Object]:
    """The objects in a Namespace of their own, with a load balancer of that name and the small server in the Pods."""
    made = copy.deepcopy(objects)
    made["Namespace"]["metadata"]["name"] = name
    for kind in KINDS:
        made[kind]["metadata"]["namespace"] = name
    annotations = made["Ingress"]["metadata"]["annotations"]
    del annotations[f"{ALB}actions.not-found"]
    annotations |= {f"{ALB}group.name": name, f"{ALB}load-balancer-name": name}
    backend = {"service": {"name": NAME, "port": {"name": "http"}}}
    rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    made["Ingress"]["spec"]["rules"] = [rule]
    made["Deployment"]["spec"]["replicas"] = REPLICAS
    one = container(made)
    port = one["ports"][0]["containerPort"]
    values = {"WORK_SECONDS": WORK_SECONDS, "WINDOW": WINDOW, "CAPACITY": CAPACITY, "PORT": port}
    one["image"] = image
    one["command"] = ["python", "-c", Path(__file__).with_name("settings_server.py").read_text()]
    one["env"] = [{"name": key, "value": str(value)} for key, value in values.items()]
    one["resources"] = {"requests": {"cpu": "10m", "memory": "24Mi"}, "limits": {"memory": "128Mi"}}
    return made


class Laboratory:
    """The variants in the cluster, each behind its load balancer on a port of its own."""

    def __init__(self, platform: Platform, folder: Path):
        self.platform, self.folder = platform, folder
        live = platform.cluster.get("--namespace", "dev", "deployment", NAME)
        image = live["spec"]["template"]["spec"]["containers"][0]["image"]
        self.environments = environments()
        self.objects, self.whole = {}, {}
        for variant in VARIANTS:
            whole = prepared(self.environments[variant.environment].objects, variant.name, image)
            made = copy.deepcopy(whole)
            variant.change(made)
            assert (made == whole) == (variant.change is unchanged)
            self.objects[variant.name], self.whole[variant.name] = made, whole
        self.ports = {variant.name: free_port() for variant in VARIANTS}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}

    def kubectl(self, name: str, *arguments: str, timeout: float = 120) -> str:
        """kubectl in a variant's Namespace."""
        return self.platform.cluster.kubectl("--namespace", name, *arguments, timeout=timeout).stdout

    def everywhere(self, work: Callable[[str], object]) -> None:
        """Do something for every variant at once."""
        with ThreadPoolExecutor(len(VARIANTS)) as pool:
            list(pool.map(work, self.objects))

    @contextmanager
    def data_plane(self, environment: str) -> Iterator[None]:
        """The load balancers of an environment's variants, with its lag."""
        state = self.folder / environment
        state.mkdir()
        names = [variant.name for variant in VARIANTS if variant.environment == environment]
        lag = self.environments[environment]
        argv = [
            *(sys.executable, "-m", "slipway.platform.alb", "--state", state),
            *("--ports", ",".join(f"{name}={self.ports[name]}" for name in names)),
            *("--learn-lag", str(lag.learn_lag), "--register-lag", str(lag.register_lag)),
        ]
        with (state / "log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
            try:
                yield
            finally:
                process.terminate()

    def begin(self) -> None:
        """Bring everything up; the Deployments last, since only then their Pods get a gate."""
        self.apply("Namespace")
        self.apply("ServiceAccount", "Service", "Ingress")
        binding = ("get", "targetgroupbindings.elbv2.k8s.aws", "--output=name")
        for name in self.objects:
            eventually(lambda name=name: self.kubectl(name, *binding), 60, f"{name} has a target group")
        self.apply("Deployment")
        self.everywhere(self.rolled_out)
        self.all_serving()

    def put_back(self) -> None:
        """Give every variant the setting that it lacks, and Pods that were made with it."""
        self.objects = self.whole
        self.apply("Namespace", "Service", "Deployment")
        self.everywhere(self.roll_out)
        self.all_serving()

    def all_serving(self) -> None:
        """Wait until every load balancer sends requests to every Pod."""
        for name in self.objects:
            eventually(
                lambda name=name: self.serving(name), 60, f"the load balancer uses every Pod of {name}"
            )

    def apply(self, *kinds: str) -> None:
        """Apply some of each variant's objects."""
        chosen = [made[kind] for made in self.objects.values() for kind in kinds]
        self.platform.cluster.apply("\n---\n".join(map(json.dumps, chosen)), manager="settings-are-needed")

    def serving(self, name: str) -> bool:
        """Whether the load balancer sends requests to every Pod."""
        file = self.folder / ENVIRONMENT[name] / "alb" / "status.json"
        seen = json.loads(file.read_text() if file.exists() else "{}")
        mine = [one for one in seen["load_balancers"] if one["name"] == name]
        rules = [rule for one in mine for listener in one["listeners"] for rule in listener["rules"]]
        wanted = {rule["action"] for rule in rules}
        groups = [one for one in seen["target_groups"] if any(one["name"] in action for action in wanted)]
        ready = [target for group in groups for target in group["targets"] if target["serving"]]
        return len(ready) == REPLICAS and httpx.get(self.urls[name], timeout=5).status_code == 200

    def rolled_out(self, name: str) -> None:
        """Wait until every Pod is a new one."""
        self.platform.cluster.rolled_out(name, f"deployment/{NAME}", 360)

    def roll_out(self, name: str) -> None:
        """Replace every Pod, until the old ones are gone."""
        self.kubectl(name, "rollout", "restart", f"deployment/{NAME}")
        self.rolled_out(name)

        def gone() -> bool:
            pods = json.loads(self.kubectl(name, "get", "pods", "--output=json"))["items"]
            return len(pods) == REPLICAS

        eventually(gone, 180, f"the old Pods of {name} are gone", every=2)

    def measure(self) -> dict[str, Outcome]:
        """Sessions first, then every rollout at once under load."""
        lost = {name: sessions_lost(url) for name, url in self.urls.items()}
        named = [f"{name}={port}" for name, port in self.ports.items()]
        argv = [sys.executable, "-m", "tests.platform.settings_load", *named]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                self.everywhere(self.roll_out)
            finally:
                process.terminate()
                printed, _ = process.communicate(timeout=90)
        counted = json.loads(printed)
        return {name: Outcome(**counted[name], sessions_lost=lost[name]) for name in counted}

    def end(self) -> None:
        """Take everything out of the cluster and out of the load balancer, however far it came."""
        self.everywhere(self.remove)
        cluster = self.platform.cluster
        for name in self.objects:
            with suppress(CommandFailed):
                cluster.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")
        eventually(
            lambda: not any(cluster.exists("namespace", name) for name in self.objects),
            180,
            "the Namespaces are gone",
            every=2,
        )
        eventually(lambda: not left_in_aws(set(self.objects)), 60, "the load balancers are gone")

    def remove(self, name: str) -> None:
        """Delete a Deployment with its Pods, which need not be waited for: nobody sends requests any more."""
        with suppress(CommandFailed):
            self.kubectl(name, "delete", "deployment", NAME, "--ignore-not-found")
            self.kubectl(name, "delete", "pods", "--all", "--grace-period=1", "--wait=false")


def left_in_aws(names: set[str]) -> list[str]:
    """Load balancers of these names, and the target groups of Namespaces that are no more."""
    seen = httpx.get(f"{config.AWS_URL}/slipway/elbv2", timeout=10).raise_for_status().json()
    balancers = [one["LoadBalancerName"] for one in seen["LoadBalancers"] if one["LoadBalancerName"] in names]
    groups = [one["TargetGroupName"] for one in seen["TargetGroups"]]
    return balancers + [one for one in groups if one.startswith("k8s-settings")]


def sessions_lost(url: str) -> int:
    """How many of a few clients with cookies, in whose Pods nothing happens, come back to one that knows them not."""
    lost = 0
    for _ in range(SESSIONS):
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
            name = client.get("/session").raise_for_status().text
            statuses = {client.get(f"/session/{name}").status_code for _ in range(RETURNS)}
        assert statuses <= {200, 404}
        lost += statuses != {200}
    return lost


@dataclass(frozen=True)
class Outcomes:
    """What was seen of every variant, by name: without its setting, and with it again."""

    without: dict[str, Outcome]
    put_back: dict[str, Outcome]


@pytest.fixture(scope="module")
def outcomes(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """Both measurements; afterwards nothing of the variants is left."""
    laboratory = Laboratory(platform, tmp_path_factory.mktemp("settings"))
    with ExitStack() as stack:
        stack.callback(laboratory.end)
        for environment in laboratory.environments:
            stack.enter_context(laboratory.data_plane(environment))
        laboratory.begin()
        without = laboratory.measure()
        laboratory.put_back()
        measured = Outcomes(without, laboratory.measure())
    for when, seen in vars(measured).items():
        for name, outcome in seen.items():
            print(f"{name}, {when}: {outcome}")
    yield measured


@pytest.mark.parametrize("name", [WHOLE, LATE_WHOLE])
def test_with_every_setting_no_request_fails_and_no_session_is_lost(outcomes: Outcomes, name: str) -> None:
    """Under dev's lag and waiting times, and under a longer lag with production's."""
    no_failure(outcomes.without[name])


@pytest.mark.parametrize("name", [variant.name for variant in VARIANTS])
def test_put_back_no_request_fails_and_no_session_is_lost(outcomes: Outcomes, name: str) -> None:
    """The same Deployment, load balancer, load and lag as without the setting."""
    no_failure(outcomes.put_back[name])


def no_failure(seen: Outcome) -> None:
    """The load lasted, and its users noticed nothing."""
    assert seen.requests > RATE * 60, "the load did not last for a rollout"
    assert (seen.failures, seen.sessions_lost) == (0, 0), seen


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("settings-no-gate", ("503",)),
        ("settings-no-unavailable", ("503",)),
        ("settings-no-prestop", ("502", "504")),
        ("settings-no-grace", ("502", "504")),
    ],
)
def test_without_the_setting_requests_fail(outcomes: Outcomes, name: str, statuses: tuple[str, ...]) -> None:
    """The same load, the same lag, one setting less: too few Pods for the users, or requests sent to one that ended."""
    seen = outcomes.without[name]
    assert any(kind.startswith(statuses) for kind in seen.kinds), seen
    assert seen.sessions_lost == 0, "a setting of rollouts has nothing to do with sessions"


def test_without_stickiness_sessions_are_lost_and_no_request_is(outcomes: Outcomes) -> None:
    """A client's next request reaches a Pod that does not know it, although nothing rolls out."""
    seen = outcomes.without["settings-no-stickiness"]
    assert seen.sessions_lost > 0
    assert seen.failures == 0, seen
