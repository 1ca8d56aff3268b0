"""The border to a cluster: the pinned kubectl with one kubeconfig and, if named, one context."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from slipway import toolchain
from slipway.proc import Result, run

NOTES = "argocd"
"""The namespace of the notes, so that they go when Argo CD goes."""


@dataclass(frozen=True)
class Cluster:
    """A cluster to talk to."""

    kubeconfig: Path | None
    context: str | None = None

    def kubectl(
        self, *arguments: str | Path, input: str | None = None, timeout: float = 120, **options
    ) -> Result:
        """Run kubectl; raises `CommandFailed` with its text."""
        where = ["--kubeconfig", self.kubeconfig] if self.kubeconfig else []
        context = ["--context", self.context] if self.context else []
        argv = [toolchain.tool("kubectl"), *where, *context, *arguments]
        return run(argv, input=input, timeout=timeout, **options)

    def apply(self, manifest: str, manager: str = "slipway") -> None:
        """Server-side apply of a stream of documents; ours win conflicts. The text goes through stdin only.

        Each writer has a manager name of its own, so that one does not remove what another set.
        """
        self.applied(manifest, manager)

    def applied(self, manifest: str, manager: str, dry_run: bool = False) -> str:
        """The same, and the objects as JSON as they are now; with `dry_run`, as they would be."""
        options = ["--server-side", "--force-conflicts", f"--field-manager={manager}"]
        options += ["--dry-run=server"] if dry_run else []
        return self.kubectl("apply", *options, "-o", "json", "-f", "-", input=manifest, timeout=180).stdout

    def kubectl_config(self) -> str:
        """The kubeconfig as JSON, without its secrets; asks no cluster, and does not mind a context that is not there."""
        where = ["--kubeconfig", self.kubeconfig] if self.kubeconfig else []
        return run([toolchain.tool("kubectl"), *where, "config", "view", "-o", "json"]).stdout

    def remembers(self, name: str, value: str) -> bool:
        """Whether `remember` was last called with this value, on this very cluster."""
        query = (
            "--namespace",
            NOTES,
            "configmap",
            f"slipway-{name}",
            "--ignore-not-found",
            "-o",
            "json",
        )
        found = self.kubectl("get", *query).stdout
        return bool(found) and json.loads(found).get("data", {}).get("value") == value

    def remember(self, name: str, value: str) -> None:
        """Leave a note in the cluster itself, so that a new cluster, or a new Argo CD in it, starts from nothing."""
        metadata = {"name": f"slipway-{name}", "namespace": NOTES}
        note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}
        self.apply(json.dumps(note))

    def get(self, *arguments: str) -> dict:
        """An object or a list, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def exists(self, *arguments: str) -> bool:
        """Whether the object is there."""
        return bool(self.kubectl("get", *arguments, "--ignore-not-found", "-o", "name").stdout.strip())

    def wait(self, *arguments: str, seconds: int) -> None:
        """`kubectl wait` with a bound in seconds."""
        self.kubectl("wait", *arguments, f"--timeout={seconds}s", timeout=seconds + 15)

    def rolled_out(self, namespace: str, workload: str, seconds: int) -> None:
        """Wait until every Pod of a workload (`deployment/NAME`) is a ready one of its newest version."""
        arguments = ("--namespace", namespace, "rollout", "status", workload, f"--timeout={seconds}s")
        self.kubectl(*arguments, timeout=seconds + 15)
