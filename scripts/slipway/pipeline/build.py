"""Stage build: images from their Dockerfiles, reproducibly, with buildah or Docker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway import paths
from slipway.errors import InvalidInput, MachineError
from slipway.pipeline import archive
from slipway.pipeline.commit import Commit, last_change
from slipway.pipeline.config import Config
from slipway.pipeline.mirrors import place
from slipway.pipeline.records import Built, Output
from slipway.proc import run, stream

Line = Callable[[str], None]
_KEPT = 3
"""Images of a name that stay in buildah's storage."""
_PIP_CONFIGS = ("~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf")


@dataclass(frozen=True)
class Request:
    """One image to build: everything that goes into it.

    `timestamp` (Unix seconds) is that of all files: the time of the last change to the Dockerfile or a lock file, not
    the commit's, because dependency layers are kept from one commit to the next and keep their time with them.
    """

    dockerfile: Path
    name: str
    commit: Commit
    timestamp: int
    arguments: Mapping[str, str]
    secrets: Mapping[str, Path]

    def options(self) -> list[str]:
        """The options that buildah and Docker share."""
        options = [f"--file={self.dockerfile}"]
        options += [f"--build-arg={name}={value}" for name, value in self.arguments.items()]
        options += [f"--secret=id={name},src={path}" for name, path in self.secrets.items()]
        return options


def host_secrets(env: Mapping[str, str]) -> dict[str, Path]:
    """The machine's CA bundle and pip configuration, where it has them: never part of a layer."""
    bundle = env.get("SSL_CERT_FILE") or env.get("PIP_CERT")
    configs = [env["PIP_CONFIG_FILE"]] if env.get("PIP_CONFIG_FILE") else list(_PIP_CONFIGS)
    found = {"ca": [bundle] if bundle else [], "pip": configs}
    existing = {
        name: next((path for f in files if (path := Path(f).expanduser()).is_file()), None)
        for name, files in found.items()
    }
    return {name: path for name, path in existing.items() if path}


def request(config: Config, image: str, commit: Commit, folder: Path, env: Mapping[str, str]) -> Request:
    """What building `image` at `commit`, checked out in `folder`, means."""
    described = config.images[image]
    timestamp = int(last_change(folder, [described.dockerfile, *described.dependencies], commit).timestamp())
    arguments = {
        "LAYERS_TIME": str(timestamp),
        "GIT_COMMIT": commit.sha,
        "VERSION": commit.tag,
        "CREATED": commit.created,
        "SOURCE_URL": config.source,
    }
    if env.get("SLIPWAY_PYTHON_IMAGE"):
        arguments["PYTHON_IMAGE"] = env["SLIPWAY_PYTHON_IMAGE"]
    return Request(described.dockerfile, config.name(image), commit, timestamp, arguments, host_secrets(env))


def compression(image: str, env: Mapping[str, str]) -> str:
    """`gzip`, or `none` where compressing costs more than sending: a registry behind a plain HTTP mirror is near."""
    wanted = env.get("SLIPWAY_BUILD_COMPRESSION") or ("none" if place(image, env).plain else "gzip")
    if wanted not in ("gzip", "none"):
        raise InvalidInput(f"SLIPWAY_BUILD_COMPRESSION is {wanted!r}", fix="gzip or none")
    return wanted


class Buildah:
    """Builds without an engine; its storage stays between builds, so unchanged layers are not built again."""

    def __init__(self, env: Mapping[str, str]):
        root = Path(env.get("SLIPWAY_BUILDAH_ROOT") or paths.cache() / "buildah")
        self.command = ["buildah", f"--root={root / 'root'}", f"--runroot={root / 'run'}"]
        self.env = env

    def build(self, wanted: Request, folder: Path, tar: Path, on_line: Line) -> None:
        """Build in the context `folder` and write the image to `tar`."""
        reference = f"{wanted.name}:{wanted.commit.tag}"
        stream(
            [
                *self.command,
                "build",
                "--isolation=chroot",
                "--layers",
                "--identity-label=false",
                "--format=oci",
                f"--timestamp={wanted.timestamp}",
                f"--tag={reference}",
                *wanted.options(),
                *self._base(wanted),
                ".",
            ],
            on_line,
            cwd=folder,
        )
        form = "docker-archive" if compression(wanted.name, self.env) == "none" else "oci-archive"
        run([*self.command, "push", "--quiet", reference, f"{form}:{tar}:{reference}"], timeout=900)
        self._forget(wanted.name)

    def _forget(self, name: str) -> None:
        """Remove all but the newest images of this name; layers that those share stay and serve as cache."""
        listed = run(
            [*self.command, "images", "--format={{.Name}}:{{.Tag}}", f"--filter=reference={name}:*"],
            check=False,
        )
        if listed.returncode:
            return  # another build removes its own meanwhile, which buildah cannot list beside; the next one tidies up
        for old in sorted(set(listed.stdout.split()))[:-_KEPT]:
            run([*self.command, "rmi", old], check=False)

    def _base(self, wanted: Request) -> list[str]:
        """A base given as `oci-archive:PATH` is loaded first and named by its id; a local one is never pulled."""
        base = wanted.arguments.get("PYTHON_IMAGE", "")
        if base.startswith("oci-archive:"):
            loaded = run([*self.command, "pull", "--quiet", base], timeout=900).stdout.split()[-1]
            return [f"--build-arg=PYTHON_IMAGE={loaded}"]
        return ["--pull-never"] if base.startswith("localhost/") else []


class Docker:
    """Builds with an engine where there is one and buildah is not."""

    def build(self, wanted: Request, folder: Path, tar: Path, on_line: Line) -> None:
        """As `Buildah.build`; needs Docker 25, whose archives are OCI layouts."""
        reference = f"{wanted.name}:{wanted.commit.tag}"
        env = {"SOURCE_DATE_EPOCH": str(wanted.timestamp)}
        stream(
            [
                "docker",
                "buildx",
                "build",
                "--provenance=false",
                f"--output=type=oci,dest={tar},rewrite-timestamp=true",
                f"--tag={reference}",
                *wanted.options(),
                ".",
            ],
            on_line,
            cwd=folder,
            env=env,
        )


def builder(env: Mapping[str, str]) -> Buildah | Docker:
    """Buildah if it is installed, else Docker if its engine answers."""
    if shutil.which("buildah", path=env.get("PATH")):
        return Buildah(env)
    if (
        shutil.which("docker", path=env.get("PATH"))
        and run(["docker", "info"], check=False, timeout=20).returncode == 0
    ):
        return Docker()
    raise MachineError(
        "neither buildah nor a running Docker engine is here",
        fix="apt-get install -y --no-install-recommends buildah",
    )


def build(config: Config, image: str, commit: Commit, folder: Path, output: Output, on_line: Line) -> Built:
    """Build one image into the output folder and record its digest."""
    env = dict(os.environ)
    if not (folder / config.images[image].dockerfile).is_file():
        raise InvalidInput(
            f"the Dockerfile of {image} is missing", path=folder / config.images[image].dockerfile
        )
    tar = output.archive(image).absolute()
    tar.parent.mkdir(parents=True, exist_ok=True)
    partial = tar.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    builder(env).build(request(config, image, commit, folder, env), folder, partial, on_line)
    archive.make_readable_as_docker(partial, f"{config.name(image)}:{commit.tag}")
    opened = archive.read(partial)
    _check_labels(opened.labels(), commit, folder / config.images[image].dockerfile)
    partial.rename(tar)
    record = Built(config.name(image), commit.tag, opened.digest, commit.sha, commit.created, tar.name)
    output.put_built(image, record)
    return record


def _check_labels(labels: Mapping[str, str], commit: Commit, dockerfile: Path) -> None:
    """Refuse an image that says it is another commit: buildah's cache does not look at arguments in LABEL."""
    for name, wanted in {"revision": commit.sha, "version": commit.tag}.items():
        found = labels.get(f"org.opencontainers.image.{name}")
        if found != wanted:
            raise InvalidInput(
                f"label org.opencontainers.image.{name} is {found}, not {wanted}",
                path=dockerfile,
                fix="set it from the build arguments, after a step whose result depends on VERSION",
            )
