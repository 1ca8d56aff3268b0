"""What a Pod may do, and who may talk to it."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import pytest
from rendering import Resource, annotations, argocd_install, argocd_objects, environment, of_kind, one

ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def pods(resources: list[Resource]) -> list[tuple[str, dict]]:
    """Name and Pod spec of every workload."""
    workloads = of_kind(resources, "Deployment", "StatefulSet")
    return [(w["metadata"]["name"], w["spec"]["template"]["spec"]) for w in workloads]


def breaches(pod: dict) -> list[str]:
    """What the Pod Security Standard `restricted` would refuse."""
    found = [f"host field {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", []):
        found += [f"volume {volume['name']}" for kind in set(volume) - {"name"} - ALLOWED_VOLUMES]
    common = pod.get("securityContext", {})
    for container in pod.get("initContainers", []) + pod["containers"]:
        context = common | container.get("securityContext", {})
        name = container["name"]
        checks = {
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "runAsUser": context.get("runAsUser") != 0,
            "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
            "capabilities": context.get("capabilities", {}).get("drop") == ["ALL"]
            and set(context["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"},
            "seccompProfile": context.get("seccompProfile", {}).get("type")
            in ("RuntimeDefault", "Localhost"),
            "privileged": not context.get("privileged"),
            "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
        }
        found += [f"{name}: {check}" for check, passed in checks.items() if not passed]
    return found


def test_the_check_itself_refuses():
    """A Pod that says nothing about itself is refused for four reasons."""
    assert breaches({"containers": [{"name": "bare"}]}) == [
        "bare: runAsNonRoot",
        "bare: allowPrivilegeEscalation",
        "bare: capabilities",
        "bare: seccompProfile",
    ]


def test_every_pod_is_restricted(resources):
    """What the Namespace enforces, every Pod meets."""
    assert {name: breaches(pod) for name, pod in pods(resources) if breaches(pod)} == {}


def test_root_file_systems_are_read_only(resources):
    """What a container writes goes to a volume that is gone with the Pod, or to the database's."""
    for name, pod in pods(resources):
        for container in pod.get("initContainers", []) + pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, name


def test_applications_run_as_the_user_of_their_image(resources):
    """A numeric user, so that `runAsNonRoot` can be checked, and the one that owns the files in the image."""
    for deployment in of_kind(resources, "Deployment"):
        context = deployment["spec"]["template"]["spec"]["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"]) == (10001, 10001)


def test_no_pod_gets_a_token_for_the_cluster(resources):
    """No Pod of ours talks to the Kubernetes API."""
    for name, pod in pods(resources):
        assert pod["automountServiceAccountToken"] is False, name


def test_resources_are_bounded_and_small(resources):
    """Every container states what it needs and how much memory it may take; three environments fit two cores."""
    for name, pod in pods(resources):
        for container in pod.get("initContainers", []) + pod["containers"]:
            wanted = container["resources"]
            assert int(wanted["requests"]["cpu"].removesuffix("m")) <= 50, name
            assert wanted["requests"]["memory"] and wanted["limits"]["memory"], name


def test_namespaces_enforce_the_restricted_standard_of_one_release(resources):
    """The level is pinned to a release, so that an upgrade of the cluster does not change what is admitted."""
    labels = one(resources, "Namespace", resources[0]["metadata"]["name"])["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert labels[f"pod-security.kubernetes.io/{mode}-version"] == "v1.37"


def test_pruning_spares_the_namespace(resources):
    """Removing an overlay never takes a Namespace and all that is in it along."""
    (namespace,) = of_kind(resources, "Namespace")
    options = annotations(namespace)["argocd.argoproj.io/sync-options"].split(",")
    assert set(options) == {"Prune=false", "Delete=false"}


def test_pruning_asks_before_it_takes_data_away(place, resources):
    """The database here, on AWS the way to it; everything else is pruned as soon as it leaves Git."""
    asking = {
        (r["kind"], r["metadata"]["name"])
        for r in resources
        if annotations(r).get("argocd.argoproj.io/sync-options") == "Prune=confirm,Delete=confirm"
    }
    holding = {"local": ("StatefulSet", "board-postgres"), "eks": ("ExternalSecret", "board-database")}
    assert asking == {holding[place[1]]}


def test_nothing_may_talk_unless_a_policy_says_so(resources):
    """The default is no, in both directions, for every Pod."""
    assert one(resources, "NetworkPolicy", "default-deny")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_policies_select_pods_and_ports_that_exist(resources):
    """A policy for a label or port name that no Pod has would allow nothing."""
    templates = [w["spec"]["template"] for w in of_kind(resources, "Deployment", "StatefulSet")]
    for policy in of_kind(resources, "NetworkPolicy"):
        wanted = policy["spec"]["podSelector"].get("matchLabels", {})
        selected = [t for t in templates if wanted.items() <= t["metadata"]["labels"].items()]
        assert selected, policy["metadata"]["name"]
        named = {p["name"] for t in selected for c in t["spec"]["containers"] for p in c["ports"]}
        for rule in policy["spec"].get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= named


def sources(resources: list[Resource], policy: str) -> list[dict]:
    """Who may send to the Pods of a policy."""
    rules = one(resources, "NetworkPolicy", policy)["spec"]["ingress"]
    return [peer for rule in rules for peer in rule["from"]]


def test_the_load_balancer_reaches_both_applications_and_nothing_else_comes_from_outside(place, resources):
    """Addresses outside the cluster are allowed for the load balancer alone, and only where it lives."""
    blocks = {"local": ["10.250.1.1/32"], "eks": ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]}[place[1]]
    for policy in ("board-backend", "board-frontend"):
        allowed = [peer["ipBlock"]["cidr"] for peer in sources(resources, policy) if "ipBlock" in peer]
        assert allowed == blocks, policy


def test_argocd_may_send_its_events_to_the_backend_only(resources):
    """Of the other namespaces, only Argo CD's notifications controller may send, and only to the backend."""
    foreign = {
        policy["metadata"]["name"]: [
            p for p in sources(resources, policy["metadata"]["name"]) if "namespaceSelector" in p
        ]
        for policy in of_kind(resources, "NetworkPolicy")
        if policy["spec"].get("ingress")
    }
    (peer,) = foreign.pop("board-backend")
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "argocd-notifications-controller"}
    assert not any(foreign.values())


def ways_out(resources: list[Resource], name: str) -> set[tuple[str, int | str]]:
    """Where the Pods of a workload may connect to, DNS aside: (address or Pods, port)."""
    policies = [
        p["spec"]
        for p in of_kind(resources, "NetworkPolicy")
        if p["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name") == name
    ]
    found = set()
    for rule in (rule for spec in policies for rule in spec.get("egress", [])):
        for peer in rule["to"]:
            target = peer["ipBlock"]["cidr"] if "ipBlock" in peer else None
            target = target or peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
            found |= {(target, port["port"]) for port in rule["ports"]}
    return found


def test_the_backend_reaches_what_it_reads_and_no_more(place, resources):
    """Its database, Git, the registry and Argo CD."""
    local = {
        ("board-postgres", "postgres"),
        ("10.250.1.1/32", 3000),
        ("10.250.1.1/32", 5000),
        ("argocd-server", 8080),
    }
    eks = {(f"10.0.{subnet}.0/24", 5432) for subnet in (20, 21, 22)}
    eks |= {(f"10.0.{subnet}.0/19", 443) for subnet in (64, 96, 128)}
    eks |= {("169.254.170.23/32", 80), ("0.0.0.0/0", 443)}
    assert ways_out(resources, "board-backend") == {"local": local, "eks": eks}[place[1]]


def test_the_page_reaches_its_backend_only(resources):
    """What a browser can make Streamlit do, it can do to the backend alone."""
    assert ways_out(resources, "board-frontend") == {("board-backend", "http")}


def test_the_way_to_the_internet_is_none_into_the_network():
    """HTTPS to public addresses does not open the VPC, its peers, or the node's metadata."""
    policy = one(environment("prod", "eks"), "NetworkPolicy", "board-backend-to-https")
    ((peer,),) = [rule["to"] for rule in policy["spec"]["egress"]]
    closed = [ip_network(block) for block in peer["ipBlock"]["except"]]
    for address in ("10.0.20.5", "172.20.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254"):
        assert any(ip_address(address) in block for block in closed), address


def test_argocd_lets_the_board_ask_it():
    """The Pods and the port that the board's policy names are those of Argo CD's server, which refuses nobody."""
    resources = argocd_install("local")
    service = one(resources, "Service", "argocd-server")["spec"]
    assert service["selector"] == {"app.kubernetes.io/name": "argocd-server"}
    assert [port["targetPort"] for port in service["ports"] if port["port"] == 80] == [8080]
    policy = one(resources, "NetworkPolicy", "argocd-server-network-policy")["spec"]
    assert policy["ingress"] == [{}]


def told(resources: list[Resource], deployment: str) -> dict[str, str]:
    """The plain environment variables of an application."""
    (container,) = one(resources, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def test_the_board_reads_what_argocd_deploys_and_writes(place, resources):
    """The repository of the Applications, the log of the notifications, and the Argo CD that has both."""
    cluster = place[1]
    variables = told(resources, "board-backend")
    (source,) = one(argocd_objects(cluster), "AppProject", place[0])["spec"]["sourceRepos"]
    assert variables["BOARD_DEPLOY_REPO"] == source
    assert variables["BOARD_EVENTS_REPO"] == source.replace("/deploy.git", "/events.git")
    assert variables["BOARD_SOURCE_REPO"] == source.replace("/deploy.git", "/source.git")
    settings = one(argocd_install(cluster), "ConfigMap", "argocd-cm")["data"]
    assert variables["BOARD_ARGOCD_URL"] == settings["url"]


def test_people_log_in_before_they_see_the_board_on_eks():
    """Every path of the public name asks for a login, and the name in the header counts from the load balancer only."""
    resources = environment("prod", "eks")
    login = annotations(one(resources, "Ingress", "board"), "alb.ingress.kubernetes.io/auth-")
    assert (login["type"], login["on-unauthenticated-request"]) == ("oidc", "authenticate")
    provider = json.loads(login["idp-oidc"])
    assert {value.partition(":")[0] for key, value in provider.items() if key != "secretName"} == {"https"}
    variables = told(resources, "board-backend")
    assert variables["BOARD_SIGN_ON_HEADER"] == "x-amzn-oidc-identity"
    blocks = [peer["ipBlock"]["cidr"] for peer in sources(resources, "board-backend") if "ipBlock" in peer]
    assert variables["BOARD_SIGN_ON_FROM"].split(",") == blocks
    assert "BOARD_OPEN" not in variables


def test_copies_of_repositories_fit_where_they_are_kept(resources):
    """They lie on the volume that has the room, and go with the Pod."""
    pod = one(resources, "Deployment", "board-backend")["spec"]["template"]["spec"]
    assert told(resources, "board-backend")["BOARD_DATA_DIR"] == "/tmp/mirrors"
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}}]
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "512Mi"


@pytest.mark.parametrize("path", ["/metrics", "/_stcore/metrics"])
def test_metrics_are_not_public(resources, path):
    """The load balancer answers for the metrics itself, ahead of the prefix that would let them through."""
    paths = one(resources, "Ingress", "board")["spec"]["rules"][0]["http"]["paths"]
    (found,) = [p for p in paths if p["path"] == path]
    assert (found["pathType"], found["backend"]["service"]["name"]) == ("Exact", "not-found")


def test_https_redirects_with_a_current_policy():
    """On EKS everything is TLS with a policy of this decade, and the page knows its public name."""
    resources = environment("prod", "eks")
    ingress = annotations(one(resources, "Ingress", "board"), "alb.ingress.kubernetes.io/")
    assert ingress["ssl-redirect"] == "443"
    assert ingress["ssl-policy"].startswith("ELBSecurityPolicy-TLS13-")
    assert '"HTTPS":443' in ingress["listen-ports"]
    (container,) = one(resources, "Deployment", "board-frontend")["spec"]["template"]["spec"]["containers"]
    assert [v["name"] for v in container["env"]][-2:] == [
        "NAMESPACE",
        "STREAMLIT_BROWSER_SERVER_ADDRESS",
    ]


@pytest.mark.parametrize("cluster", ["local", "eks"])
def test_argocd_itself_is_restricted(cluster):
    """Argo CD's Namespace enforces the same standard, and its own manifests meet it."""
    resources = argocd_install(cluster)
    labels = one(resources, "Namespace", "argocd")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {name: breaches(pod) for name, pod in pods(resources) if breaches(pod)} == {}
