"""The harness runs a pipeline for real: steps, credentials, conditions, time limits, post."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "ci" / "harness" / "harness"
CREDENTIALS = {
    "token": {"secret": "hunter22-hunter22"},
    "login": {"username": "bot", "password": "pa$$ word"},
    "key": {"file": ""},
}


@dataclass
class Finished:
    """What a run of the harness left."""

    code: int
    log: str
    result: dict
    home: Path

    def stages(self) -> dict[str, str]:
        return {stage["name"]: stage["status"] for stage in self.result["stages"]}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A repository with one commit."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "hello.txt").write_text("hello\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "first"]):
        subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True)
    return folder


def command(folder: Path, source: Path, pipeline: str, *more: str) -> list[str]:
    (folder / "Jenkinsfile").write_text(pipeline)
    return [str(HARNESS), "--repo", str(source), "--jenkinsfile", str(folder / "Jenkinsfile")] + [
        *("--build-dir", str(folder / "build"), "--number", "7", *more)
    ]


def execute(folder: Path, source: Path, pipeline: str, *more: str) -> Finished:
    done = subprocess.run(
        command(folder, source, pipeline, *more), capture_output=True, text=True, timeout=60
    )
    home = folder / "build"
    assert (home / "result.json").is_file(), done.stderr
    return Finished(
        done.returncode, (home / "log").read_text(), json.loads((home / "result.json").read_text()), home
    )


def store(folder: Path, mode: int = 0o600) -> str:
    (folder / "cosign.key").write_text("-----BEGIN KEY-----\nc2VjcmV0LWtleQ==\n-----END KEY-----\n")
    file = folder / "credentials.json"
    file.write_text(json.dumps(CREDENTIALS | {"key": {"file": str(folder / "cosign.key")}}))
    file.chmod(mode)
    return str(file)


def test_a_whole_pipeline_runs_for_real(tmp_path, source):
    """Checkout, shell, variables, conditions, artifacts, post in Jenkins' order, and a clean workspace."""
    run = execute(
        tmp_path,
        source,
        """
        pipeline {
            agent { label 'slipway' }
            options { timestamps() }
            environment { GREETING = "build ${env.BUILD_NUMBER}" }
            stages {
                stage('Work') {
                    environment { COLOUR = 'blue' }
                    steps {
                        checkout scm
                        sh 'cat hello.txt; echo "$GREETING $COLOUR $BRANCH_NAME"'
                        script {
                            def n = sh(script: 'echo 41; echo noise >&2', returnStdout: true).trim().toInteger() + 1
                            def code = sh(script: 'exit 3', returnStatus: true)
                            echo "n is ${n}, code is ${code}"
                            env.LATER = 'kept'
                        }
                        dir('out') { sh 'pwd; echo "{}" > a.json' }
                        withEnv(["EXTRA=${env.LATER}"]) { sh 'echo "extra=$EXTRA"' }
                        sh '''#!/bin/bash
                              echo "bash ${BASH_VERSION%%.*}"'''
                    }
                }
                stage('Release') {
                    when { branch 'release/*' }
                    steps { sh 'exit 1' }
                }
                stage('Main') {
                    when { allOf { branch 'main'; not { changeRequest() }; expression { env.LATER == 'kept' } } }
                    stages {
                        stage('Inner') { steps { echo 'inside' } }
                    }
                }
            }
            post {
                cleanup { cleanWs() }
                success { echo 'post success' }
                unsuccessful { echo 'never' }
                always { archiveArtifacts 'out/*.json' }
            }
        }""",
    )
    assert (run.code, run.result["status"], run.result["number"]) == (0, "SUCCESS", 7)
    assert run.stages() == {
        "Work": "SUCCESS",
        "Release": "SKIPPED",
        "Main": "SUCCESS",
        "Main / Inner": "SUCCESS",
    }
    for line in [
        "hello",
        "build 7 blue main",
        "n is 42, code is 3",
        "extra=kept",
        "bash 5",
        "inside",
        "noise",
    ]:
        assert re.search(rf"^\[[0-9T:.Z-]+\] {re.escape(line)}$", run.log, re.MULTILINE), line
    assert re.findall(r"post \((\w+)\)", run.log) == ["always", "success", "cleanup"]
    assert (run.home / "archive" / "out" / "a.json").read_text() == "{}\n"
    assert list((run.home / "workspace").iterdir()) == []
    assert not (run.home / "tmp").exists()


def test_a_failure_stops_the_stages_and_reaches_post(tmp_path, source):
    """`sh` stops at the first failing command; later stages are skipped; a failing post changes the result too."""
    run = execute(
        tmp_path,
        source,
        """
        pipeline {
            agent any
            stages {
                stage('Bad') {
                    steps {
                        sh 'false; echo not-reached'
                        echo 'not-reached'
                    }
                    post { failure { echo 'stage failed' } }
                }
                stage('After') { steps { echo 'not-reached' } }
            }
            post {
                always { archiveArtifacts 'nothing/*.json' }
                success { echo 'not-reached' }
                failure { echo 'build failed' }
                unsuccessful { echo "result is ${currentBuild.currentResult}" }
            }
        }""",
    )
    assert (run.code, run.result["status"]) == (1, "FAILURE")
    assert run.result["error"] == "script returned exit code 1"
    assert run.stages() == {"Bad": "FAILURE", "After": "SKIPPED"}
    assert "not-reached" not in run.log.replace("+ echo not-reached", "")
    for line in [
        "stage failed",
        "build failed",
        "result is FAILURE",
        "archiveArtifacts: no file matches nothing/*.json",
    ]:
        assert line in run.log


def test_credentials_reach_only_their_block_and_never_the_log(tmp_path, source):
    """Values, their encodings and secret files are masked, files are removed, the next step sees nothing."""
    run = execute(
        tmp_path,
        source,
        """
        pipeline {
            agent any
            stages {
                stage('Use') {
                    steps {
                        withCredentials([string(credentialsId: 'token', variable: 'TOKEN'),
                                         file(credentialsId: 'key', variable: 'KEY'),
                                         usernamePassword(credentialsId: 'login', usernameVariable: 'U', passwordVariable: 'P')]) {
                            sh 'echo "<$TOKEN> <$P> <$U>"; printf %s "$TOKEN" | base64; cat "$KEY"; stat -c %a "$KEY"; test -s "$KEY"'
                        }
                        sh 'echo "after <${TOKEN-none}> <${KEY-none}>"; ls "$WORKSPACE/../tmp"'
                    }
                }
            }
        }""",
        "--credentials",
        store(tmp_path),
    )
    assert run.code == 0, run.log
    everything = run.log + (run.home / "result.json").read_text()
    for secret in ["hunter22", "pa$$ word", "aHVudGVyMjI", "c2VjcmV0LWtleQ"]:
        assert secret not in everything
    assert "<****> <****> <bot>" in run.log
    assert "600" in run.log
    assert "after <none> <none>" in run.log
    assert "secret-" not in run.log


def test_a_time_limit_ends_the_whole_process_tree(tmp_path, source):
    """Grandchildren too, even if they ignore SIGTERM; the build is aborted and post still runs."""
    marker = f"31.{os.getpid()}"
    run = execute(
        tmp_path,
        source,
        f"""
        pipeline {{
            agent any
            options {{ timeout(time: 1, unit: 'SECONDS') }}
            stages {{
                stage('Slow') {{ steps {{ sh 'trap "" TERM; sleep {marker} & (sleep {marker}) & sleep {marker}; sleep {marker}' }} }}
            }}
            post {{
                aborted {{ echo 'post aborted' }}
            }}
        }}""",
    )
    assert (run.code, run.result["status"]) == (1, "ABORTED")
    assert "timeout of 1 s exceeded" in run.result["error"]
    assert "post aborted" in run.log
    assert subprocess.run(["pgrep", "-f", f"^sleep {marker}$"], capture_output=True).returncode == 1


@pytest.mark.parametrize("by", ["end of the process that asked for the build", "signal, and then that"])
def test_a_stopped_harness_ends_its_processes_and_cleans_up(tmp_path, source, by):
    """The step's processes end, cleanup runs to its end, the result says aborted."""
    marker = f"32.{os.getpid()}"
    pipeline = f"""
        pipeline {{
            agent any
            stages {{ stage('Slow') {{ steps {{ sh 'sleep {marker}' }} }} }}
            post {{ cleanup {{ sh 'sleep 1'
                               echo 'cleaned' }} }}
        }}"""
    asking = subprocess.Popen(["sleep", "60"])
    run = command(tmp_path, source, pipeline, "--parent", str(asking.pid))
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL)
    log = tmp_path / "build" / "log"
    for _ in range(200):
        if log.is_file() and "+ sleep" in log.read_text():
            break
        time.sleep(0.05)
    if by.startswith("signal"):
        process.send_signal(signal.SIGTERM)
    asking.kill()
    asking.wait()
    process.wait(20)
    assert json.loads((tmp_path / "build" / "result.json").read_text())["status"] == "ABORTED"
    assert "cleaned" in log.read_text()
    assert subprocess.run(["pgrep", "-f", f"^sleep {marker}$"], capture_output=True).returncode == 1


def test_what_is_not_known_is_refused_before_anything_runs(tmp_path, source):
    """A pipeline with one unknown step at its end runs none of its steps."""
    run = execute(
        tmp_path,
        source,
        """pipeline {
            agent any
            stages {
                stage('First') { steps { sh 'touch ../ran' } }
                stage('Last') { steps { publishHTML 'x' } }
            }
        }""",
    )
    assert run.code == 1
    assert run.result["error"].endswith("Jenkinsfile:5: unknown-step: step publishHTML is not known")
    assert not (run.home / "ran").exists()


def test_a_credentials_file_that_others_may_read_is_refused(tmp_path, source):
    """One line with the file, its mode and the command that mends it; exit code 2."""
    file = store(tmp_path, 0o640)
    pipeline = "pipeline { agent any\nstages { stage('A') { steps { echo 'x' } } } }"
    done = subprocess.run(
        command(tmp_path, source, pipeline, "--credentials", file), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == f"harness: credentials file {file} is rw-r-----; run `chmod 600 {file}`\n"


def test_a_workspace_that_holds_something_is_never_used(tmp_path, source):
    """cleanWs could otherwise delete somebody's work."""
    (tmp_path / "build" / "workspace").mkdir(parents=True)
    (tmp_path / "build" / "workspace" / "thesis.txt").touch()
    pipeline = "pipeline { agent any\nstages { stage('A') { steps { cleanWs() } } } }"
    done = subprocess.run(command(tmp_path, source, pipeline), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert (tmp_path / "build" / "workspace" / "thesis.txt").exists()


PARALLEL = """
pipeline {
    agent any
    stages {
        stage('Both') {
            environment { OUTER = 'seen' }
            parallel {
                stage('Left') {
                    environment { SIDE = 'left' }
                    steps { sh 'touch left; while [ ! -e right ]; do sleep 0.05; done; echo $SIDE $OUTER' }
                }
                stage('Right') {
                    environment { SIDE = 'right' }
                    steps { dir('.') { sh 'touch right; while [ ! -e left ]; do sleep 0.05; done; echo $SIDE $OUTER' } }
                }
            }
        }
        stage('After') { steps { sh 'echo joined' } }
    }
}
"""


def test_branches_run_side_by_side_each_with_its_own_variables(tmp_path, source):
    """Each waits for the other's file, so they could not run one after the other."""
    run = execute(tmp_path, source, PARALLEL)
    assert run.code == 0, run.log
    assert {"[Left] left seen", "[Right] right seen", "joined"} <= set(run.log.splitlines())
    assert run.stages() == dict.fromkeys(["Both", "Both / Left", "Both / Right", "After"], "SUCCESS")


def test_a_branch_that_fails_fails_the_build_after_the_others_have_ended(tmp_path, source):
    """The error is named, and nothing comes after."""
    run = execute(tmp_path, source, PARALLEL.replace("echo $SIDE $OUTER' }\n", "exit 3' }\n", 1))
    assert run.code == 1
    assert run.result["error"] == "script returned exit code 3"
    assert run.stages() == {
        "Both": "FAILURE",
        "Both / Left": "FAILURE",
        "Both / Right": "SUCCESS",
        "After": "SKIPPED",
    }
    assert "[Right] right seen" in run.log


def test_a_time_limit_ends_every_branch(tmp_path, source):
    """No process of any branch outlives it."""
    endless = PARALLEL.replace("touch right;", "sleep 1000;").replace(
        "environment { OUTER = 'seen' }",
        "environment { OUTER = 'seen' }\noptions { timeout(time: 2, unit: 'SECONDS') }",
    )
    run = execute(tmp_path, source, endless)
    assert run.result["status"] == "ABORTED"
    assert run.stages()["Both / Left"] == run.stages()["Both / Right"] == "ABORTED"
