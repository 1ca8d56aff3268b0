"""`slipway bootstrap`: Argo CD, and what it deploys, into a cluster that has neither; again is a no-op."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from slipway.kubectl import Cluster

_NOTE = "bootstrapped"
_KNOWN = (_NOTE, "applied")
"""The notes of a cluster whose Argo CD is ours: this command's, and that of `slipway up`."""
_NOT_COMPARED = ("status", "managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")


@click.command("bootstrap")
@click.option("--context", required=True, metavar="NAME", help="Context of the cluster; there is no default.")
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The kubeconfig that has the context; else kubectl's own.")  # fmt: skip
@click.option("--kind", type=click.Choice(["eks", "local"]), default="eks", show_default=True, help="What the cluster is, and so which folder of argocd/install and argocd/clusters.")  # fmt: skip
@click.option("--adopt", is_flag=True, help="Take over an Argo CD that something else has installed.")
@click.option("--dry-run", is_flag=True, help="Ask the cluster what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    context: str, kubeconfig: Path | None, kind: str, adopt: bool, dry_run: bool, as_json: bool
) -> None:
    """Install Argo CD in a cluster and hand the environments over to it; from then on Git is the way in.

    Refused: a context that the kubeconfig lacks, a cluster that is not of the kind, an Argo CD of somebody else.

    Example: slipway bootstrap --context slipway-prod --dry-run
    """
    from slipway.kubectl import Cluster
    from slipway.platform import argocd

    cluster = Cluster(kubeconfig, context)
    server = _refuse_the_wrong_one(cluster, kind, adopt)
    with tempfile.TemporaryDirectory() as workspace:
        parts = [argocd.installation(kind, Path(workspace)), argocd.environments(kind)]
    made: dict[str, list[str]] = {"created": [], "changed": [], "unchanged": []}
    for place, part in enumerate(parts):
        _add(made, _apply(cluster, part, dry_run))
        if not dry_run and place == 0:
            cluster.wait("--for=condition=Established", *_definitions(part), seconds=60)
            argocd.wait(cluster, tokens=False)  # External Secrets brings them, in its own time
    if not dry_run and not cluster.remembers(_NOTE, kind):
        cluster.remember(_NOTE, kind)
    if as_json:
        where = {"context": context, "server": server, "kind": kind, "dry_run": dry_run}
        click.echo(json.dumps(where | made))
        return
    would = "would be " if dry_run else ""
    click.echo(f"{context} ({server}):")
    for word in ("created", "changed"):
        for name in made[word]:
            click.echo(f"  {would}{word}  {name}")
    click.echo(f"  {would}unchanged  {len(made['unchanged'])} objects")


def _refuse_the_wrong_one(cluster: Cluster, kind: str, adopt: bool) -> str:
    """The API server's address, once it is clear that the cluster is the one that is meant."""
    from slipway.errors import InvalidInput, StateError

    config = json.loads(cluster.kubectl_config())
    contexts = {entry["name"]: entry["context"] for entry in config.get("contexts") or []}
    if cluster.context not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise InvalidInput(f"there is no context {cluster.context}", fix=f"those of the kubeconfig: {known}")
    named = {entry["name"]: entry["cluster"]["server"] for entry in config["clusters"]}
    server = named[contexts[cluster.context]["cluster"]]
    version = json.loads(cluster.kubectl("version", "-o", "json").stdout)["serverVersion"]["gitVersion"]
    if ("-eks-" in version) != (kind == "eks"):
        raise StateError(
            f"{cluster.context} ({server}) is no cluster of the kind {kind}: it runs {version}",
            fix="name the context that you mean, or its --kind",
        )
    if kind == "eks" and not cluster.exists("crd", "externalsecrets.external-secrets.io"):
        raise StateError(
            f"{cluster.context} has no External Secrets, from which Argo CD gets its secrets",
            fix="install it first: argocd/clusters/aws/README.md, step 7",
        )
    there = cluster.exists("--namespace", "argocd", "deployment", "argocd-server")
    if there and not adopt and not any(cluster.exists(*_note(name)) for name in _KNOWN):
        raise StateError(
            f"{cluster.context} ({server}) has an Argo CD that Slipway did not install",
            fix="another context, or --adopt, which overwrites its settings",
        )
    return server


def _note(name: str) -> tuple[str, ...]:
    from slipway.kubectl import NOTES

    return ("--namespace", NOTES, "configmap", f"slipway-{name}")


def _definitions(manifest: str) -> list[str]:
    """The custom kinds that a manifest brings, as kubectl takes them."""
    return [
        f"crd/{one['metadata']['name']}" for one in _parsed(manifest) if one["kind"].endswith("Definition")
    ]


def _parsed(manifest: str) -> list[dict]:
    import yaml

    return [document for document in yaml.load_all(manifest, yaml.CSafeLoader) if document]


def _apply(cluster: Cluster, manifest: str, dry_run: bool) -> dict[str, list[str]]:
    """Apply, or ask what applying would do; the names of objects by what became of them."""
    from slipway.errors import CommandFailed
    from slipway.platform import argocd

    try:
        before = _listed(
            cluster.kubectl("get", "--ignore-not-found", "-o", "json", "-f", "-", input=manifest).stdout
        )
    except CommandFailed as exc:
        if "no matches for kind" not in exc.output:
            raise
        before = {}  # its kinds come with Argo CD itself
    wanted = _parsed(manifest)
    asked = [one for one in wanted if not dry_run or _name(one) in before]
    text = "\n---\n".join(json.dumps(one) for one in asked)
    answer = cluster.applied(text, manager=argocd.MANAGER, dry_run=dry_run) if asked else ""
    after = _listed(answer)
    made: dict[str, list[str]] = {"created": [], "changed": [], "unchanged": []}
    for name in sorted(_name(one) for one in wanted):
        if name not in before:
            made["created"].append(name)
        else:
            made["unchanged" if _compared(before[name]) == _compared(after[name]) else "changed"].append(name)
    return made


def _add(made: dict[str, list[str]], more: dict[str, list[str]]) -> None:
    for word, names in more.items():
        made[word] += names


def _listed(text: str) -> dict[str, dict]:
    """What kubectl printed: nothing, an object, or a list of them."""
    if not text.strip():
        return {}
    answer = json.loads(text)
    return {_name(one): one for one in (answer["items"] if answer["kind"] == "List" else [answer])}


def _name(one: dict) -> str:
    group = one["apiVersion"].rpartition("/")[0]
    return f"{one['kind']}{'.' + group if group else ''}/{one['metadata']['name']}"


def _compared(one: dict) -> dict:
    """An object without what the cluster itself keeps in it."""
    kept = {key: value for key, value in one.items() if key not in _NOT_COMPARED}
    metadata = {key: value for key, value in one["metadata"].items() if key not in _NOT_COMPARED}
    return kept | {"metadata": metadata}
