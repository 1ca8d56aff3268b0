"""An automation is known by the address of its job, wherever it runs."""

import pytest
from slipway.errors import InvalidInput
from slipway.registry.references import Reference
from slipway.writing.lineage import Build, parse_trailers, trailers, writer_of
from slipway.writing.writer import writer_name

DIGEST, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
IMAGE = Reference("registry.example/app", "v1", DIGEST)


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({}, None),
        ({"CI": "true", "JOB_NAME": "board"}, None),
        ({"JOB_URL": "https://ci.example/job/board/", "JENKINS_URL": "https://ci.example/"}, "https://ci.example/job/board"),
        ({"JENKINS_URL": "https://ci.example/", "JOB_NAME": "team/my board"}, "https://ci.example/team/my%20board"),
        ({"JOB_URL": "https://bot:s3cret@ci.example/job/board"}, "https://ci.example/job/board"),
        ({"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "team/app"}, "https://github.com/team/app"),
        ({"CI_PROJECT_URL": "https://gitlab.example/team/app"}, "https://gitlab.example/team/app"),
    ],
)  # fmt: skip
def test_B6_the_job_is_the_writer(env, name):
    """Two controllers, and two jobs of one, are two writers; a person is none."""
    assert writer_name(None, env) == name
    assert writer_name("given", env) == "given"


@pytest.mark.parametrize("given", ["", "two words", "line\nbreak", "x" * 201])
def test_a_name_that_is_no_trailer_is_refused(given):
    """A commit's trailer holds one word."""
    with pytest.raises(InvalidInput, match="no name of a writer"):
        writer_name(given, {})


def test_B6_the_writer_of_an_entry_is_the_newest_that_wrote_it_there():
    """The same image written elsewhere, or by somebody without a name, says nothing of this overlay."""

    def message(where: str, writer: str | None, reference: Reference = IMAGE) -> str:
        return "dev: app v1\n\n" + "\n".join(trailers(Build(reference), [f"{where} none"], writer=writer))

    def writer(*messages: str) -> str | None:
        return writer_of(messages, "dev/board", IMAGE)

    assert parse_trailers(message("dev/board", "one"))[0].writer == "one"
    assert writer(message("dev/board", "one"), message("dev/board", "two")) == "one"
    assert (
        writer(message("prod/board", "one"), message("dev/board-2", "one"), message("dev/board", "two"))
        == "two"
    )
    assert writer(message("dev/board", None), message("dev/board", "two")) is None
    other = Reference(IMAGE.name, "v2", OTHER)
    assert writer(message("dev/board", "one", other), "anything", message("dev/board", "two")) == "two"
    both = message("dev/board", "one", other) + "\n" + "\n".join(trailers(Build(IMAGE), ["dev/board none"]))
    assert writer(both) is None
