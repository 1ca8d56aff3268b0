"""`slipway check` as a whole: what is deployed is rendered, validated and linted, as far as it has changed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from slipway import paths as places
from slipway.errors import InvalidInput
from slipway.gate.check_builtin import BUILT_IN, UNCHECKED
from slipway.gate.check_cache import CheckCache, code
from slipway.gate.check_overlay import Result, as_overlay, evaluate, place_of, policy_path
from slipway.gate.check_repository import Waived, repository_findings
from slipway.gate.discover import Discovery, discover, root_kustomizations
from slipway.gate.findings import About, Finding, Report
from slipway.gate.graph import Graph, Reach
from slipway.gate.overlay import Object, Repository, Source, Summary
from slipway.gate.render import Rendered, Rendering, Target
from slipway.gate.waivers import Waiver, apply
from slipway.gate.worktree import UNREAD, Snapshot, scan
from slipway.yaml_tree import TreeError, load_documents

Progress = Callable[[int, int], None]
"""Called with overlays done and overlays to do."""


@dataclass(frozen=True)
class Selection:
    """Which overlays are reported: all, those below or reading some paths, or those that a change reaches."""

    paths: tuple[str, ...] = ()
    changed: frozenset[str] | None = None


class Check:
    """One run over a work tree."""

    def __init__(
        self,
        root: Path,
        cache: CheckCache,
        *,
        workers: int | None = None,
        progress: Progress | None = None,
        lasting: bool = True,
    ):
        """`lasting` tells whether the work tree will be looked at again, so that its files' stamps are kept."""
        self.root = root
        self.cache = cache
        self.workers = workers
        self.progress = progress or (lambda done, total: None)
        self.lasting = lasting
        self.graph = Graph()
        self.rendered = 0
        self._policies: dict[str, object] = {}
        self._sources: dict[str, Source] = {}
        self._unlasting = False

    def run(self, selection: Selection = Selection(), today: date | None = None) -> Report:
        """Everything there is to say, sorted; raises `SlipwayError` when it could not be found out."""
        argocd = self._results(self._argocd_roots(), keep_objects=True)
        discovery = self._discovery(argocd)
        overlays = self._results(sorted(discovery.deployments), keep_objects=False)
        chosen = self._chosen(overlays, selection, discovery)
        whole = self._whole(argocd, overlays, discovery)
        shown = [overlays[path] for path in chosen] + ([] if selection.paths else list(argocd.values()))
        report = self._report(shown, self._below(whole, selection), today or date.today())
        report.overlays = len(chosen)
        if self.files.hashed and self.lasting:
            self.cache.keep_stamps(self.root, self.files.stamps)
        if self.rendered:
            self.cache.forget_old()
        return report

    # What there is

    @cached_property
    def files(self) -> Snapshot:
        """Every file of the work tree with its content's id."""
        return scan(self.root, self.cache.stamps(self.root), time.time_ns())

    @cached_property
    def paths(self) -> list[str]:
        """Every file of the work tree, sorted."""
        return sorted(self.files.ids)

    def read(self, path: str) -> bytes | None:
        """The content of a file of the repository; None where there is none, only a link, or far too much."""
        if self.files.ids.get(path, UNREAD).startswith(UNREAD):
            return None
        try:
            with open(self.root / path, "rb", opener=_not_a_link) as file:
                return file.read()
        except OSError:
            return None

    def _text(self, path: str) -> str:
        return (self.read(path) or b"").decode("utf-8", "replace")

    @cached_property
    def unchecked(self) -> frozenset[str]:
        """The kinds that are listed as having no schema."""
        try:
            (listed,) = load_documents(self._text(UNCHECKED)) or [[]]
        except (TreeError, ValueError) as exc:
            raise InvalidInput(f"not a list of <group>/<Kind>: {exc}", path=UNCHECKED) from exc
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise InvalidInput(
                "not a list of <group>/<Kind>", path=UNCHECKED, fix="write one a line, after a dash"
            )
        return frozenset(listed)

    @cached_property
    def salt(self) -> str:
        """What decides a result besides the files that are reached: tools, rules, listed kinds."""
        from slipway import toolchain

        digest = hashlib.sha256(f"{toolchain.tool('render')}\n{sorted(self.unchecked)}".encode())
        for content in code(Path(__file__).parents[1]):
            digest.update(content)
        return digest.hexdigest()

    # Argo CD

    def _argocd_roots(self) -> list[str]:
        return root_kustomizations(self.paths, self.read)

    def _discovery(self, argocd: dict[str, Result]) -> Discovery:
        objects = [one for result in argocd.values() for one in result.objects]
        known = {path for root in argocd for path in self.graph.reaches[root].files}
        loose = [Source(path, lambda path=path: self.read(path) or b"") for path in self._unapplied(known)]
        loose = [source for source in loose if b"kind: Application" in source.bytes]
        objects += [Object(one, file.path, 1) for file in loose for one in file.data if isinstance(one, dict)]
        found = discover(objects, self.paths, self.read)
        found.findings += [
            Finding(
                file.path, 1, "render-failed", "", "not valid YAML, or not honest one", "correct the file"
            )
            for file in loose
            if not file.data
        ]
        return found

    def _unapplied(self, known: set[str]) -> list[str]:
        """The files of `argocd` that no kustomization reads; Applications among them are applied by hand."""
        named = [path for path in self.paths if path.startswith("argocd/") and path not in known]
        return [path for path in named if path.endswith((".yaml", ".yml"))]

    # Results

    def _results(self, folders: Sequence[str], *, keep_objects: bool) -> dict[str, Result]:
        """The result of every folder, from the cache where nothing that it reaches has changed."""
        wanted = set(folders)
        kept: dict[str, str] = {}
        for folder, reach in self._known_reaches:
            if folder in wanted and folder not in kept:
                fingerprint = self._fingerprint(folder, reach)
                if fingerprint in self._known_results:
                    kept[folder] = fingerprint
                    self.graph.add(folder, reach)
        missing = [folder for folder in folders if folder not in kept]
        missing.sort(key=lambda folder: (place_of(folder)[1], folder))  # one base after the other
        self.rendered += len(missing)
        targets = [Target(folder) for folder in missing]
        with Rendering(self.root, targets, workers=self.workers) as rendering:
            texts = {folder: self.cache.result(key) for folder, key in kept.items()}
            found = {folder: Result.load(text) for folder, text in texts.items() if text}
            for done, one in enumerate(rendering, 1):
                found[one.target.path] = self._take(one, keep_objects)
                self.progress(done, len(missing))
        if lost := [folder for folder in kept if folder not in found]:  # another run has just forgotten them
            self._known_results.clear()
            found |= self._results(lost, keep_objects=keep_objects)
        return found

    def _take(self, one: Rendered, keep_objects: bool) -> Result:
        """The result of what has just been rendered, kept for the next run."""
        folder, reach = one.target.path, self._reach(one)
        result = self._evaluate(one, keep_objects)
        self.graph.add(folder, reach)
        if self._lasting(one):
            self.cache.keep(folder, reach, self._fingerprint(folder, reach), result.dump())
        else:
            self._unlasting = True
        return result

    def _fingerprint(self, folder: str, reach: Reach) -> str:
        return reach.fingerprint(f"{self.salt} {folder}", self.files.id_of)

    def _lasting(self, one: Rendered) -> bool:
        """Whether the result holds for as long as the files stay as they were when they were listed."""
        unlucky = one.error and one.error.rule in ("render-timeout", "render-memory", "render-crash")
        return not unlucky and all(self.files.ids.get(path) == id_ for path, id_ in one.files.items())

    @cached_property
    def _known_results(self) -> set[str]:
        return self.cache.fingerprints()

    @cached_property
    def _known_reaches(self) -> list[tuple[str, Reach]]:
        return list(self.cache.reaches())

    def _reach(self, one: Rendered) -> Reach:
        files, absent = set(one.files), set(one.absent)
        policy = policy_path(one.target.path)
        (files if policy in self.files.ids else absent).add(policy)
        return Reach(tuple(sorted(files)), tuple(sorted(absent)))

    def _evaluate(self, one: Rendered, argocd: bool) -> Result:
        from slipway.rules import RULES

        environment, app = place_of(one.target.path)
        policy = None if argocd else self._policy(environment)
        rules = () if argocd else tuple(rule for rule in RULES if rule.scope == "overlay")
        overlay = as_overlay(
            one, environment, app, policy, lambda path: self.read(path) or b"", self._sources
        )
        result = evaluate(one, overlay, rules, self.unchecked)
        if argocd:
            result.objects = overlay.objects
        return result

    def _policy(self, environment: str):
        if environment not in self._policies:
            from slipway.errors import PolicyRefused
            from slipway.policy.environment import parse_policy

            path = f"overlays/{environment}/environment.yaml"
            try:
                policy = parse_policy(self.read(path), environment=environment, path=path)
            except PolicyRefused:
                policy = None
            self._policies[environment] = policy
        return self._policies[environment]

    # The repository as a whole

    def _whole(
        self, argocd: dict[str, Result], overlays: dict[str, Result], discovery: Discovery
    ) -> list[Waived]:
        """The findings of rules that look at the repository as a whole, with what waives them."""
        state = "\0".join(f"{path} {self.files.ids[path]}" for path in self.paths)
        key = hashlib.sha256(f"{self.salt}\0{state}".encode()).hexdigest()
        text = self.cache.result(key)
        if text is not None:
            return [(Finding(*one), Waiver(*by) if by else None) for one, by in json.loads(text)]
        summaries = [
            Summary(path, *place_of(path), self._read_by_kustomize(path), tuple(result.refs))
            for path, result in overlays.items()
        ]
        objects = [one for result in argocd.values() for one in result.objects]
        used = {file for reach in self.graph.reaches.values() for file in reach.files}
        found = repository_findings(Repository(summaries, objects, self.paths, self.read), discovery, used)
        if not self._unlasting:
            plain = [(astuple(one), astuple(by) if by else None) for one, by in found]
            self.cache.keep_result(key, json.dumps(plain))
        return found

    def _read_by_kustomize(self, folder: str) -> tuple[str, ...]:
        policy = policy_path(folder)
        return tuple(file for file in self.graph.reaches[folder].files if file != policy)

    # What is shown

    def _chosen(self, overlays: dict[str, Result], selection: Selection, discovery: Discovery) -> list[str]:
        chosen = set(overlays)
        if selection.paths:
            for path in selection.paths:
                if path not in self.files.ids and path not in self.files.folders:
                    raise InvalidInput("no such file or folder in the repository", path=path)
            chosen &= set(self.graph.below(selection.paths))
        if selection.changed is not None:
            chosen &= set(self.graph.reached_by(selection.changed))
        return sorted(chosen)

    @staticmethod
    def _below(found: list[Waived], selection: Selection) -> list[Waived]:
        if not selection.paths:
            return found
        prefixes = tuple(f"{path}/" if path else "" for path in selection.paths)
        return [
            (one, by) for one, by in found if one.file in selection.paths or one.file.startswith(prefixes)
        ]

    def _report(self, results: Iterable[Result], whole, today: date) -> Report:
        report = Report()
        known: tuple[str, ...] = ()
        for result in results:
            report.valid += result.valid
            report.invalid += result.invalid
            report.skipped += result.skipped
            report.listed += result.listed
            if not result.findings and not result.waivers:
                continue
            known = known or self._rule_ids
            report.findings += apply(result.findings, result.waivers, today, known)
        for one, by in whole:
            report.findings += apply([one], [by] if by else [], today, self._rule_ids)
        if report.findings:
            report.rules = self.abouts
        return report.settle()

    @cached_property
    def _rule_ids(self) -> tuple[str, ...]:
        return tuple(self.abouts)

    @cached_property
    def abouts(self) -> dict[str, About]:
        """Every rule by id: why, fix, link."""
        from slipway.rules import RULES

        return BUILT_IN | {rule.id: About(rule.why, rule.fix, rule.link) for rule in RULES}


def _not_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def default_cache() -> Path:
    """Where results are kept between runs."""
    return places.cache() / "render" / "check.sqlite"
