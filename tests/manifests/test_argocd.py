"""Argo CD's own objects: valid, limited to what is deployed, and one per environment."""

from __future__ import annotations

import fnmatch
from datetime import UTC, datetime
from functools import cache

import jsonschema
import pytest
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
    """One repository, one namespace, one cluster-wide object: its own Namespace."""
    assert project["sourceRepos"] == [REPOSITORY[cluster]]
    assert project["destinations"] == [{"server": "https://kubernetes.default.svc", "namespace": name}]
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
    assert (spec["project"], spec["destination"]["namespace"]) == (name, name)
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
    (resource,) = load(paths.CHECKOUT / "argocd/install/eks/kustomization.yaml")["resources"]
    version = toolchain.version("github.com/argoproj/argo-cd/v3")
    assert resource == f"https://github.com/argoproj/argo-cd//manifests/ha/cluster-install?ref={version}"


def test_nothing_subscribes_by_annotation(application_set):
    """Subscriptions are for every Application and in one place, so that a new one needs none."""
    given = annotations(application_set["template"])
    assert not [key for key in given if key.startswith("notifications.argoproj.io")]
