"""The findings of `slipway check` that come before the rules: rendering, validation, discovery. No I/O."""

from __future__ import annotations

from slipway.gate.findings import About

UNCHECKED = "argocd/unchecked-kinds.yaml"
"""A list of `<group>/<Kind>` that are deployed without a schema."""

BUILT_IN = {
    "render-failed": About(
        "Argo CD would show the application as Unknown and go on running what it ran.",
        "correct the file; `kustomize build` of the folder says the same",
        "https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/",
    ),
    "render-timeout": About(
        "Argo CD's repository server renders for everybody, and one folder must not keep it busy.",
        "reduce what the overlay builds on",
    ),
    "render-memory": About(
        "Argo CD's repository server renders for everybody, and one folder must not take its memory.",
        "reduce what the overlay builds on",
    ),
    "render-crash": About("Argo CD would fail on it in the same way.", "reduce the overlay until it renders"),
    "outside-repository": About(
        "What lies outside the repository is neither reviewed nor the same on every machine.",
        "copy it into the repository",
    ),
    "remote-base": About(
        "What is deployed would change with no commit here.", "copy it into the repository"
    ),
    "file-too-large": About("A manifest of that size is a mistake or an attack.", "take it out of the overlay"),
    "yaml-bomb": About(
        "A few lines of YAML can stand for more values than any machine can hold.", "write the values out"
    ),
    "plugin": About(
        "Argo CD runs kustomize without plugins, and a plugin could run anything.",
        "render it beforehand and commit the result",
    ),
    "cycle": About("A folder that builds on itself has no result.", "remove the entry that leads back"),
    "not-a-file": About("Only files and folders can be rendered.", "remove it"),
    "schema": About(
        "The cluster would refuse the object, or drop the field without a word.",
        "correct the field, as `kubectl explain` describes it",
        "https://kubernetes.io/docs/reference/kubernetes-api/",
    ),
    "unknown-kind": About(
        "What has no schema is deployed unchecked.",
        f"correct apiVersion and kind, or list `<group>/<Kind>` in {UNCHECKED}",
    ),
    "duplicate-key": About(
        "One of the two is taken without a word, and which one differs between readers.", "keep one of them"
    ),
    "not-deployed": About(
        "It is reviewed and never runs.", "move it to where an ApplicationSet finds it, or remove it"
    ),
    "unclear-generator": About(
        "What cannot be found cannot be checked.", "use generators that depend on the repository alone"
    ),
    "waiver": About(
        "An exception without reason or end stays for ever.",
        'write "<reason>; until YYYY-MM-DD" with a day to come',
    ),
    "rule-crash": About("What no rule can read has not been checked.", "report it with the object"),
}  # fmt: skip
"""Rule to why and how; a rule of the same id in `slipway.rules` says it better."""
