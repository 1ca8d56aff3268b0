"""Argo CD's own objects: valid, limited to what is deployed, and one per environment."""

from __future__ import annotations

import fnmatch
import json
import re
from datetime import UTC, datetime
from functools import cache

import jsonschema
import pytest
import yaml
from pysequoia import Cert
from rendering import (
    CLUSTERS,
    ENVIRONMENTS,
    Resource,
    annotations,
    argocd_install,
    argocd_objects,
    environment,
    load,
    of_kind,
    one,
)
from slipway import paths, toolchain
from slipway.policy.environment import parse_policy
from slipway.policy.windows import parse_windows, read, windows_path
from slipway.policy.windows_check import check

GITHUB = "B5690EEEBB952194"
"""The key by which GitHub signs what is merged on its pages."""
REPOSITORY = {
    "local": "http://10.250.1.1:3000/slipway/deploy.git",
    "eks": "https://github.com/slipway/deploy.git",
}


@cache
def validator(kind: str) -> jsonschema.Draft7Validator:
    """The kind's schema from the pinned Argo CD, made to refuse unknown fields as the API server does."""
    definition = load(toolchain.share("cluster", f"argocd/crds/{kind.lower()}-crd.yaml"))
    (version,) = definition["spec"]["versions"]
    return jsonschema.Draft7Validator(strict(version["schema"]["openAPIV3Schema"]))


def strict(node: dict) -> dict:
    """The schema with `additionalProperties: false` wherever fields are listed."""
    made = {key: strict(value) if isinstance(value, dict) else value for key, value in node.items()}
    if (
        isinstance(node.get("properties"), dict)
        and "type" in node
        and not node.get("x-kubernetes-preserve-unknown-fields")
    ):
        made.setdefault("additionalProperties", False)
    return made


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> str:
    """A kind of cluster."""
    return request.param


@pytest.fixture
def objects(cluster: str) -> list[Resource]:
    """The projects and ApplicationSets there."""
    return argocd_objects(cluster)


@pytest.fixture(params=ENVIRONMENTS)
def name(request: pytest.FixtureRequest) -> str:
    """An environment."""
    return request.param


@pytest.fixture
def project(objects, name) -> dict:
    """The environment's project."""
    return one(objects, "AppProject", name)["spec"]


@pytest.fixture
def application_set(objects, name) -> dict:
    """The environment's ApplicationSet."""
    return one(objects, "ApplicationSet", name)["spec"]


def destination(cluster: str, name: str) -> dict[str, str]:
    """Where an environment runs: on EKS, one Argo CD in prod deploys to two clusters."""
    if cluster == "eks" and name != "prod":
        return {"name": "nonprod"}
    return {"server": "https://kubernetes.default.svc"}


def test_the_schema_check_refuses_an_unknown_field(objects):
    """A misspelt field does not pass as an extension."""
    wrong = one(objects, "AppProject", "prod") | {"spec": {"sourceRepo": ["x"]}}
    with pytest.raises(jsonschema.ValidationError, match="sourceRepo"):
        validator("AppProject").validate(wrong)


def test_objects_are_valid_for_the_pinned_argocd(objects):
    """Every field is one that this release knows, `retry.refresh` and the named whitelist included."""
    for resource in objects:
        validator(resource["kind"]).validate(resource)


def test_there_is_one_project_and_one_applicationset_per_environment(objects):
    """No environment is forgotten, nothing but these and the closed default is rendered, all of it in argocd."""
    assert {r["metadata"]["name"] for r in of_kind(objects, "ApplicationSet")} == set(ENVIRONMENTS)
    assert {r["metadata"]["name"] for r in of_kind(objects, "AppProject")} == {*ENVIRONMENTS, "default"}
    assert {r["kind"] for r in objects} == {"AppProject", "ApplicationSet"}
    assert {r["metadata"]["namespace"] for r in objects} == {"argocd"}


def test_the_default_project_is_closed(objects):
    """An Application that names no project of ours can deploy nothing."""
    spec = one(objects, "AppProject", "default")["spec"]
    assert spec["sourceRepos"] == spec["destinations"] == spec["clusterResourceWhitelist"] == []
    assert spec["namespaceResourceBlacklist"] == [{"group": "*", "kind": "*"}]


def test_a_project_reaches_its_environment_only(project, cluster, name):
    """One repository, one namespace of one cluster, one cluster-wide object: its own Namespace."""
    assert project["sourceRepos"] == [REPOSITORY[cluster]]
    assert project["destinations"] == [{**destination(cluster, name), "namespace": name}]
    assert project["clusterResourceWhitelist"] == [{"group": "", "kind": "Namespace", "name": name}]
    assert project["orphanedResources"]["warn"] is True


def test_sync_windows_agree_with_the_policy(project, name):
    """What Argo CD has for windows is what `slipway freeze` wrote, and says the same as the policy for a year."""
    path = f"overlays/{name}/environment.yaml"
    policy = parse_policy((paths.CHECKOUT / path).read_bytes(), environment=name, path=path)
    windows = parse_windows(project["syncWindows"])
    assert windows == read((paths.CHECKOUT / windows_path(name)).read_bytes(), name)
    assert not [str(one) for one in check(policy, windows, datetime.now(UTC)) if one.wrong]


def test_a_project_allows_exactly_the_kinds_that_are_rendered(project, cluster, name):
    """A kind that is not deployed is not allowed, save what workloads make; no Pod without a workload is deployed."""
    made = {("apps", "ReplicaSet"), ("", "Pod")}
    rendered = {
        (r["apiVersion"].rpartition("/")[0], r["kind"])
        for r in environment(name, cluster)
        if r["kind"] != "Namespace"
    }
    assert not rendered & made
    allowed = {(item["group"], item["kind"]) for item in project["namespaceResourceWhitelist"]}
    assert allowed == rendered | made


def test_the_glob_finds_every_application_and_no_policy_file(application_set, name):
    """Each folder of the environment becomes an Application; environment.yaml is a file and does not."""
    (generator,) = application_set["generators"]
    (directory,) = generator["git"]["directories"]
    tree = paths.CHECKOUT / "overlays"
    folders = {str(f.relative_to(paths.CHECKOUT)) for f in tree.glob("*/*") if f.is_dir()}
    found = {folder for folder in folders if fnmatch.fnmatchcase(folder, directory["path"])}
    assert found == {f"overlays/{name}/{f.parent.name}" for f in tree.glob(f"{name}/*/kustomization.yaml")}
    assert f"overlays/{name}/board" in found


def test_applications_belong_to_their_environment(application_set, cluster, name):
    """Name, labels, project, namespace, source: no part of an Application names another environment."""
    template = application_set["template"]
    assert template["metadata"]["name"] == f"{name}-{{{{.path.basename}}}}"
    assert template["metadata"]["labels"] == {"application": "{{.path.basename}}", "environment": name}
    spec = template["spec"]
    assert spec["project"] == name
    assert spec["destination"] == {**destination(cluster, name), "namespace": name}
    assert spec["source"] == {
        "repoURL": REPOSITORY[cluster],
        "targetRevision": "refs/heads/main",
        "path": "{{.path.path}}",
    }
    assert application_set["generators"][0]["git"]["repoURL"] == REPOSITORY[cluster]
    assert application_set["generators"][0]["git"]["revision"] == "refs/heads/main"


def test_a_template_that_misses_a_value_is_an_error(application_set):
    """No Application is ever named `<no value>`."""
    assert application_set["goTemplate"] is True
    assert application_set["goTemplateOptions"] == ["missingkey=error"]


def test_applications_heal_prune_and_retry_with_the_newest_commit(application_set):
    """A failed commit is tried again, and its fix is not kept waiting behind it."""
    policy = application_set["template"]["spec"]["syncPolicy"]
    assert policy["automated"] == {"prune": True, "selfHeal": True, "allowEmpty": False}
    assert policy["retry"]["limit"] == 5
    assert policy["retry"]["refresh"] is True
    assert {"ServerSideApply=true", "ApplyOutOfSyncOnly=true"} <= set(policy["syncOptions"])
    assert not {"Replace=true", "Force=true", "CreateNamespace=true"} & set(policy["syncOptions"])


def test_a_bad_generator_deletes_nothing(application_set):
    """Neither an Application nor what it runs goes because a folder was not found."""
    assert application_set["syncPolicy"] == {
        "applicationsSync": "create-update",
        "preserveResourcesOnDeletion": True,
    }


def test_a_change_anywhere_in_what_an_overlay_reads_refreshes_it(application_set, name):
    """`manifest-generate-paths` covers every folder that the overlay's rendering comes from."""
    value = application_set["template"]["metadata"]["annotations"][
        "argocd.argoproj.io/manifest-generate-paths"
    ]
    overlay = paths.CHECKOUT / "overlays" / name / "board"
    covered = [paths.CHECKOUT / p[1:] if p.startswith("/") else overlay / p for p in value.split(";")]
    read, pending = set(), [overlay]
    while pending:
        folder = pending.pop().resolve()
        if folder in read or not folder.is_dir():
            continue
        read.add(folder)
        document = load(folder / "kustomization.yaml")
        entries = [e for key in ("resources", "components", "transformers") for e in document.get(key, [])]
        pending += [folder / entry for entry in entries]
    assert len(read) > 5
    for folder in read:
        assert any(folder.is_relative_to(place.resolve()) for place in covered), folder


def test_settings_make_git_the_only_way_in(cluster):
    """No terminal, no deploying of chosen revisions, no rights by default, only Kustomize with default options."""
    resources = argocd_install(cluster)
    settings = one(resources, "ConfigMap", "argocd-cm")["data"]
    assert settings["application.resourceTrackingMethod"] == "annotation"
    assert settings["application.sync.requireOverridePrivilegeForRevisionSync"] == "true"
    assert settings["exec.enabled"] == "false"
    assert settings["admin.enabled"] == {"local": "true", "eks": "false"}[cluster]
    assert (settings["helm.enable"], settings["jsonnet.enable"]) == ("false", "false")
    assert not [key for key in settings if key.startswith("kustomize.")]
    rights = one(resources, "ConfigMap", "argocd-rbac-cm")["data"]
    assert rights["policy.default"] == ""
    granted = [line.split(", ") for line in rights["policy.csv"].splitlines() if line.startswith("p, ")]
    assert {action for _, _, _, action, _, _ in granted} == {"get", "sync", "action/apps/Deployment/restart"}


def test_tokens_for_programs_can_only_read(cluster):
    """The accounts that `slipway` and the board have log in with a token only, and see Applications."""
    resources = argocd_install(cluster)
    settings = one(resources, "ConfigMap", "argocd-cm")["data"]
    accounts = {key: value for key, value in settings.items() if key.startswith("accounts.")}
    assert accounts == {"accounts.board": "apiKey", "accounts.slipway": "apiKey"}
    rules = one(resources, "ConfigMap", "argocd-rbac-cm")["data"]["policy.csv"].splitlines()
    assert [rule for rule in rules if ", board, " in rule] == ["p, board, applications, get, */*, allow"]
    assert [rule for rule in rules if ", slipway, " in rule] == ["g, slipway, role:reader"]


def test_settings_are_ones_that_argocd_reads(cluster):
    """Every key we set stands in the release's own list of keys: a misspelt one would be ignored in silence."""
    resources = argocd_install(cluster)
    for name in ("argocd-cm", "argocd-cmd-params-cm"):
        ours = load(paths.CHECKOUT / "argocd" / "install" / "settings" / f"{name}.yaml")["data"]
        live = one(resources, "ConfigMap", name)["data"]
        assert ours.keys() <= live.keys()
    read = {
        entry["valueFrom"]["configMapKeyRef"]["key"]
        for w in of_kind(resources, "Deployment", "StatefulSet")
        for container in w["spec"]["template"]["spec"]["containers"]
        for entry in container.get("env", [])
        if entry.get("valueFrom", {}).get("configMapKeyRef", {}).get("name") == "argocd-cmd-params-cm"
    }
    assert one(resources, "ConfigMap", "argocd-cmd-params-cm")["data"].keys() <= read


def test_local_install_has_no_dex_and_pulls_nothing_that_is_there():
    """What a laptop does not need is gone, references included; images that were imported are not fetched."""
    resources = argocd_install("local")
    assert not [r for r in resources if "dex-server" in r["metadata"]["name"]]
    for workload in of_kind(resources, "Deployment", "StatefulSet"):
        pod = workload["spec"]["template"]["spec"]
        for container in pod.get("initContainers", []) + pod["containers"]:
            policy = container.get("imagePullPolicy", "IfNotPresent")
            assert policy == "IfNotPresent", workload["metadata"]["name"]


def test_local_server_is_where_its_address_says():
    """Webhook, CLI and links use one address: the node's, at a port that stays."""
    resources = argocd_install("local")
    (port,) = [p for p in one(resources, "Service", "argocd-server")["spec"]["ports"] if "nodePort" in p]
    url = one(resources, "ConfigMap", "argocd-cm")["data"]["url"]
    assert url == f"http://10.250.1.2:{port['nodePort']}"


def test_eks_installs_the_release_that_is_built_here():
    """Laptop and EKS run the same Argo CD."""
    listed = load(paths.CHECKOUT / "argocd/install/eks/kustomization.yaml")["resources"]
    (resource,) = [entry for entry in listed if "://" in entry]
    version = toolchain.version("github.com/argoproj/argo-cd/v3")
    assert resource == f"https://github.com/argoproj/argo-cd//manifests/ha/cluster-install?ref={version}"


def test_nothing_subscribes_by_annotation(application_set):
    """Subscriptions are for every Application and in one place, so that a new one needs none."""
    given = annotations(application_set["template"])
    assert not [key for key in given if key.startswith("notifications.argoproj.io")]


def test_eks_outlives_a_node():
    """Whatever answers people, renders or remembers runs more than once, and not on one node."""
    resources = argocd_install("eks")
    workloads = {w["metadata"]["name"]: w["spec"] for w in of_kind(resources, "Deployment", "StatefulSet")}
    for name, replicas in {
        "argocd-server": 2,
        "argocd-repo-server": 2,
        "argocd-redis-ha-haproxy": 3,
        "argocd-redis-ha-server": 3,
    }.items():
        assert workloads[name]["replicas"] >= replicas, name
        assert workloads[name]["template"]["spec"]["affinity"]["podAntiAffinity"], name
    assert "argocd-redis" not in workloads


def test_on_eks_nodes_are_drained_one_pod_at_a_time():
    """Each workload of several Pods has a budget that holds its Pods, and no budget holds a single one."""
    resources = argocd_install("eks")
    budgets = [budget["spec"] for budget in of_kind(resources, "PodDisruptionBudget")]
    held = sorted(str(budget["selector"]["matchLabels"]) for budget in budgets)
    workloads = [w["spec"] for w in of_kind(resources, "Deployment", "StatefulSet")]
    several = [w for w in workloads if w.get("replicas", 1) > 1]
    assert held == sorted(str(w["template"]["metadata"]["labels"]) for w in several)
    assert all(budget["maxUnavailable"] == 1 for budget in budgets)


def test_what_changes_all_the_time_is_not_watched(cluster):
    """Leases and endpoints change every few seconds and are in no Git; the release excludes them, and we leave that."""
    excluded = yaml.safe_load(
        one(argocd_install(cluster), "ConfigMap", "argocd-cm")["data"]["resource.exclusions"]
    )
    kinds = {kind for entry in excluded for kind in entry["kinds"]}
    assert {"Endpoints", "EndpointSlice", "Lease", "TokenReview"} <= kinds
    deployed = {r["kind"] for name in ENVIRONMENTS for r in environment(name, cluster)}
    assert not kinds & deployed


def fetched(name: str) -> dict[str, str]:
    """What an ExternalSecret of Argo CD's own puts into its Secret: key, and where in AWS it is from."""
    external = one(argocd_install("eks"), "ExternalSecret", name)["spec"]
    assert external["target"]["name"] == name
    return {entry["secretKey"]: entry["remoteRef"]["key"] for entry in external["data"]}


def test_every_secret_that_argocd_reads_on_eks_is_fetched():
    """Each name after a dollar, in notifications and sign-on; into Secrets that Argo CD's manifests make empty."""
    resources = argocd_install("eks")
    notifications = one(resources, "ConfigMap", "argocd-notifications-cm")["data"]
    services = " ".join(text for key, text in notifications.items() if key.startswith("service."))
    assert set(re.findall(r"\$([\w-]+)", services)) == set(fetched("argocd-notifications-secret"))
    login = one(resources, "ConfigMap", "argocd-cm")["data"]["dex.config"]
    wanted = set(re.findall(r"\$([\w.-]+)", login)) | {"webhook.github.secret"}
    assert wanted == set(fetched("argocd-secret"))
    for name in ("argocd-secret", "argocd-notifications-secret"):
        assert "data" not in one(resources, "Secret", name)
        assert one(resources, "ExternalSecret", name)["spec"]["target"]["creationPolicy"] == "Merge"


def test_notifications_start_only_with_what_they_log_in_with(cluster):
    """A Pod waits for a mounted key that is not optional; what every kind of cluster has comes at once with the rest."""
    resources = argocd_install(cluster)
    pod = one(resources, "Deployment", "argocd-notifications-controller")["spec"]["template"]["spec"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == "tokens"]
    secret = volume["secret"]
    assert (secret["secretName"], secret.get("optional", False)) == ("argocd-notifications-secret", False)
    assert {item["key"] for item in secret["items"]} == {"event-log-token", "board-events-token"}
    assert "tokens" in {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}


def test_C13_on_eks_nothing_is_deployed_that_is_not_signed():
    """Every project, whatever repository, back to the last seal; GitHub's key comes in by the guide, the others are here."""
    keyring = one(argocd_install("eks"), "ConfigMap", "argocd-gpg-keys-cm")["data"]
    for name, text in keyring.items():
        assert Cert.from_bytes(text.encode()).fingerprint.upper().endswith(name)
    objects = argocd_objects("eks")
    for name in ENVIRONMENTS:
        (policy,) = one(objects, "AppProject", name)["spec"]["sourceIntegrity"]["git"]["policies"]
        assert policy["repos"] == [{"url": "*"}]
        assert policy["gpg"]["mode"] == "strict"
        assert set(policy["gpg"]["keys"]) - set(keyring) == {GITHUB}
    guide = (paths.CHECKOUT / "argocd" / "clusters" / "aws" / "README.md").read_text()
    assert GITHUB in guide and "squash" in guide


def test_the_groups_of_argocd_are_teams_of_who_logs_in():
    """Rights go to teams of the organisation that sign-on asks for, and to the two tokens."""
    resources = argocd_install("eks")
    (connector,) = yaml.safe_load(one(resources, "ConfigMap", "argocd-cm")["data"]["dex.config"])[
        "connectors"
    ]
    organisations = {entry["name"] for entry in connector["config"]["orgs"]}
    rules = one(resources, "ConfigMap", "argocd-rbac-cm")["data"]["policy.csv"].splitlines()
    groups = {rule.split(", ")[1] for rule in rules if rule.startswith("g, ")} - {"slipway", "role:operator"}
    assert groups and {group.partition(":")[0] for group in groups} == organisations


def test_the_other_cluster_is_known_by_the_name_that_projects_use():
    """What External Secrets makes of the template is a cluster as Argo CD reads it, without a token."""
    template = one(argocd_install("eks"), "ExternalSecret", "nonprod-cluster")["spec"]["target"]["template"]
    assert template["metadata"]["labels"] == {"argocd.argoproj.io/secret-type": "cluster"}
    data = {key: value.replace("{{ .ca }}", "Q0E=") for key, value in template["data"].items()}
    config = json.loads(data["config"])
    assert data["name"] == destination("eks", "dev")["name"] == destination("eks", "staging")["name"]
    assert config.keys() == {"awsAuthConfig", "tlsClientConfig"}
    assert config["tlsClientConfig"] == {"caData": "Q0E="}


def test_the_repository_that_eks_logs_in_to_is_the_one_that_is_deployed():
    """As a GitHub App; under another address Argo CD would read it as a stranger."""
    template = one(argocd_install("eks"), "ExternalSecret", "deploy-repository")["spec"]["target"]["template"]
    assert template["metadata"]["labels"] == {"argocd.argoproj.io/secret-type": "repository"}
    assert template["data"]["url"] == REPOSITORY["eks"]


def test_on_eks_only_boards_within_reach_are_told():
    """The same events to the same others: without the boards of the other cluster, to whom every delivery would fail."""
    told = {
        cluster: yaml.safe_load(
            one(argocd_install(cluster), "ConfigMap", "argocd-notifications-cm")["data"]["subscriptions"]
        )
        for cluster in CLUSTERS
    }
    away = tuple(f"board-{name}:" for name in ENVIRONMENTS if "server" not in destination("eks", name))
    for entry in told["local"]:
        entry["recipients"] = [one for one in entry["recipients"] if not one.startswith(away)]
    assert away and told["eks"] == told["local"]
