"""What became of an application's objects is told right, whatever kustomize did to their names."""

from __future__ import annotations

from slipway.gate.diff_objects import HIDDEN, HIDDEN_CHANGED, compare_objects
from slipway.gate.overlay import Object

OLD, NEW = "settings-4bt2c9k7mf", "settings-9h8g7d6c5b"


def obj(kind: str, name: str, api: str = "v1", namespace: str = "dev", **data) -> Object:
    metadata = {"name": name, "namespace": namespace} | data.pop("metadata", {})
    return Object({"apiVersion": api, "kind": kind, "metadata": metadata, **data}, f"{name}.yaml", 1)


def deployment(
    image: str = "registry.example/app:v1", config: str = OLD, replicas: int = 2, **more
) -> Object:
    containers = [{"name": "app", "image": image, "envFrom": [{"configMapRef": {"name": config}}]}]
    spec = {"replicas": replicas, "template": {"spec": {"containers": containers}}, **more}
    return obj("Deployment", "app", "apps/v1", spec=spec)


def told(found) -> list[tuple[str, str]]:
    return [(one.change, one.object) for one in found.changes]


def test_equal_renderings_differ_in_nothing():
    """The same objects in another order are the same."""
    objects = [deployment(), obj("Service", "app")]
    found = compare_objects(objects, objects[::-1])
    assert not (found.changes or found.images or found.restarts)


def test_added_changed_and_removed_objects_are_told():
    """Each with its lines; an object is known by group, kind, namespace and name."""
    before = [deployment(), obj("Service", "old")]
    after = [deployment(replicas=3), obj("Service", "new")]
    found = compare_objects(before, after)
    assert sorted(told(found)) == [
        ("added", "Service/dev/new"),
        ("changed", "Deployment/dev/app"),
        ("removed", "Service/dev/old"),
    ]
    changed = next(one for one in found.changes if one.change == "changed")
    assert "-  replicas: 2" in changed.diff and "+  replicas: 3" in changed.diff
    removed = next(one for one in found.changes if one.change == "removed")
    assert all(line[0] in "-@" for line in removed.diff)


def test_a_new_version_of_an_api_is_a_change_and_not_another_object():
    before, after = [obj("Thing", "x", "a.example/v1")], [obj("Thing", "x", "a.example/v2")]
    assert told(compare_objects(before, after)) == [("changed", "Thing/dev/x")]


def test_generated_names_are_folded_and_their_readers_only_restart():
    """A ConfigMap under a new hash is one change, and the Deployment that names it has none."""
    before = [deployment(config=OLD), obj("ConfigMap", OLD, data={"A": "1"})]
    after = [deployment(config=NEW), obj("ConfigMap", NEW, data={"A": "2"})]
    found = compare_objects(before, after)
    assert told(found) == [("changed", f"ConfigMap/dev/{NEW}")]
    assert found.changes[0].was == OLD and "+  A: '2'" in found.changes[0].diff
    assert not any("name:" in line for line in found.changes[0].diff if line[0] in "+-")
    assert found.restarts == ("Deployment/dev/app",)


def test_a_reader_that_changes_otherwise_too_shows_only_that():
    before = [deployment(config=OLD), obj("ConfigMap", OLD, data={"A": "1"})]
    after = [deployment(config=NEW, replicas=5), obj("ConfigMap", NEW, data={"A": "2"})]
    found = compare_objects(before, after)
    change = next(one for one in found.changes if one.kind == "Deployment")
    assert [line for line in change.diff if line[0] in "+-"] == ["-  replicas: 2", "+  replicas: 5"]
    assert not found.restarts


def test_a_generated_config_that_is_gone_is_removed():
    """Two with one stem are not guessed at, and a name that only looks alike is another kind's."""
    gone = compare_objects([obj("ConfigMap", OLD)], [])
    assert told(gone) == [("removed", f"ConfigMap/dev/{OLD}")]
    moved = compare_objects([obj("Service", OLD)], [obj("Service", NEW)])
    assert [one.change for one in moved.changes] == ["removed", "added"]


def test_secrets_are_hidden_and_what_changed_in_them_is_told():
    """No value, no length, no last-applied copy; added, changed and removed alike."""
    last = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "geheim"}}
    before = obj(
        "Secret", "s", data={"a": "b2xk", "b": "c2FtZQ=="}, stringData={"c": "geheim"}, metadata=last
    )
    after = obj("Secret", "s", data={"a": "bmV3", "b": "c2FtZQ=="}, stringData={"c": "geheim"}, metadata=last)
    shown = [
        line
        for pair in (([before], [after]), ([before], []), ([], [after]))
        for one in compare_objects(*pair).changes
        for line in one.diff
    ]
    text = "\n".join(shown)
    assert not any(value in text for value in ("b2xk", "bmV3", "c2FtZQ", "geheim"))
    changed = compare_objects([before], [after]).changes[0].diff
    assert f"-  a: {HIDDEN}" in changed and f"+  a: {HIDDEN_CHANGED}" in changed
    assert f"   b: {HIDDEN}" in changed


def test_a_secret_whose_data_is_no_mapping_is_hidden_whole():
    found = compare_objects([obj("Secret", "s", data="geheim")], [obj("Secret", "s", data="anders")])
    assert "geheim" not in str(found) and "anders" not in str(found)


def test_images_are_those_of_containers_on_both_sides():
    """Old and new reference once each, however many containers have them; init containers count."""
    before, after = deployment(image="r.example/app:v1"), deployment(image="r.example/app:v2")
    found = compare_objects([before], [after])
    assert [(one.old, one.new) for one in found.images] == [("r.example/app:v1", "r.example/app:v2")]
