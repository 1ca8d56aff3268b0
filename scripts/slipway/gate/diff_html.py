"""The diff as one page that needs nothing from anywhere, and runs nothing that came from the repository. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from slipway.gate.diff_objects import Change
from slipway.gate.diff_result import AppDiff, DiffResult, ImageDiff
from slipway.gate.diff_text import SIGNS, commit_range, image_line, title
from slipway.gate.findings import printable

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --add: #1a7f3722; --del: #cf222e22; --hunk: #0969da18; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
h2 { border-bottom: 1px solid var(--line); margin-top: 2rem; }
h3 { margin-bottom: .25rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; }
summary { cursor: pointer; padding: .3rem .6rem; }
pre { margin: 0; overflow-x: auto; padding: .4rem 0; border-top: 1px solid var(--line); }
pre span { display: block; padding: 0 .6rem; min-width: max-content; }
.add { background: var(--add); } .del { background: var(--del); } .hunk { background: var(--hunk); }
.blocked { border-left: 4px solid #cf222e; padding-left: .8rem; }
.approved { border-left: 4px solid #9a6700; padding-left: .8rem; }
input { font: inherit; padding: .3rem .6rem; width: 100%; box-sizing: border-box; }
"""
_SCRIPT = """
const box = document.getElementById('find');
box.addEventListener('input', () => {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for (const app of document.querySelectorAll('section.app')) {
    const text = app.textContent.toLowerCase();
    app.hidden = !words.every(word => text.includes(word));
  }
});
"""
_CLASSES = {"+": "add", "-": "del", "@": "hunk"}


def html(result: DiffResult) -> str:
    """The whole page."""
    return "\n".join(_page(result)) + "\n"


def _page(result: DiffResult) -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_text(result.summary)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{_text(result.summary)}</h1>"
    yield f"<p><code>{result.base}</code> → <code>{result.head}</code></p>"
    yield from _reasons("blocked", "Blocked", result.blocked)
    yield from _reasons("approved", "Approved removals", result.refusals if result.allow_prune else [])
    yield '<p><input id="find" type="search" placeholder="Show only applications with these words"></p>'
    for environment in result.environments:
        yield f"<h2>{_text(environment.title)}</h2>"
        for app in environment.apps:
            yield from _app(app)
    if result.others:
        yield "<h2>Also changed, and read by nothing that is deployed</h2><ul>"
        yield from (f"<li><code>{_text(path)}</code></li>" for path in result.others)
        yield "</ul>"
    yield f"<script>{_SCRIPT}</script></body></html>"


def _reasons(name: str, heading: str, reasons: list[str]) -> Iterator[str]:
    if reasons:
        yield f'<div class="{name}"><h2>{heading}</h2><ul>'
        yield from (f"<li>{_text(reason)}</li>" for reason in reasons)
        yield "</ul></div>"


def _app(app: AppDiff) -> Iterator[str]:
    status = "" if app.status == "changed" else f" ({app.status})"
    yield f'<section class="app"><h3>{_text(app.app)}{status}</h3><p><code>{_text(app.path)}</code></p>'
    if app.error_after:
        yield f'<p class="blocked">cannot be rendered: {_text(app.error_after)}</p>'
    if app.error_before:
        yield f"<p>could not be rendered before: {_text(app.error_before)}</p>"
    yield from (line for image in app.images for line in _image(image))
    yield from (line for change in app.changes for line in _change(change))
    yield from (f"<p>↻ {_text(name)} restarts: it reads what is generated anew</p>" for name in app.restarts)
    yield "</section>"


def _image(image: ImageDiff) -> Iterator[str]:
    between = commit_range(image)
    yield f"<p>image <code>{_text(image_line(image))}</code>" + (f" ({_text(between)})" if between else "")
    if image.commits:
        yield "</p><ul>"
        yield from (
            f"<li><code>{_text(sha[:7])}</code> {_text(subject)}</li>" for sha, subject in image.commits
        )
        if more := (image.commit_count or 0) - len(image.commits):
            yield f"<li>and {more} more</li>"
        yield "</ul>"
    else:
        yield "</p>"


def _change(change: Change) -> Iterator[str]:
    is_open = " open" if change.change == "changed" else ""
    sign = SIGNS[change.change]
    # In one piece: a line break between two blocks of a <pre> would show as an empty line.
    lines = [f'<span class="{_CLASSES.get(line[:1], "")}">{_text(line)}</span>' for line in change.diff]
    lines.append(f"<span>{_text(change.file)}:{change.line}</span>")
    summary = f"<summary><code>{sign} {_text(title(change))}</code></summary>"
    yield f"<details{is_open}>{summary}<pre>{''.join(lines)}</pre></details>"


def _text(text: str) -> str:
    """Any text as text, whatever it holds."""
    return escape(printable(text))
