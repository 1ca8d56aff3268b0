"""Writes a plan into a checkout: everything, or nothing."""

from __future__ import annotations

from pathlib import Path

from slipway.errors import EditRefused
from slipway.scaffold.plan import Plan


def write(plan: Plan, root: Path) -> None:
    """Create and change the files; whatever stops it, the checkout is as it was before.

    Raises `EditRefused` when a file cannot be written.
    """
    before = {path: (root / path).read_bytes() if (root / path).exists() else None for path in plan.changed}
    made: list[Path] = []
    try:
        for path, text in plan.created.items():
            _make_folder((root / path).parent, made)
            with (root / path).open("x", newline="") as file:
                made.append(root / path)
                file.write(text)
        for path, text in plan.changed.items():
            _replace(root / path, text.encode())
    except BaseException as exc:
        _undo(root, made, before)
        if isinstance(exc, OSError):
            message = f"{exc.strerror or exc}: nothing was written"
            raise EditRefused(message, path=exc.filename, fix="make the folder writable") from exc
        raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, made)
        folder.mkdir()
        made.append(folder)


def _replace(file: Path, data: bytes) -> None:
    """Put a whole new file in the place of one, with its mode."""
    fresh = file.with_name(f".{file.name}.new")
    try:
        fresh.write_bytes(data)
        if file.exists():
            fresh.chmod(file.stat().st_mode & 0o777)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def _undo(root: Path, made: list[Path], before: dict[str, bytes | None]) -> None:
    for path in reversed(made):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    for path, data in before.items():
        if data is None:
            (root / path).unlink(missing_ok=True)
        elif (root / path).read_bytes() != data:
            _replace(root / path, data)
