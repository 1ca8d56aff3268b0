"""`slipway retention`: which images the registry must keep, and whether its lifecycle policy keeps them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.errors import InvalidInput

if TYPE_CHECKING:
    from slipway.git.fetch import Tip
    from slipway.git.remote import RemoteRepo
    from slipway.registry.ecr_lifecycle import Fate, LifecyclePolicy, Stored
    from slipway.registry.retention import Kept, Needs, Plan, Verdict


@click.command()
@click.option("--repo", envvar="SLIPWAY_DEPLOY_REPO", help="Address of the deploy repository.")
@click.option("--from", "clone", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A local clone to read instead.")  # fmt: skip
@click.option("--branch", default="main", show_default=True, help="Branch to read.")
@click.option("--policy", "only_policy", is_flag=True, help="Print the lifecycle policy to give to ECR, and nothing else.")  # fmt: skip
@click.option("--policy-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Check this lifecycle policy instead of the printed one.")  # fmt: skip
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 3650), help="How long the printed policy keeps images that nothing needs.")  # fmt: skip
@click.option("--ahead", default=7, show_default=True, type=click.IntRange(0, 36500), metavar="DAYS", help="Fail already when a needed image would go within this time.")  # fmt: skip
@click.option("--protect", is_flag=True, help="Give every needed image its protecting tag `keep-…`.")
@click.option("--release", is_flag=True, help="With --protect: take the tag from images that are not needed any more. Only when no other deploy repository uses the registry.")  # fmt: skip
@click.option("--ecr", is_flag=True, envvar="SLIPWAY_ECR", help="Ask ECR with this machine's AWS identity.")
@click.option("--skip-registry", multiple=True, metavar="HOST", help="Leave out images of this registry; may be repeated.")  # fmt: skip
@click.option("--ignore-commit", multiple=True, metavar="COMMIT", help="Leave out what an old commit said that cannot be read; may be repeated.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="List the images that nothing needs as well.")
@click.option("--dry-run", is_flag=True, help="Show which tags would be written, and write none.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    only_policy, policy_file, days, ahead, protect, release, dry_run, everything, as_json, **options
) -> None:
    """Say which images the registry must keep, and check that its lifecycle policy keeps them.

    Needed is what an overlay in Git names, or named in its last commits (`retention.commits` of the environment).
    The policy is played through over the images the registry has; exit code 1 when a needed one would go.

    Example: slipway retention --repo https://git.example/deploy.git --ecr --protect
    """
    from slipway.registry.ecr_lifecycle import parse_lifecycle, protecting

    text = policy_file.read_text(errors="replace") if policy_file else json.dumps(protecting(days), indent=2)
    policy = parse_lifecycle(text, path=str(policy_file or "the printed policy"))
    if only_policy:
        click.echo(text)
        return
    if release and not protect:
        raise InvalidInput("--release needs --protect", fix="give both")
    needs = _needs(options)
    moment = datetime.now(UTC)
    verdicts, plans = _judge(needs, policy, moment, ahead, protect, release, dry_run, options["ecr"])
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    if as_json:
        click.echo(json.dumps(_as_dict(verdicts, plans, needs, moment, dry_run)))
    else:
        for verdict in verdicts:
            _print(verdict, plans.get(verdict.name), moment, everything, dry_run)
        if not verdicts:
            click.echo("no overlay names an image: nothing is needed")
        for note in needs.unclear:
            click.echo(f"not counted: {note}")
    if problems:
        for problem in problems:
            click.echo(f"slipway: {problem}", err=True)
        click.echo("  fix: slipway retention --protect; what is gone must be built and bumped anew", err=True)
        sys.exit(1)


def _needs(options) -> Needs:
    """What Git names, read from the whole history of the branch."""
    from slipway.git.remote import RemoteRepo
    from slipway.registry.retention import needs

    if not (options["repo"] or options["clone"]):
        raise InvalidInput(
            "no deploy repository given", fix="give --repo URL, or --from DIR for a local clone"
        )
    url = options["clone"].resolve().as_uri() if options["clone"] else options["repo"]
    with RemoteRepo(url, branch=options["branch"], whole=True) as repo:
        chosen, bodies = repo.ask(lambda tip: _named(repo, tip))
    return needs(chosen, bodies, ignored=options["ignore_commit"], skipped=options["skip_registry"])


def _named(repo: RemoteRepo, tip: Tip) -> tuple[list, dict[str, bytes]]:
    """The versions of overlays that each policy keeps, and their contents by object id."""
    from slipway.git.history import contents, versions
    from slipway.policy.environment import parse_policy
    from slipway.registry.retention import FOLDER, select
    from slipway.writing.bump import policy_path

    environments = [name for name, is_folder in tip.folders([FOLDER])[FOLDER].items() if is_folder]
    if not environments:
        raise InvalidInput(f"{repo.shown} has no {FOLDER}/<environment>", fix="give the deploy repository")
    files = tip.read([policy_path(name) for name in environments])
    policies = {
        name: parse_policy(files[policy_path(name)], environment=name, path=policy_path(name))
        for name in environments
    }
    commits = {name: policy.retention.commits for name, policy in policies.items()}
    chosen = select(versions(repo, tip, FOLDER), commits)
    return chosen, contents(repo, [version.oid for version, _ in chosen if version.regular])


def _judge(
    needs: Needs, policy: LifecyclePolicy, moment, ahead, protect, release, dry_run, ecr
) -> tuple[list[Verdict], dict[str, Plan]]:
    """Each repository under the policy, after the protecting tags were written where that was asked for."""
    from slipway.registry.client import Registry
    from slipway.registry.contents import open_contents
    from slipway.registry.retention import carried_out, judge, plan

    verdicts, plans = [], {}
    times = {"moment": moment, "ahead": timedelta(days=ahead)}
    with Registry(ecr=ecr) as registry:
        places = {name: open_contents(name, registry, ecr=ecr) for name in needs.by_repository()}
        for name, named in needs.by_repository().items():
            images = places[name].images({r.digest for r in named if r.digest})
            verdict = judge(name, named, images, policy, **times)
            if protect:
                plans[name] = plan(verdict.kept, images, release=release)
                if not dry_run:
                    _carry_out(plans[name], places[name])
                verdict = judge(name, named, carried_out(plans[name], images), policy, **times)
            verdicts.append(verdict)
    return verdicts, plans


def _carry_out(plan: Plan, place) -> None:
    for digest, tag in plan.write:
        place.tag(digest, tag)
    for tag in plan.remove:
        place.untag(tag)


def _print(verdict: Verdict, plan: Plan | None, moment: datetime, everything: bool, dry_run: bool) -> None:
    count = len(verdict.others) + sum(one.image is not None for one in verdict.kept)
    click.echo(f"{verdict.name}: {count} images, {len(verdict.kept)} needed")
    rows = [("TAG", "DIGEST", "AGE", "UNDER THE POLICY", "NEEDED")]
    rows += [_kept_row(one, moment) for one in verdict.kept]
    rows += [_row(image, _fate(fate, moment), "", moment) for image, fate in verdict.others if everything]
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    for row in rows if len(rows) > 1 else ():
        click.echo(
            "  " + "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]).rstrip()
        )
    if verdict.others and not everything:
        expiring = verdict.expiring(moment)
        click.echo(f"  and {len(verdict.others)} that nothing needs, of which {expiring} are due now")
    if plan:
        would = "would be " if dry_run else ""
        click.echo(f"  protecting tags: {len(plan.write)} {would}written, {len(plan.remove)} {would}removed")
        for tag in plan.last:
            click.echo(f"  {tag[:17]}… stays: it is the only tag of its image")


def _kept_row(one: Kept, moment: datetime) -> tuple[str, ...]:
    if one.image is None:
        return (
            one.reference.tag or "-",
            (one.reference.digest or "")[7:19],
            "-",
            "not in the registry",
            one.because,
        )
    fate = "archived" if one.image.archived else _fate(one.fate, moment)
    return _row(one.image, fate, one.because, moment, one.reference.tag)


def _row(image: Stored, fate: str, because: str, moment: datetime, tag: str | None = None) -> tuple[str, ...]:
    from slipway.registry.ecr_lifecycle import KEEP

    tags = [name for name in image.tags if not name.startswith(KEEP)]
    shown = tag or (tags[0] if tags else "-")
    age = f"{(moment - image.pushed).days} d" if image.pushed else "?"
    return (shown if len(shown) <= 28 else shown[:27] + "…", image.digest[7:19], age, fate, because)


def _fate(fate: Fate, moment: datetime) -> str:
    if fate.due is None:
        return f"kept by rule {fate.rule}" if fate.rule else "kept, no rule is about it"
    when = "now" if fate.due <= moment else f"{fate.due:%Y-%m-%d}"
    return f"{'expires' if fate.action == 'expire' else 'archived'} {when} by rule {fate.rule}"


def _as_dict(verdicts, plans, needs: Needs, moment: datetime, dry_run: bool) -> dict[str, object]:
    return {
        "moment": moment.isoformat(),
        "dry_run": dry_run,
        "repositories": [
            {
                "name": verdict.name,
                "kept": [one.as_dict() for one in verdict.kept],
                "others": len(verdict.others),
                "expiring": [
                    image.digest for image, fate in verdict.others if fate.due and fate.due <= moment
                ],
                "written": [tag for _, tag in plans[verdict.name].write] if verdict.name in plans else [],
                "removed": list(plans[verdict.name].remove) if verdict.name in plans else [],
                "problems": list(verdict.problems),
            }
            for verdict in verdicts
        ],
        "unclear": needs.unclear,
    }
