"""The output folder: what each stage leaves for the next, as files with a fixed shape.

<image>.tar               image archive (OCI layout, readable as a Docker archive)
<image>.json              written by build: image, tag, digest, revision, created, archive
<image>.scan.json         written by scan: verdict, database, findings; <image>.sbom.json beside it
digests/<image>.json      written by push: image, tag, digest, revision, created; what `slipway bump` reads
signatures/<image>.json   written by sign: reference, digest, verified
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from slipway.errors import InvalidInput


@dataclass(frozen=True)
class Built:
    """An image in an archive; `image` is its name in Git."""

    image: str
    tag: str
    digest: str
    revision: str
    created: str
    archive: str


@dataclass(frozen=True)
class Pushed:
    """An image in the registry, exactly as `slipway bump` reads it."""

    image: str
    tag: str
    digest: str
    revision: str
    created: str


class Output:
    """The files of one output folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def archive(self, image: str) -> Path:
        """Where the image's archive lies."""
        return self.folder / f"{image}.tar"

    def put_built(self, image: str, record: Built) -> None:
        """Record a build; what later stages said of an earlier build of this image is removed first."""
        for stale in (
            f"{image}.scan.json",
            f"{image}.sbom.json",
            f"digests/{image}.json",
            f"signatures/{image}.json",
        ):
            (self.folder / stale).unlink(missing_ok=True)
        self._write(f"{image}.json", asdict(record))

    def built(self, image: str) -> Built:
        """What build left; its archive exists."""
        data = self._read(f"{image}.json", image, "was not built", "slipway ci build")
        record = _as(Built, data, self.folder / f"{image}.json")
        if not self.archive(image).is_file():
            raise InvalidInput(
                f"the archive of {image} is missing", path=self.archive(image), fix="run `slipway ci build`"
            )
        return record

    def put_scan(self, image: str, report: dict, sbom: dict) -> None:
        """Record a scan's report and SBOM."""
        self._write(f"{image}.sbom.json", sbom)
        self._write(f"{image}.scan.json", report)

    def scan(self, image: str, digest: str) -> dict:
        """The report of this very digest, which passed; anything else is refused."""
        report = self._read(f"{image}.scan.json", image, "was not scanned", "slipway ci scan")
        if report.get("digest") != digest:
            raise InvalidInput(
                f"the scan of {image} is of {report.get('digest')}, the archive is {digest}",
                path=self.folder / f"{image}.scan.json",
                fix="run `slipway ci scan` again",
            )
        if report.get("verdict") != "pass":
            raise InvalidInput(f"{image} did not pass its scan", path=self.folder / f"{image}.scan.json")
        return report

    def put_pushed(self, image: str, record: Pushed) -> None:
        """Record what the registry holds."""
        self._write(f"digests/{image}.json", asdict(record))

    def pushed(self, image: str) -> Pushed:
        """What push left."""
        name = f"digests/{image}.json"
        return _as(Pushed, self._read(name, image, "was not pushed", "slipway ci push"), self.folder / name)

    def put_signature(self, image: str, record: dict) -> None:
        """Record a verified signature."""
        self._write(f"signatures/{image}.json", record)

    def _write(self, name: str, data: dict) -> None:
        write(self.folder / name, data)

    def _read(self, name: str, image: str, what: str, command: str) -> dict:
        path = self.folder / name
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError as exc:
            raise InvalidInput(f"{image} {what}", path=path, fix=f"run `{command}` first") from exc
        except json.JSONDecodeError as exc:
            raise InvalidInput(
                f"not JSON: {exc.msg}", path=path, line=exc.lineno, fix=f"run `{command}` again"
            ) from exc
        return data if isinstance(data, dict) else {}


def write(path: Path, data: dict) -> None:
    """Write a record as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(data, indent=2) + "\n")
    partial.rename(path)


def _as(kind: type, data: dict, path: Path):
    """The record as an object of `kind`, or an error that names what is missing."""
    names = list(kind.__dataclass_fields__)
    missing = [name for name in names if not isinstance(data.get(name), str)]
    if missing:
        raise InvalidInput(f"{', '.join(missing)} missing", path=path, fix="run the stage again")
    return kind(**{name: data[name] for name in names})
