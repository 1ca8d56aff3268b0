"""HTML from the templates beside this file; every value is escaped, so that no text can become markup."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from board_frontend import view

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)
for _function in (
    view.age,
    view.span,
    view.moment,
    view.moment_to_the_second,
    view.short,
    view.version,
    view.pinned,
    view.compared,
    view.plural,
    view.number,
    view.percent,
    view.size,
    view.link,
    view.vulnerabilities,
    view.clipped,
):
    _TEMPLATES.filters[_function.__name__] = _function


def render(template: str, **values: object) -> str:
    """The template's HTML."""
    return _TEMPLATES.get_template(template).render(tones=view.TONES, **values)
