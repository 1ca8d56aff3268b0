"""The webhook receiver as the platform runs it: real HTTP, real Git, a short program in the harness's place."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import httpx
import pytest

SECRET = "s3cret-of-the-hook"
HARNESS = """#!/bin/sh
# Takes the harness's arguments and ends with the word that the commit's file `outcome` holds.
while [ $# -gt 0 ]; do case $1 in --repo) repo=$2;; --commit) commit=$2;; --build-dir) home=$2;; esac; shift; done
echo "judging ${CHANGE_ID:-nothing} of $BUILD_URL" > $home/change; mkdir -p $home/archive/out; echo page > $home/archive/out/diff.html
echo "building $commit since ${SLIPWAY_SINCE:-nothing} with $COLOUR" > $home/log
trap 'printf "{\\"status\\": \\"ABORTED\\"}" > $home/result.json; exit 143' TERM  # as the real one does
echo $$ > ${HOLD%/*}/pid.part; mv ${HOLD%/*}/pid.part ${HOLD%/*}/pid
while [ -e "$HOLD" ]; do sleep 0.05; done
outcome=$(git -C $repo show $commit:outcome)
printf '{"status": "%s", "stages": [{"name": "Test", "status": "%s"}], "error": null}' $outcome $outcome > $home/result.json
"""


class Receiver:
    """A receiver process with its own state, source repository and port."""

    def __init__(self, folder: Path, **more: object):
        self.folder = folder
        self.source = folder / "source"
        self.source.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        (folder / "secret").write_text(SECRET)
        (folder / "secret").chmod(0o600)
        (folder / "harness").write_text(HARNESS)
        (folder / "harness").chmod(0o755)
        self.hold = folder / "hold"
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.address = f"127.0.0.1:{server.getsockname()[1]}"
        self.settings = {
            "listen": self.address,
            "state": str(folder / "state"),
            "clone_url": str(self.source),
            "secret_file": str(folder / "secret"),
            "harness": str(folder / "harness"),
            "environment": {"HOLD": str(self.hold), "COLOUR": "blue"},
            "keep": 5,
        } | more
        self.process: subprocess.Popen | None = None

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        return subprocess.run(
            command, cwd=self.source, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, outcome: str = "SUCCESS") -> str:
        (self.source / "outcome").write_text(outcome)
        self.git("add", ".")
        self.git("commit", "--quiet", "--allow-empty", "--message", f"work that ends in {outcome}")
        return self.git("rev-parse", "HEAD")

    def start(self) -> Receiver:
        file = self.folder / "receiver.yaml"
        file.write_text(json.dumps(self.settings))
        command = [sys.executable, "-m", "slipway.pipeline.receiver", "--config", str(file)]
        with (self.folder / "receiver.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.until(lambda: self.get("healthz"))
        return self

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        if self.process:
            os.killpg(self.process.pid, with_signal)
            self.process.wait(10)
            self.process = None

    def get(self, path: str):
        try:
            answer = httpx.get(f"http://{self.address}/{path}")
        except httpx.TransportError:
            return None
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.text

    def push(
        self, commit: str, signature: str | None = None, event: str = "push", **changes
    ) -> httpx.Response:
        """Deliver what Gitea would send for a push of one commit."""
        listed = [
            {"id": commit, "message": "work", "added": [], "removed": [], "modified": ["apps/board/a.py"]}
        ]
        payload = {
            "ref": "refs/heads/main",
            "before": "0" * 40,
            "after": commit,
            "repository": {"full_name": "slipway/source"},
            "commits": listed,
            "total_commits": 1,
        }
        body = json.dumps(payload | changes).encode()
        made = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Gitea-Event": event, "X-Gitea-Signature": made if signature is None else signature}
        return httpx.post(f"http://{self.address}/hook", content=body, headers=headers)

    def propose(self, number: int, head: str, action: str = "opened", **changes) -> httpx.Response:
        """Deliver what Gitea would send for a pull request."""
        pull = {"title": "a change", "state": "open", "head": {"sha": head}, "base": {"ref": "main"}}
        payload = {"action": action, "number": number, "pull_request": pull | changes}
        payload["repository"] = {"full_name": "slipway/deploy"}
        body = json.dumps(payload).encode()
        made = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Gitea-Event": "pull_request", "X-Gitea-Signature": made}
        return httpx.post(f"http://{self.address}/hook", content=body, headers=headers)

    def until(self, condition, seconds: float = 10):
        """What `condition` returns as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < end, (self.folder / "receiver.log").read_text()
            time.sleep(0.03)
        return value

    def harness_pid(self) -> int:
        """The process of the build that runs, once there is one."""
        file = self.folder / "pid"
        return int(self.until(lambda: file.exists() and file.read_text()))

    def finished(self, number: int) -> dict:
        """The build once it has ended."""
        ended = ("success", "failed", "aborted", "superseded")
        return self.until(lambda: (b := self.get(f"builds/{number}")) and b["status"] in ended and b)


@pytest.fixture
def receiver(tmp_path):
    receiver = Receiver(tmp_path)
    yield receiver.start()
    receiver.stop()


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A receiver for requests that start nothing; it has no build, before and after."""
    receiver = Receiver(tmp_path_factory.mktemp("idle"))
    receiver.commit()
    yield receiver.start()
    assert receiver.get("builds") == []
    receiver.stop()


def test_a_push_is_answered_at_once_and_built(receiver):
    """202 with the build's number while the build still runs; then its status, stages and log can be read."""
    receiver.hold.touch()
    commit = receiver.commit()
    answer = receiver.push(commit)
    assert (answer.status_code, answer.json()) == (202, {"number": 1, "status": "queued"})
    receiver.until(lambda: receiver.get("builds/1")["status"] == "running")
    receiver.hold.unlink()
    build = receiver.finished(1)
    assert (build["status"], build["commit"], build["stages"]) == (
        "success",
        commit,
        [{"name": "Test", "status": "SUCCESS"}],
    )
    assert receiver.get("builds/1/log") == f"building {commit} since nothing with blue\n"


@pytest.mark.parametrize(("outcome", "status"), [("FAILURE", "failed"), ("ABORTED", "aborted")])
def test_a_build_that_does_not_succeed_is_shown_as_such(receiver, outcome, status):
    """And may be delivered again, unlike one that succeeded."""
    commit = receiver.commit(outcome)
    receiver.push(commit)
    assert receiver.finished(1)["status"] == status
    assert receiver.push(commit).json()["number"] == 2


def test_a_harness_that_cannot_run_is_a_failed_build_with_its_words(receiver):
    """No result is never a success; a commit that does not exist is such a case."""
    receiver.commit()
    receiver.push("f" * 40)
    build = receiver.finished(1)
    assert build["status"] == "failed"
    receiver.push(receiver.commit())
    assert receiver.finished(2)["status"] == "success"


@pytest.mark.parametrize("signature", ["", "0" * 64, "sha256=" + "0" * 64, "\u00e4"])
def test_a_wrong_signature_is_refused(idle, signature):
    """Nobody without the secret starts a build."""
    header = {"X-Gitea-Event": "push", "X-Gitea-Signature": signature.encode("latin-1")}
    answer = httpx.post(f"http://{idle.address}/hook", content=b"{}", headers=header)
    assert answer.status_code == 401
    assert idle.get("builds") == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ref": "refs/heads/topic"}, "refs/heads/topic is not branch main"),
        ({"ref": "refs/tags/main"}, "refs/tags/main is not branch main"),
        ({"repository": {"full_name": "slipway/deploy"}}, "slipway/deploy is not slipway/source"),
        ({"after": "0" * 40}, "the branch was deleted"),
        (
            {"commits": [{"message": "dev\n\nSource-Commit: 0123abc", "modified": ["overlays/dev/k.yaml"]}]},
            "only bumps",
        ),
        ({"commits": [{"message": "typo", "modified": ["README.md"]}]}, "no source path was touched"),
    ],
)
def test_a_push_that_needs_no_build_is_told_why(idle, changes, reason):
    """Bumps, other branches, other repositories and changes outside the source start nothing."""
    answer = idle.push("1" * 40, **changes)
    assert (answer.status_code, answer.json()) == (200, {"ignored": reason})
    assert idle.get("builds") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"commits": [{"message": "typo", "modified": ["README.md"]}], "total_commits": 30},
        {"commits": [{"message": "forge that lists no files"}]},
        {"commits": []},
    ],
)
def test_a_push_whose_content_is_not_known_is_built(receiver, changes):
    """In doubt there is a build rather than a lost change."""
    assert receiver.push(receiver.commit(), **changes).status_code == 202


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"ref": 1}'])
def test_a_signed_body_that_is_no_push_is_refused(idle, body):
    """400 with what is missing, and the receiver lives on."""
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Gitea-Event": "push", "X-Gitea-Signature": signature}
    assert httpx.post(f"http://{idle.address}/hook", content=body, headers=headers).status_code == 400
    assert idle.get("healthz") == {"status": "ok"}


def test_one_build_runs_and_only_the_newest_waits(receiver):
    """A burst of pushes ends with the first and the last built; the last covers what was collapsed."""
    receiver.hold.touch()
    commits = [receiver.commit()]
    receiver.push(commits[0])
    receiver.until(lambda: receiver.get("builds/1")["status"] == "running")
    for _ in range(3):
        commits.append(receiver.commit())
        receiver.push(commits[-1], before=commits[-2])
    assert [b["status"] for b in receiver.get("builds")] == ["queued", "superseded", "superseded", "running"]
    assert receiver.push(commits[-1]).json() == {"number": 4, "status": "queued"}
    receiver.hold.unlink()
    assert receiver.finished(4)["status"] == "success"
    assert receiver.get("builds/1")["status"] == "success"
    assert f"since {commits[0]}" in receiver.get("builds/4/log")


def test_a_commit_that_was_built_is_not_built_again(receiver):
    """A delivery that the forge repeats changes nothing."""
    commit = receiver.commit()
    receiver.push(commit)
    receiver.finished(1)
    assert receiver.push(commit).json() == {"number": 1, "status": "success"}
    assert len(receiver.get("builds")) == 1


def test_only_the_last_builds_are_kept(receiver):
    """Older folders are removed; numbers go on."""
    for number in range(1, 8):
        receiver.push(receiver.commit())
        receiver.finished(number)
    kept = receiver.until(lambda: (b := receiver.get("builds")) and len(b) == 5 and b)
    assert [b["number"] for b in kept] == [7, 6, 5, 4, 3]
    assert receiver.get("builds/1") == {"error": "no such build"}


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_a_build_cut_short_is_marked_and_run_again(receiver, with_signal):
    """After a restart, orderly or not, no commit is lost and no build claims to run."""
    receiver.hold.touch()
    commit = receiver.commit()
    receiver.push(commit)
    receiver.until(lambda: receiver.get("builds/1")["status"] == "running")
    receiver.stop(with_signal)
    receiver.hold.unlink()
    receiver.start()
    assert receiver.finished(2)["status"] == "success"
    first = receiver.get("builds/1")
    assert (first["status"], first["error"]) == ("aborted", "the receiver was restarted")
    assert receiver.get("builds/2")["commit"] == commit


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_a_build_whose_harness_the_stop_reaches_first_is_no_failed_build(receiver, with_signal):
    """A stop reaches the receiver and its harness in either order; neither makes the commit one that failed."""
    receiver.hold.touch()
    receiver.push(receiver.commit())
    os.kill(receiver.harness_pid(), with_signal)
    time.sleep(0.3)
    receiver.stop()
    receiver.hold.unlink()
    receiver.start()
    first = receiver.get("builds/1")
    assert (first["status"], first["error"]) == ("aborted", "the receiver was restarted")
    assert receiver.finished(2)["status"] == "success"


def test_a_harness_that_was_killed_is_a_failed_build_while_the_receiver_goes_on(receiver):
    """As when it is out of memory: the build waits for no restart."""
    receiver.hold.touch()
    receiver.push(receiver.commit())
    os.kill(receiver.harness_pid(), signal.SIGKILL)
    receiver.hold.unlink()
    build = receiver.finished(1)
    assert (build["status"], build["error"]) == ("failed", "the harness ended with -9")


@pytest.mark.parametrize("left", ["HEAD", "refs/heads/main.lock"])
def test_a_mirror_cut_short_while_it_was_written_is_made_anew(receiver, left):
    """What a killed `git init` or `git fetch` leaves behind fails no later build."""
    file = receiver.folder / "state/source.git" / left
    receiver.finished(receiver.push(receiver.commit()).json()["number"])
    if left == "HEAD":
        shutil.rmtree(receiver.folder / "state/source.git")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    receiver.push(receiver.commit())
    assert receiver.finished(2)["status"] == "success", receiver.get("builds/2")


def test_a_second_receiver_does_not_touch_the_builds_of_the_first(receiver):
    """It ends with one line because the port is taken, and the running build stays what it is."""
    receiver.hold.touch()
    receiver.push(receiver.commit())
    receiver.until(lambda: receiver.get("builds/1")["status"] == "running")
    command = [
        sys.executable,
        "-m",
        "slipway.pipeline.receiver",
        "--config",
        str(receiver.folder / "receiver.yaml"),
    ]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert second.returncode == 2
    assert second.stderr == f"receiver: cannot listen on {receiver.address}: Address already in use\n"
    assert receiver.get("builds/1")["status"] == "running"
    receiver.hold.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: (r.folder / "secret").chmod(0o644), "others may read it"),
        (lambda r: (r.folder / "secret").unlink(), "the webhook's secret is missing"),
        (lambda r: (r.folder / "secret").write_text("\n"), "the webhook's secret is empty"),
        (lambda r: r.settings.update(listen="nowhere"), "listen String should match pattern"),
        (lambda r: r.settings.update(extra=1), "extra Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_be_trusted_are_refused(tmp_path, change, message):
    """One line that names the file and the reason, exit code 2."""
    receiver = Receiver(tmp_path)
    change(receiver)
    file = tmp_path / "receiver.yaml"
    file.write_text(json.dumps(receiver.settings))
    command = [sys.executable, "-m", "slipway.pipeline.receiver", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def gate(tmp_path):
    receiver = Receiver(tmp_path, event="pull_request", repository="slipway/deploy", jenkinsfile="ci/gate")
    receiver.main = receiver.commit()
    yield receiver.start()
    receiver.stop()


def test_a_pull_request_is_judged_by_the_source_s_main(gate):
    """The build is of the head, the Jenkinsfile is that of the branch, and the number is known to it."""
    gate.propose(7, "a" * 40)
    build = gate.finished(1)
    assert (build["status"], build["commit"], build["change"]) == ("success", "a" * 40, 7)
    assert f"building {gate.main}" in gate.get("builds/1/log")
    shown = (gate.folder / "state/builds/1/change").read_text()
    assert shown == f"judging 7 of http://{gate.address}/builds/1/\n"


def test_a_waiting_pull_request_gives_way_to_its_own_news_only(gate):
    """Another pull request's build is not lost, the same one's older commit is."""
    gate.hold.touch()
    gate.propose(1, "a" * 40)
    gate.until(lambda: gate.get("builds/1")["status"] == "running")
    for number, head in ((2, "b"), (3, "c"), (2, "d")):
        gate.propose(number, head * 40, "synchronized")
    gate.hold.unlink()
    ends = {n: gate.finished(n) for n in (1, 2, 3, 4)}
    assert [ends[n]["status"] for n in ends] == ["success", "superseded", "success", "success"]
    assert (ends[3]["change"], ends[4]["change"], ends[4]["commit"]) == (3, 2, "d" * 40)


def test_a_label_has_the_same_commit_judged_again(gate):
    """Also while it is being judged, since the label may have come too late for that."""
    gate.propose(1, "a" * 40)
    gate.finished(1)
    assert gate.propose(1, "a" * 40, "label_updated").status_code == 202
    assert gate.finished(2)["status"] == "success"


@pytest.mark.parametrize("change", [{"state": "closed"}, {"base": {"ref": "other"}}, {"action": "assigned"}, {"action": "closed"}])  # fmt: skip
def test_what_changes_no_verdict_is_ignored(gate, change):
    action = change.pop("action", "opened")
    assert "ignored" in gate.propose(1, "a" * 40, action, **change).json()
    assert gate.get("builds") == []


def test_a_push_is_nothing_to_the_gate_and_a_pull_request_nothing_to_the_pipeline(gate, idle):
    assert gate.push(gate.main).json() == {"ignored": "not a pull request"}
    assert idle.propose(1, "a" * 40).json() == {"ignored": "not a push"}


def test_archived_files_are_served_and_nothing_else(gate):
    """By name from the archive; no way leads out of it."""
    gate.propose(1, "a" * 40)
    gate.finished(1)
    answer = httpx.get(f"http://{gate.address}/builds/1/artifact/out/diff.html")
    assert answer.text == "page\n" and answer.headers["content-type"].startswith("text/html")
    for path in ("out/none", "../log", "..%2flog", "out/../../log", "/etc/passwd"):
        plain = http.client.HTTPConnection(gate.address)  # which sends a path as it is
        plain.request("GET", f"/builds/1/artifact/{path}")
        assert plain.getresponse().status == 404, path


def test_prometheus_is_told_when_builds_ended_and_what_runs_and_waits(receiver):
    """The newest build of each outcome counts; nothing is said of what never happened."""
    assert metrics(receiver) == {"slipway_builds_queued": 0}
    assert receiver.push(receiver.commit()).status_code == 202
    first = receiver.finished(1)
    receiver.push(receiver.commit("FAILURE"))
    second = receiver.finished(2)
    receiver.hold.touch()
    receiver.push(receiver.commit())
    third = receiver.until(lambda: (b := receiver.get("builds/3")) and b["status"] == "running" and b)
    receiver.push(receiver.commit())
    finished = 'slipway_build_finished_timestamp_seconds{status="%s"}'
    assert metrics(receiver) == {
        "slipway_builds_queued": 1,
        "slipway_build_started_timestamp_seconds": seconds(third["started"]),
        finished % "success": seconds(first["finished"]),
        finished % "failed": seconds(second["finished"]),
    }
    receiver.hold.unlink()
    receiver.finished(4)
    assert metrics(receiver)[finished % "success"] > seconds(first["finished"])


def metrics(receiver: Receiver) -> dict[str, float]:
    """What GET /metrics says, in Prometheus' text format."""
    lines = receiver.get("metrics").splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


def seconds(moment: str) -> float:
    """The time of a build's record, in seconds since 1970."""
    return datetime.fromisoformat(moment).timestamp()
