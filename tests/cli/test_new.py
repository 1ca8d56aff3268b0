"""`slipway new app` in copies of this repository: what it writes is checked, linted and tested as everything else."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from packaging.requirements import Requirement
from slipway import kustomize, paths
from slipway.commands.new import KINDS, command
from slipway.errors import EditRefused, InvalidInput
from slipway.gate.check import Check
from slipway.gate.check_cache import CheckCache
from slipway.kustomization.edit import set_images
from slipway.pipeline import config
from slipway.registry.references import NewRef
from slipway.scaffold import lock

New = Callable[..., Result]
SOURCE = (
    "apps",
    "ci/pipeline.yaml",
    "images",
    "requirements.lock",
    "scripts/pair",
    "CODEOWNERS",
    "pyproject.toml",
)
DEPLOY = ("argocd", "base", "overlays")
LONGEST = "a-name-with-forty-characters-as-it-may-b"
IMAGE = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/slipway/hello"


def copy(root: Path, *names: str) -> Path:
    """A folder with these parts of the checkout."""
    skipped = shutil.ignore_patterns("__pycache__", ".ruff_cache", "node_modules", "cdk.out")
    for name in names:
        source, target = paths.CHECKOUT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=skipped)
        else:
            shutil.copyfile(source, target)
    return root


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both halves, as they are here."""
    return copy(tmp_path_factory.mktemp("pristine") / "template", *SOURCE, *DEPLOY)


@pytest.fixture
def repo(pristine: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "template"))


def new(repo: Path, *arguments: str) -> Result:
    """The verb in this process."""
    return CliRunner().invoke(command, ["app", "--repo", str(repo), *arguments])


@pytest.fixture(scope="session", params=KINDS)
def made(request: pytest.FixtureRequest, pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository to which `hello` was added, once of each kind; tests only read it."""
    root = Path(shutil.copytree(pristine, tmp_path_factory.mktemp(request.param) / "template"))
    done = new(root, "hello", "--kind", request.param)
    assert done.exit_code == 0, done.exception
    return root


def files(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def findings(root: Path) -> list[str]:
    """What `slipway check` says."""
    with CheckCache(None) as cache:
        report = Check(root, cache, workers=1).run()
    assert report.as_json()["overlays"] >= 6
    return [f"{one.file}:{one.line}: {one.rule}: {one.message}" for one in report.findings]


def rendered(root: Path, environment: str = "dev") -> dict[str, dict]:
    """Kind to object of what the application is in an environment."""
    text = kustomize.build(root / "overlays" / environment / "hello")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def edit(file: Path, old: str, new: str) -> None:
    """Replace text that must be there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def release(root: Path, environment: str = "dev") -> None:
    """What a first bump does."""
    file = root / "overlays" / environment / "hello" / "kustomization.yaml"
    wanted = {IMAGE: NewRef("main-20261125-abcdef0", "sha256:" + "a" * 64)}
    file.write_bytes(set_images(file.read_bytes(), wanted, path=file.name).data)


def test_the_repository_passes_the_check_untouched(made: Path) -> None:
    """Every rule, every environment, before any image was built."""
    assert findings(made) == []


def test_it_passes_the_check_on_eks_and_after_its_first_release(made: Path, tmp_path: Path) -> None:
    """The components of AWS in the place of the local ones, and an image in the place of `unreleased`."""
    root = Path(shutil.copytree(made, tmp_path / "template"))
    for file in root.glob("overlays/*/*/kustomization.yaml"):
        edit(file, "clusters/local", "clusters/eks")
    release(root)
    assert findings(root) == []
    given = rendered(root)["Ingress"]["metadata"]["annotations"]
    assert given["alb.ingress.kubernetes.io/ssl-redirect"] == "443"
    assert given["alb.ingress.kubernetes.io/auth-type"] == "oidc", "nobody gets past without a login"
    (source,) = rendered(root)["NetworkPolicy"]["spec"]["ingress"]
    assert {peer["ipBlock"]["cidr"] for peer in source["from"]} == {
        "10.0.0.0/24",
        "10.0.1.0/24",
        "10.0.2.0/24",
    }


def test_an_environment_has_no_pods_before_its_first_release_and_all_of_them_after(
    made: Path, tmp_path: Path
) -> None:
    """A Pod could only fail to pull `unreleased`; the bump that writes the first image is all that is needed."""
    root = Path(shutil.copytree(made, tmp_path / "template"))
    assert rendered(root)["Deployment"]["spec"]["replicas"] == 0
    release(root)
    assert rendered(root)["Deployment"]["spec"]["replicas"] == 2
    assert rendered(root, "prod")["Deployment"]["spec"]["replicas"] == 0


def test_a_bump_of_a_running_application_changes_its_image_and_nothing_else_of_its_pods(
    made: Path, tmp_path: Path
) -> None:
    """The annotation that names the release is on the Deployment, not on its Pods."""
    root = Path(shutil.copytree(made, tmp_path / "template"))
    release(root)
    before = yaml.safe_dump(rendered(root)["Deployment"]["spec"])
    edit(root / "overlays/dev/hello/kustomization.yaml", "main-20261125-abcdef0", "main-20261126-1234567")
    assert yaml.safe_dump(rendered(root)["Deployment"]["spec"]) == before.replace(
        "main-20261125-abcdef0", "main-20261126-1234567"
    )


def test_it_is_a_member_of_the_boards_group_with_the_same_load_balancer(made: Path) -> None:
    """Where two members differ about the load balancer, the controller stops for both."""
    board = list(yaml.safe_load_all(kustomize.build(made / "overlays" / "dev" / "board")))
    (ingress,) = [document for document in board if document["kind"] == "Ingress"]
    theirs, ours = (one["metadata"]["annotations"] for one in (ingress, rendered(made)["Ingress"]))
    shared = (
        "group.name",
        "load-balancer-name",
        "scheme",
        "security-groups",
        "listen-ports",
        "load-balancer-attributes",
    )
    for key in (f"alb.ingress.kubernetes.io/{name}" for name in shared):
        assert ours[key] == theirs[key]
    assert theirs["alb.ingress.kubernetes.io/group.order"] == "1000"
    assert "alb.ingress.kubernetes.io/group.order" not in ours


def test_what_the_board_says_of_the_load_balancer_is_repeated(repo: Path) -> None:
    """Whoever moved it to other subnets gets applications that agree."""
    key = "    alb.ingress.kubernetes.io/"
    edit(
        repo / "base/board/ingress.yaml",
        f"{key}scheme: internet-facing",
        f"{key}scheme: internal\n{key}subnets: a,b",
    )
    assert new(repo, "hello").exit_code == 0
    text = (repo / "base/hello/ingress.yaml").read_text()
    assert f"{key}scheme: internal\n{key}subnets: a,b\n" in text


def test_locally_the_load_balancer_reaches_it_and_its_rollouts_are_short(made: Path) -> None:
    """The components choose it by its labels, as they do the board."""
    found = rendered(made)
    (source,) = found["NetworkPolicy"]["spec"]["ingress"]
    assert source["from"] == [{"ipBlock": {"cidr": "10.250.1.1/32"}}]
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "15"]}}
    attributes = found["Service"]["metadata"]["annotations"]
    delay = attributes["alb.ingress.kubernetes.io/target-group-attributes"].partition(",")[0]
    assert delay == "deregistration_delay.timeout_seconds=10"


def test_every_path_that_is_asked_lies_below_its_own(made: Path) -> None:
    """Probes, health check and Ingress agree; anything else would be another application's."""
    found = rendered(made)
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    asked = {container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    asked.add(found["Service"]["metadata"]["annotations"]["alb.ingress.kubernetes.io/healthcheck-path"])
    (rule,) = found["Ingress"]["spec"]["rules"]
    asked |= {path["path"] for path in rule["http"]["paths"] if path["path"] != "/hello"}
    assert all(path.startswith("/hello/") for path in asked), asked
    assert "/hello" in [path["path"] for path in rule["http"]["paths"]]


def test_a_page_returns_to_its_pod_and_an_api_to_any(pristine: Path, tmp_path: Path) -> None:
    """Streamlit keeps sessions in memory."""
    for kind in KINDS:
        root = Path(shutil.copytree(pristine, tmp_path / kind))
        new(root, "hello", "--kind", kind)
        attributes = rendered(root)["Service"]["metadata"]["annotations"]
        sticky = "stickiness.enabled=true" in attributes["alb.ingress.kubernetes.io/target-group-attributes"]
        assert sticky == (kind == "streamlit")


def test_no_file_of_argo_cd_is_touched_and_nothing_else_of_anybody(made: Path, pristine: Path) -> None:
    """The ApplicationSets find the overlays by themselves; of the files that were there, the pipeline's changes."""
    before, after = files(pristine), files(made)
    assert {path for path, data in before.items() if after.get(path) != data} == {"ci/pipeline.yaml"}
    created = after.keys() - before.keys()
    folders = ("apps/hello/", "images/hello/", "base/hello/", "tests/app/test_hello_app.py")
    folders += tuple(f"overlays/{name}/hello/kustomization.yaml" for name in ("dev", "staging", "prod"))
    assert all(path.startswith(folders) for path in created), sorted(created)
    assert all(any(path.startswith(folder) for path in created) for folder in folders)


def test_the_pipeline_builds_it_like_the_others(made: Path) -> None:
    """`slipway ci build` takes it without a change; the layers' time follows Dockerfile and lock file."""
    read = config.load(made / config.FILE)
    assert list(read.images)[-1] == "hello"
    assert read.name("hello") == IMAGE
    image = read.images["hello"]
    assert all((made / file).is_file() for file in (image.dockerfile, *image.dependencies))
    assert bool(image.dependencies) == (made / "apps/hello/requirements.lock").is_file()


def test_the_image_has_the_labels_the_user_and_the_time_of_the_others(made: Path) -> None:
    """The same commit gives the same bytes, Kubernetes can check the user, SIGTERM reaches the process itself."""
    text = (made / "images/hello/Dockerfile").read_text()
    theirs = (made / "images/board-frontend/Dockerfile").read_text()
    base = re.search(r"(?m)^ARG PYTHON_IMAGE=.*$", theirs)[0]
    assert text.count(base) == 1
    runtime = text.rpartition("\nFROM ")[2]
    assert "USER 10001:10001\n" in runtime and "HOME=/tmp" in runtime and "RUN" not in runtime
    assert json.loads(re.search(r"(?m)^CMD (.*)$", runtime)[1])[1:] == ["-m", "hello_app"]
    for label in ("revision", "version", "created", "source"):
        assert f"org.opencontainers.image.{label}=" in runtime
    for name in ("GIT_COMMIT", "VERSION", "CREATED", "SOURCE_URL"):
        assert f"${{{name}}}" in re.search(r'(?m)^RUN .*echo "(.*)" > /app/BUILD$', text)[1]
        assert runtime.index("COPY --from=application") < runtime.index(f"ARG {name}")
    assert "${LAYERS_TIME}" in text


def test_its_own_tests_pass(made: Path) -> None:
    """The test that comes with it runs as the pipeline runs it."""
    argv = [sys.executable, "-m", "pytest", "tests/app/test_hello_app.py", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(argv, cwd=made, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^[3-9] passed", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("name", ["b", LONGEST])
@pytest.mark.parametrize("kind", KINDS)
def test_the_python_code_is_formatted_whatever_the_name(repo: Path, kind: str, name: str) -> None:
    """The shortest and the longest name; `make lint` has nothing to say."""
    assert new(repo, name, "--kind", kind).exit_code == 0
    ruff = Path(sys.prefix) / "bin" / "ruff"
    for arguments in (["check"], ["format", "--check"]):
        argv = [ruff, *arguments, "--no-cache", f"apps/{name}", "tests"]
        done = subprocess.run(argv, cwd=repo, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", ["streamlit", "fastapi"])
def test_every_requirement_of_the_closure_is_locked_with_hashes(repo: Path, kind: str) -> None:
    """All that the packages installed here need, in the version that is installed; and pip takes the file so."""
    new(repo, "hello", "--kind", kind)
    folder = repo / "apps" / "hello"
    pins = lock.parse((folder / "requirements.lock").read_text())
    waiting = [Requirement(line) for line in (folder / "requirements.in").read_text().split()]
    seen = set()
    while waiting:
        wanted = waiting.pop()
        name = lock.normal(wanted.name)
        assert f"{name}=={importlib.metadata.version(name)} \\" == pins[name].lines[0]
        assert all(
            re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", one) for one in pins[name].lines[1:]
        )
        assert len(pins[name].lines) > 1
        for text in importlib.metadata.requires(name) or ():
            need = Requirement(text)
            extras = wanted.extras or {""}
            if (name, text) not in seen and (
                not need.marker or any(need.marker.evaluate({"extra": extra}) for extra in extras)
            ):
                seen.add((name, text))
                waiting.append(need)
    argv = [
        Path(sys.prefix) / "bin" / "pip",
        "install",
        "--dry-run",
        "--no-index",
        "--require-hashes",
        "--only-binary",
    ]
    argv += [":all:", "-r", folder / "requirements.lock", "--disable-pip-version-check"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("board", "board is there already: apps/board, base/board, overlays/dev/board"),
        ("board-backend", "board-backend is there already: images/board-backend"),
        ("board-postgres", "board-postgres is there already"),
        ("default-deny", "NetworkPolicy default-deny is there already"),
        ("dev", "dev is an environment"),
        ("promotion", "the page promotion is there already"),
        ("api", "api is reserved: it is a path that every application has"),
        ("Hello", "'Hello' is no name for an application"),
    ],
)
def test_a_name_that_is_taken_or_none_is_refused_and_nothing_is_written(
    repo: Path, name: str, because: str
) -> None:
    """Folders, images, objects of the namespace, environments and paths; each with cause and fix."""
    before = files(repo)
    done = new(repo, name)
    assert isinstance(done.exception, EditRefused | InvalidInput), done.output
    assert because in done.exception.message and done.exception.fix
    assert done.exception.exit_code in (2, 3)
    assert files(repo) == before


def test_the_name_of_an_image_elsewhere_is_taken(repo: Path) -> None:
    """Two images of one name in the registry would overwrite each other's tags."""
    edit(repo / config.FILE, "repository: slipway/board-frontend", "repository: slipway/shop")
    done = new(repo, "shop")
    assert isinstance(done.exception, EditRefused)
    assert done.exception.message == "there is an image board-frontend already"


def test_the_path_of_another_application_is_taken(repo: Path) -> None:
    """Whoever serves /shop/basket keeps everything below /shop."""
    edit(repo / "base/board/ingress.yaml", "path: /version", "path: /shop/basket")
    done = new(repo, "shop")
    assert isinstance(done.exception, EditRefused)
    assert done.exception.message == "the path of shop is there already"


def test_a_second_run_refuses_and_names_what_is_there(repo: Path) -> None:
    """A half that somebody removed is not made again over the rest."""
    assert new(repo, "hello").exit_code == 0
    shutil.rmtree(repo / "apps/hello")
    before = files(repo)
    done = new(repo, "hello")
    assert isinstance(done.exception, EditRefused)
    assert done.exception.message == (
        "hello is there already: images/hello, base/hello, overlays/dev/hello, overlays/staging/hello, "
        "overlays/prod/hello, tests/app/test_hello_app.py"
    )
    assert "remove these first" in done.exception.fix
    assert files(repo) == before


def test_nothing_is_half_written(repo: Path) -> None:
    """A file in the place of a folder stops the command in its middle; it takes back what it made."""
    (repo / "tests").write_text("not a folder")
    before = files(repo)
    done = new(repo, "hello")
    assert isinstance(done.exception, EditRefused) and "nothing was written" in done.exception.message
    assert files(repo) == before
    assert not (repo / "apps/hello").exists()


def test_two_applications_live_beside_each_other(repo: Path) -> None:
    """One load balancer, one namespace, no object of one in the other."""
    for name, kind in (("hello", "fastapi"), ("world", "container")):
        assert new(repo, name, "--kind", kind).exit_code == 0
    assert findings(repo) == []
    assert list(config.load(repo / config.FILE).images)[-2:] == ["hello", "world"]


def test_a_dry_run_shows_everything_and_writes_nothing(repo: Path) -> None:
    """Files to create by name, files to change as a difference."""
    before = files(repo)
    done = new(repo, "hello", "--dry-run")
    assert done.exit_code == 0
    assert "would create base/hello/deployment.yaml\n" in done.output
    assert "\n+  hello:\n+    dockerfile: images/hello/Dockerfile\n" in done.output
    assert done.output.endswith("dry run: nothing was written\n")
    assert files(repo) == before


def test_json_names_files_and_what_remains(repo: Path) -> None:
    """For those who commit it by a program."""
    said = json.loads(new(repo, "hello", "--kind", "fastapi", "--json").output)
    assert (said["path"], said["image"], said["halves"]) == ("/hello", IMAGE, ["source", "deploy"])
    assert all((repo / path).is_file() for path in said["created"])
    assert said["changed"] == ["ci/pipeline.yaml"]
    assert "`slipway promote hello --to staging` when it may go there" in said["remaining"]


def test_an_owner_is_named_in_the_file_of_each_half(repo: Path) -> None:
    """At the end, because the last line that matches counts."""
    assert new(repo, "hello", "--owner", "@slipway/greeters").exit_code == 0
    assert (repo / "CODEOWNERS").read_text().splitlines()[-2:] == [
        "/apps/hello/    @slipway/greeters",
        "/images/hello/  @slipway/greeters",
    ]
    deploy = (repo / "scripts/pair/deploy/CODEOWNERS").read_text()
    assert deploy.splitlines()[-1] == "/base/hello/  @slipway/greeters"


def test_in_the_source_half_its_part_is_written_and_the_rest_is_said(tmp_path: Path) -> None:
    """No base and no overlays are made where nobody would find them."""
    root = copy(tmp_path / "source", *SOURCE)
    said = json.loads(new(root, "hello", "--kind", "fastapi", "--owner", "@ada", "--json").output)
    assert said["halves"] == ["source"]
    assert {path.partition("/")[0] for path in said["created"]} == {"apps", "images", "tests"}
    assert said["changed"] == ["ci/pipeline.yaml", "CODEOWNERS"]
    assert "run `slipway new app hello` in the deploy repository too" in said["remaining"][0]


def test_in_the_deploy_half_its_part_is_written_and_passes_the_check(tmp_path: Path) -> None:
    """The image's name is told by the overlays that are there."""
    root = copy(tmp_path / "deploy", *DEPLOY)
    shutil.copyfile(paths.CHECKOUT / "scripts/pair/deploy/CODEOWNERS", root / "CODEOWNERS")
    said = json.loads(new(root, "hello", "--owner", "@ada", "--json").output)
    assert (said["halves"], said["image"], said["changed"]) == (["deploy"], IMAGE, ["CODEOWNERS"])
    assert {path.partition("/")[0] for path in said["created"]} == {"base", "overlays"}
    assert "in the source repository too" in said["remaining"][1]
    assert findings(root) == []


def test_elsewhere_it_says_where_to_run_it(tmp_path: Path) -> None:
    """A folder that is no half of a pair."""
    done = new(tmp_path, "hello")
    assert isinstance(done.exception, InvalidInput)
    assert done.exception.message == "this is neither half of a pair"


def test_the_first_application_of_an_environment_brings_the_namespace(repo: Path) -> None:
    """Where another overlay renders it, a second one would take it away at every sync."""
    shutil.rmtree(repo / "overlays/dev/board")
    assert new(repo, "hello").exit_code == 0
    assert "- ../../../base/namespace\n" in (repo / "overlays/dev/hello/kustomization.yaml").read_text()
    assert "base/namespace" not in (repo / "overlays/prod/hello/kustomization.yaml").read_text()


def test_overlays_are_for_the_cluster_that_the_environment_is_on(repo: Path) -> None:
    """An environment that moved to EKS gets applications for EKS."""
    edit(repo / "overlays/prod/board/kustomization.yaml", "clusters/local", "clusters/eks")
    assert new(repo, "hello").exit_code == 0
    for environment, cluster in (("dev", "local"), ("prod", "eks")):
        text = (repo / f"overlays/{environment}/hello/kustomization.yaml").read_text()
        assert f"base/hello/clusters/{cluster}\n" in text
