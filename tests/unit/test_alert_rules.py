"""The alerting rules: sound, raised when they should be and only then, with a runbook and real figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import alert_cases
import pytest
import yaml
from alert_cases import CASES, Case
from slipway import paths, toolchain
from slipway.live.verdict import FAILED
from slipway.live.verdict import RUNBOOKS as RUNBOOKS_OF_LIVE
from slipway.platform import config, monitoring, scrape
from slipway.proc import run

FOLDER = monitoring.SOURCE
RUNBOOKS = (FOLDER / "README.md").read_text().partition("\n# Runbooks\n")[2]
METRICS = yaml.safe_load((FOLDER / "metrics.yaml").read_text())
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))


def rule_files(*folders: str) -> list[Path]:
    """The rule files of these folders."""
    files = [file for folder in folders for file in sorted((FOLDER / folder).glob("*.yaml"))]
    return [file for file in files if file.name != "scrape.yaml"]


def rules_in(file: Path) -> list[dict]:
    """Every rule of a file."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def rules(*folders: str) -> list[dict]:
    """Every rule of these folders."""
    return [rule for file in rule_files(*folders) for rule in rules_in(file)]


ALERTS = {rule["alert"]: rule for rule in rules("rules", "local", "eks") if "alert" in rule}
HOME = {
    rule["alert"]: file
    for file in rule_files("rules", "local", "eks")
    for rule in rules_in(file)
    if "alert" in rule
}
"""The file of each alert: what it reads is recorded there, or by a cluster's sources."""


def promtool(*arguments: str | Path) -> None:
    """Run promtool; fails with what it printed."""
    done = run([toolchain.tool("promtool"), *arguments], check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def minutes(values: dict[str, str]) -> list[dict]:
    """Series as promtool reads them."""
    return [{"series": name, "values": value} for name, value in values.items()]


def expected(case: Case) -> dict:
    """The alert with everything that people are told."""
    notes = {"summary": case.summary, "description": case.description}
    notes["runbook_url"] = f"{monitoring.RUNBOOKS}#{case.alert.lower()}"
    return {"exp_labels": {"severity": case.severity} | case.labels, "exp_annotations": notes}


def judged(folder: Path, groups: list[dict], files: list[Path]) -> None:
    """Have promtool test the rules of these files on these groups of series and expectations."""
    long = any("24h" in json.dumps(group) for group in groups)
    document = {
        "rule_files": [str(file) for file in files],
        "evaluation_interval": "1m" if long else "15s",
        "tests": [{"interval": "1m"} | group for group in groups],
    }
    file = folder / "test.yaml"
    file.write_text(json.dumps(document, indent=1))
    promtool("test", "rules", file)


@pytest.mark.parametrize("folders", [("rules", "local"), ("rules", "eks")], ids="-".join)
def test_the_rules_are_sound(folders: tuple[str, ...]) -> None:
    """promtool finds no mistake in them, and no rule twice."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", *rule_files(*folders))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_is_raised_when_it_should_be_only_then_and_cleared_again(case: Case, tmp_path: Path) -> None:
    """With the texts that people read; not before its time is up, nor by what only looks like its cause."""
    moments = [(case.quiet, []), (case.fires, [expected(case)]), (case.clears, [])]
    due = [{"eval_time": at, "alertname": case.alert, "exp_alerts": alerts} for at, alerts in moments if at]
    groups = [{"input_series": minutes(case.series), "alert_rule_test": due}]
    if case.harmless:
        never = [{"eval_time": at, "alertname": case.alert, "exp_alerts": []} for at in case.watched]
        groups.append({"input_series": minutes(case.harmless), "alert_rule_test": never})
    judged(tmp_path, groups, [HOME[case.alert], *rule_files("local")])


def test_every_alert_is_tested_both_ways() -> None:
    """A new rule brings its case; only the one that fires always has no other side."""
    assert {case.alert for case in CASES} == set(ALERTS)
    both = {case.alert for case in CASES if case.quiet and case.clears and case.harmless}
    assert set(ALERTS) - both == {"Watchdog"}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_what_is_wrong_with_figures_and_what_to_do(name: str) -> None:
    """Severity, summary, a description with labels or values, and the runbook's own section."""
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"{monitoring.RUNBOOKS}#{name.lower()}"
    absent = "absent(" in rule["expr"]
    assert absent or "{{ $" in rule["annotations"]["description"]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """In the order of neither file; a link of an alert leads to its section."""
    sections = re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert set(sections) == set(ALERTS)


def test_slipway_live_names_a_runbook_for_every_failure() -> None:
    """And it leads to a section that is there."""
    assert set(RUNBOOKS_OF_LIVE) == set(FAILED)
    for runbook in RUNBOOKS_OF_LIVE.values():
        file, _, section = runbook.partition("#")
        assert paths.CHECKOUT / file == FOLDER / "README.md"
        assert section in {name.lower() for name in ALERTS}


@pytest.mark.parametrize("name", [n for n in ALERTS if n not in ("Watchdog", "CertificateAlmostExpired")])
def test_a_runbook_says_when_it_fires_where_to_look_and_how_to_mend(name: str) -> None:
    """And gives the same time as the rule does."""
    text = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL)[1]
    for word in ("Fires ", "Look", "end: "):
        assert word in text, word
    wait = ALERTS[name].get("for")
    if wait:
        assert re.search(rf"\b{wait[:-1]} minutes?\b", text.splitlines()[1]), text.splitlines()[1]


def test_a_runbook_names_commands_that_exist() -> None:
    """With options that exist: whoever is called at night does not look up the syntax."""
    import click
    from slipway.cli import VERBS, cli

    found = re.findall(r"`slipway ([a-z-]+)([^`]*)`", RUNBOOKS)
    assert len(found) > 10
    for verb, rest in found:
        assert verb in VERBS, verb
        command = cli.get_command(click.Context(cli), verb)
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, (verb, rest)


def test_both_clusters_record_the_same_figures() -> None:
    """What differs between HAProxy and an ALB, the receiver and Jenkins, ends there."""
    names = [sorted(rule["record"] for rule in rules(folder)) for folder in ("local", "eks")]
    assert names[0] == names[1] and len(names[0]) == 7


def test_an_application_load_balancer_gives_the_same_figures_as_haproxy(tmp_path: Path) -> None:
    """One request a second, of which one in ten fails, and two targets."""
    balancer = 'dimension_LoadBalancer="app/slipway-prod/50dc6c495c0c9188"'
    local = {
        'haproxy_frontend_http_requests_total{proxy="slipway-prod-80"}': "0+60x10",
        'haproxy_frontend_http_responses_total{proxy="slipway-prod-80",code="5xx"}': "0+6x10",
        'haproxy_backend_active_servers{proxy="tg-k8s-prod-boardbac-1"}': "2x10",
        'haproxy_backend_response_time_average_seconds{proxy="tg-k8s-prod-boardbac-1"}': "0.25x10",
    }
    eks = {
        f"aws_applicationelb_request_count_sum{{{balancer}}}": "60x10",
        f"aws_applicationelb_httpcode_elb_5_xx_count_sum{{{balancer}}}": "2x10",
        f"aws_applicationelb_httpcode_target_5_xx_count_sum{{{balancer}}}": "4x10",
        f'aws_applicationelb_healthy_host_count_minimum{{{balancer},dimension_TargetGroup="targetgroup/k8s-prod-boardbac-1/6d0ecf831eec9f09"}}': "2x10",
        f"aws_applicationelb_target_response_time_average{{{balancer}}}": "0.25x10",
    }
    place = '{environment="prod"}'
    wanted = {
        "slipway:load_balancer_requests:rate5m": (1, place),
        "slipway:load_balancer_errors:rate5m": (0.1, place),
        "slipway:load_balancer_latency_seconds": (0.25, place),
        "slipway:load_balancer_healthy_targets": (
            2,
            '{environment="prod",target_group="k8s-prod-boardbac-1"}',
        ),
    }
    checks = [
        {
            "expr": name,
            "eval_time": "9m",
            "exp_samples": [{"labels": f"{name}{labels}", "value": value}],
        }
        for name, (value, labels) in wanted.items()
    ]
    for folder, series in (("local", local), ("eks", eks)):
        group = {"input_series": minutes(series), "promql_expr_test": checks}
        judged(tmp_path, [group], rule_files("rules", folder))


def test_jenkins_last_outcomes_outlive_its_last_build(tmp_path: Path) -> None:
    """Jenkins tells of the last build alone: a failure leaves the time of the success before it standing."""
    series = {
        'default_jenkins_builds_last_build_start_time_milliseconds{jenkins_job="source/main"}': "60000x4 300000x20",
        'default_jenkins_builds_last_build_result_ordinal{jenkins_job="source/main"}': "0x4 2x20",
    }
    place = '{pipeline="source"}'
    checks = [
        {
            "expr": name,
            "eval_time": "20m",
            "exp_samples": [{"labels": f"{name}{place}", "value": value}],
        }
        for name, value in (
            ("slipway:pipeline_last_success_timestamp_seconds", 60),
            ("slipway:pipeline_last_failure_timestamp_seconds", 300),
        )
    ]
    judged(
        tmp_path, [{"input_series": minutes(series), "promql_expr_test": checks}], rule_files("rules", "eks")
    )


def metrics_of(expression: str) -> set[str]:
    """The metrics that an expression reads: words that are no function, label, keyword or text."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*\b(?!\s*\()", bare)
    return set(words) - {"and", "or", "unless", "offset", "bool", "by", "m", "s", "d", "h"}


def expressions() -> dict[str, str]:
    """Every expression of a rule or a dashboard, by where it is."""
    found = {
        f"{folder}: {rule.get('alert') or rule['record']}": rule["expr"]
        for folder in ("rules", "local", "eks")
        for rule in rules(folder)
    }
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                found[f"{file.stem}: {panel['title']} {target['refId']}"] = target["expr"]
    return found


def test_every_metric_is_listed_with_who_exports_it_and_every_listed_one_is_read() -> None:
    """A misspelt name is an alert that never fires."""
    recorded = {rule["record"] for rule in rules("rules", "local", "eks") if "record" in rule}
    read = set().union(*map(metrics_of, expressions().values()))
    listed = {name for source in METRICS.values() for name in source["metrics"]}
    assert {name for name in read if name.startswith("slipway:")} <= recorded
    assert {name for name in read if not name.startswith("slipway:")} == listed


def test_what_is_scraped_and_not_kept_is_read_by_nothing() -> None:
    """Where only some series are kept, they are those that somebody reads."""
    for job, kept in scrape.KEPT.items():
        assert set(METRICS[job]["metrics"]) == set(kept), job


def test_the_collector_on_aws_keeps_what_is_read() -> None:
    """Its list is the local one's."""
    for job in yaml.safe_load((FOLDER / "eks" / "scrape.yaml").read_text())["scrape_configs"]:
        for step in job.get("metric_relabel_configs", []):
            assert set(step["regex"].split("|")) == set(scrape.KEPT[job["job_name"]])


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_can_be_imported_and_says_what_it_shows(file: Path, tmp_path: Path) -> None:
    """The data source is asked for at import; every panel has a title, a unit and a query that parses."""
    queries = []
    board = json.loads(file.read_text())
    assert [entry["name"] for entry in board["__inputs"]] == ["DS_PROMETHEUS"]
    assert board["uid"] == f"slipway-{file.stem}"
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["title"] and panel["datasource"]["uid"] == "${DS_PROMETHEUS}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        queries += [target["expr"] for target in panel["targets"]]
    rules = [{"record": f"query_{n}", "expr": query} for n, query in enumerate(queries)]
    (tmp_path / "queries.yaml").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "queries.yaml")


def test_the_golden_signals_are_all_shown() -> None:
    """Traffic, errors, latency, saturation."""
    titles = " ".join(
        p["title"] for p in json.loads((FOLDER / "dashboards/application.json").read_text())["panels"]
    )
    for signal in ("Traffic", "Errors", "Latency", "Saturation"):
        assert signal in titles


def test_everybody_whom_a_route_names_exists() -> None:
    """Alertmanager would refuse the file; the receivers' addresses are the stack's to give."""
    document = yaml.safe_load((FOLDER / "alertmanager.yaml").read_text())
    names = {receiver["name"] for receiver in document["receivers"]}
    assert {document["route"]["receiver"], *(r["receiver"] for r in document["route"]["routes"])} == names
    for rule in document["inhibit_rules"]:
        text = " ".join(rule["source_matchers"] + rule["target_matchers"])
        for pattern in re.findall(r'=~? ?"?([A-Z][\w()|]+)', text):
            assert any(re.fullmatch(pattern, name) for name in ALERTS), pattern


def test_the_cases_use_the_local_ports() -> None:
    """What the tests show as an address is one that the platform has."""
    text = Path(alert_cases.__file__).read_text()
    assert f"http://{config.HOST}:{config.REGISTRY_PORT}/v2/" in text
