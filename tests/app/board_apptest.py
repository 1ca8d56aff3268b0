"""Fixtures for the tests of the board's pages without a browser: a stub of the backend, and pages opened on it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from board_frontend import ask
from board_stub import BoardStub
from board_testing import BOARD
from streamlit.testing.v1 import AppTest

FRONTEND = BOARD / "frontend" / "board_frontend"


class _Reader(HTMLParser):
    """The text and the elements of a piece of HTML."""

    def __init__(self, html: str):
        super().__init__()
        self.text: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.feed(html)

    def handle_data(self, data):
        self.text.append(data)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


class Page:
    """An open page; what a reader finds on it."""

    def __init__(self, at: AppTest):
        self.at = at

    def again(self) -> Page:
        """The page after its next renewal, a second or more later."""
        ask.asked.clear()
        self.at.run()
        return self

    @property
    def _html(self) -> list[_Reader]:
        return [_Reader(element.value) for element in self.at.html]

    @property
    def elements(self) -> list[tuple[str, dict]]:
        """Every HTML element the page itself wrote: name and attributes."""
        return [element for reader in self._html for element in reader.elements]

    @property
    def links(self) -> list[str]:
        return [attributes["href"] for tag, attributes in self.elements if tag == "a"]

    @property
    def markup(self) -> list[str]:
        """Every text that Streamlit reads as Markdown."""
        at = self.at
        kinds = (at.title, at.subheader, at.markdown, at.caption, at.error, at.warning, at.info, at.success)
        return [str(element.value) for kind in kinds for element in kind]

    @property
    def text(self) -> str:
        """What can be read, on one line, with Markdown's escapes taken away."""
        said = [re.sub(r"\\(.)", r"\1", text) for text in self.markup]
        said += [text for reader in self._html for text in reader.text]
        said += [element.value for element in self.at.code]
        return " ".join(" ".join(said).split())

    def boxes(self, kind: str) -> list[str]:
        """The texts of the errors, warnings or infos."""
        return [re.sub(r"\\(.)", r"\1", box.value) for box in getattr(self.at, kind)]


@pytest.fixture
def backend():
    """A stub of the backend that knows one application in three environments."""
    stub = BoardStub()
    yield stub
    stub.stop()


@pytest.fixture
def open_page(monkeypatch):
    """Opens a page by its name on an API; whatever it showed, it never showed an exception."""
    opened: list[Page] = []

    def begin(url: str, name: str, query: dict | None = None, **env: str) -> Page:
        for variable, value in {"BOARD_API_URL": url, "BOARD_TIMEOUT_SECONDS": "0.5", **env}.items():
            monkeypatch.setenv(variable, value)
        file = FRONTEND / "app.py" if name == "app" else FRONTEND / "screens" / f"{name}.py"
        at = AppTest.from_file(file, default_timeout=30)
        at.query_params.update(query or {})
        opened.append(Page(at))
        return opened[-1].again()

    yield begin
    assert opened, "the test opened no page"
    for page in opened:
        assert not page.at.exception, page.at.exception[0].value
