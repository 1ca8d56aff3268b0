"""`slipway set-image`: the byte-exact edit alone, on one file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from slipway.errors import InvalidInput


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE=[NAME]:TAG[@DIGEST]...")
@click.option("--add", is_flag=True, help="Add entries that are missing.")
@click.option("--dry-run", is_flag=True, help="Show the change and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: Path, images: tuple[str, ...], add: bool, dry_run: bool, as_json: bool) -> None:
    """Edit image entries in one kustomization file, byte-exactly.

    Only the values change; comments, layout and line endings stay. What cannot be edited so is refused.

    Example: slipway set-image overlays/dev/board/kustomization.yaml registry.example/board=:v2@sha256:…
    """
    from slipway.kustomization.edit import set_images, unified
    from slipway.registry.references import parse_assignment

    pairs = [parse_assignment(text) for text in images]
    if len(dict(pairs)) < len(pairs):
        raise InvalidInput("an image is given twice", fix="give each image once")
    data = file.read_bytes()
    edit = set_images(data, dict(pairs), path=file, add=add)
    if edit.changes and not dry_run:
        _replace(file, edit.data)
    changes = [
        {"image": c.image, "line": c.line, "old": c.old and str(c.old), "new": str(c.new)}
        for c in edit.changes
    ]
    if as_json:
        click.echo(json.dumps({"path": str(file), "dry_run": dry_run, "changes": changes}))
        return
    for change in changes:
        click.echo(f"{file}:{change['line']}: {change['old'] or 'none'} → {change['new']}")
    if dry_run and edit.changes:
        click.echo(unified(str(file), data, edit.data), nl=False)
    if not changes:
        click.echo(f"{file}: already at {', '.join(images)}")


def _replace(file: Path, data: bytes) -> None:
    """Write beside the file and move over it, so that a crash leaves the old or the new one; its mode stays."""
    target = file.resolve()
    temporary = target.with_name(f".{target.name}.slipway")
    try:
        temporary.write_bytes(data)
        temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    except OSError as exc:
        raise InvalidInput(
            f"the file cannot be written: {exc}", path=file, fix="check its permissions"
        ) from exc
    finally:
        temporary.unlink(missing_ok=True)
