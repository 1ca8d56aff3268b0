"""What every test shares: a cache of its own, git without the user's settings."""

from __future__ import annotations

import os

import pytest
from xdist.scheduler import LoadScopeScheduling


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of what can be done more often is done: `--rollouts`, `--faults`, `--writers`."""
    parser.addoption("--rollouts", type=int, default=3, help="rollouts under load (default 3)")
    parser.addoption("--writers", type=int, default=15, help="writers at once (default 15)")
    parser.addoption(
        "--faults",
        default="quick",
        help="faults under load: quick (default), all, or words of their names, with commas",
    )


SLOW = (
    "test_alb_data_plane.py",
    "test_alert_rules.py",
    "test_aws.py",
    "test_aws_database.py",
    "test_aws_deployed.py",
    "test_aws_least_privilege.py",
    "test_aws_monitoring.py",
    "test_aws_security.py",
    "test_aws_synthesis.py",
    "test_board_browser.py",
    "test_board_changes.py",
    "test_board_database.py",
    "test_board_fuzz.py",
    "test_board_ingest.py",
    "test_board_process.py",
    "test_board_promotion.py",
    "test_board_reader.py",
    "test_bump.py",
    "test_bump_storm.py",
    "test_change.py",
    "test_check.py",
    "test_check_hostile.py",
    "test_ci.py",
    "test_ci_build.py",
    "test_ci_harness_lint.py",
    "test_ci_harness_run.py",
    "test_ci_push_sign.py",
    "test_ci_scan.py",
    "test_diff.py",
    "test_forge_gitea_real.py",
    "test_freeze.py",
    "test_gate.py",
    "test_git.py",
    "test_live.py",
    "test_monitoring.py",
    "test_new.py",
    "test_notifications_delivery.py",
    "test_pipeline_jenkinsfile.py",
    "test_pipeline_receiver.py",
    "test_platform_forge.py",
    "test_platform_registry.py",
    "test_promote.py",
    "test_release.py",
    "test_rest.py",
    "test_retention.py",
    "test_rollback.py",
    "test_secret_scan.py",
)
"""Files that start real servers, builders or browsers, or wait; `make test-fast` leaves them out."""


PLATFORM = "tests/platform/"
"""What is there goes one after the other in one process, while another takes all the rest."""
FIRST = "test_up_down_up.py"
"""What brings the platform up, from nothing, goes before all that needs it."""
LAST = "test_board_browser.py"
"""What opens many pages: Chromium drops what it loads while the machine's network changes, as `up` and `down` do."""


class Scheduling(LoadScopeScheduling):
    """xdist's own, by scopes; its groups by mark do not reach the controller with this release of pytest."""

    def _split_scope(self, nodeid: str) -> str:
        return PLATFORM if nodeid.startswith(PLATFORM) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    """What `--dist loadgroup` means here."""
    return Scheduling(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With two processes: how long each kind of test took, and the first is the least that a run can take."""
    if config.getoption("dist") == "loadgroup":
        took = {True: 0.0, False: 0.0}
        for report in (
            one for kind in ("passed", "failed", "error", "") for one in terminalreporter.getreports(kind)
        ):
            took[report.nodeid.startswith(PLATFORM)] += report.duration
        terminalreporter.write_line(
            f"tests on the platform {took[True]:.0f} s, all others {took[False]:.0f} s"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow files; what brings the platform up comes first, and browsers once it stays up."""
    for item in items:
        if item.path.name in SLOW:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: (item.path.name != FIRST, item.path.name == LAST))


@pytest.fixture(autouse=True)
def _git_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's git configuration and identity, and the CI job that the tests run in, change no test."""
    for name in [name for name in os.environ if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))]:
        monkeypatch.delenv(name)
    for name in ("SLIPWAY_WRITER", "JOB_URL", "JENKINS_URL", "GITHUB_SERVER_URL", "CI_PROJECT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
