"""Whatever file is assembled from the known shapes, the pinned kustomize renders what the edit meant.

Many files are rendered by one run of kustomize: each is a folder of its own under one kustomization.
"""

import random
import re
import tempfile
from pathlib import Path

import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from slipway.commands.set_image import command as set_image
from slipway.errors import EditRefused
from slipway.kustomization.edit import set_images
from slipway.kustomization.images import read_images
from slipway.proc import run
from slipway.registry.references import NewRef
from slipway.toolchain import tool

from tests.unit.test_images_edit import DIGEST, IMAGE, NUMBER_LIKE, files, fill

OTHER = "other.example/n"
SECOND = "registry.example/team/worker"
TAGS = st.one_of(
    st.sampled_from(
        [*NUMBER_LIKE, "v1.2.3", "20261123-0a1b2c3", "_", "y", "1.2_3", "0b1", "1e-3", "2026-11"]
    ),
    st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,20}\Z"),
)
BATCH = settings(
    max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def render(cases: list[tuple[list[str], bytes]]) -> list[list[str]]:
    """What kustomize makes of Pods with these images under these kustomizations, case by case."""
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: case-{}}}\nspec:\n  containers:\n{}"
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number, (images, kustomization) in enumerate(cases):
            folder = root / f"c{number}"
            folder.mkdir()
            containers = "".join(f"  - {{name: c{n}, image: {image}}}\n" for n, image in enumerate(images))
            (folder / "pods.yaml").write_text(pod.format(number, containers))
            (folder / "kustomization.yaml").write_bytes(kustomization)
        listed = "".join(f"- c{number}\n" for number in range(len(cases)))
        (root / "kustomization.yaml").write_text(f"resources:\n{listed}")
        out = run([tool("kustomize"), "build", root], timeout=240).stdout
    pods = {p["metadata"]["name"]: p for p in yaml.load_all(out, yaml.CSafeLoader)}
    return [[c["image"] for c in pods[f"case-{n}"]["spec"]["containers"]] for n in range(len(cases))]


def buildable(template: str) -> str:
    """The template with what kustomize itself would not read made readable: patches, tags that look like numbers."""
    text = template.replace("patches:\n  - patch: |-\n      a\n\n      b\n", "")
    text = text.replace("resources: [pods.yaml]\n", "").rstrip("\n") + "\nresources: [pods.yaml]\n"
    return re.sub(r"(&other )(12e4567|0x1F)", r'\1"\2"', text)


@BATCH
@given(st.lists(st.tuples(files(), TAGS, st.booleans()), min_size=60, max_size=60))
def test_A22_every_edited_file_renders_as_meant(drawn):
    """The intended reference comes out of kustomize, and the neighbour's is what it was; refused files are whole."""
    cases, expected = [], []
    for (template, _, ending, bom, final), tag, with_digest in drawn:
        text = fill(buildable(template))
        text = (text if final else text.rstrip("\n")).replace("\n", ending)
        data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
        new = NewRef(tag, DIGEST if with_digest or "<DIGEST" in template else None)
        try:
            result = set_images(data, {IMAGE: new}).data
        except EditRefused:
            continue
        (neighbour,) = [entry.tag for entry in read_images(data) if entry.name == OTHER]
        cases.append(([IMAGE, OTHER], result))
        pin = f"@{new.digest}" if new.digest else ""
        expected.append([f"{IMAGE}:{tag}{pin}", f"{OTHER}:{neighbour}"])
    assert len(cases) > 20
    assert render(cases) == expected


@BATCH
@given(st.lists(st.tuples(files(), TAGS, TAGS), min_size=40, max_size=40))
def test_A22_several_images_at_once_are_all_exact_or_all_refused(drawn):
    """An edit, an addition and a rename in one file: each renders as meant, or the file keeps every byte."""
    cases, expected = [], []
    for (template, *_), tag, second in drawn:
        data = fill(buildable(template)).encode()
        wanted = {IMAGE: NewRef(tag, DIGEST), SECOND: NewRef(second, None, "mirror.example/worker")}
        wanted[OTHER] = NewRef("v9")
        try:
            result = set_images(data, wanted, add=True).data
        except EditRefused:
            continue
        assert set_images(result, wanted, add=True).data is result
        cases.append(([IMAGE, SECOND, OTHER], result))
        expected.append([f"{IMAGE}:{tag}@{DIGEST}", f"mirror.example/worker:{second}", f"{OTHER}:v9"])
    assert cases
    assert render(cases) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), TAGS, st.booleans())
def test_A22_a_refused_file_keeps_every_byte_on_disk(drawn, tag, dry_run):
    """The command writes the exact edit or nothing at all, and leaves no other file behind."""
    template, _, ending, bom, _ = drawn
    data = (b"\xef\xbb\xbf" if bom else b"") + fill(template).replace("\n", ending).encode()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kustomization.yaml"
        file.write_bytes(data)
        arguments = [str(file), f"{IMAGE}=:{tag}@{DIGEST}", *(["--dry-run"] if dry_run else [])]
        done = CliRunner().invoke(set_image, arguments)
        try:
            exact = set_images(data, {IMAGE: NewRef(tag, DIGEST)}).data
            assert done.exit_code == 0 and file.read_bytes() == (data if dry_run else exact)
        except EditRefused:
            assert isinstance(done.exception, EditRefused) and file.read_bytes() == data
        assert [path.name for path in Path(folder).iterdir()] == ["kustomization.yaml"]


def test_A2_every_one_of_two_thousand_hex_tags_is_rendered():
    """Short commit ids of 7 to 12 digits come out of kustomize as they went in, not one of them as a number."""
    rng = random.Random(11)
    tags = ["".join(rng.choices("0123456789abcdef", k=rng.randint(7, 12))) for _ in range(2000)]
    tags[:4] = ["1234567", "12e4567", "0123456", "000000e0"]
    names = [f"registry.example/n{number}" for number in range(10)]
    text = "resources: [pods.yaml]\nimages:\n" + "".join(f"- name: {n}\n  newTag: v1\n" for n in names)
    cases, expected = [], []
    for start in range(0, len(tags), len(names)):
        wanted = dict(zip(names, tags[start : start + len(names)], strict=True))
        result = set_images(text.encode(), {name: NewRef(tag) for name, tag in wanted.items()}).data
        assert [entry.tag for entry in read_images(result)] == list(wanted.values())
        cases.append((names, result))
        expected.append([f"{name}:{tag}" for name, tag in wanted.items()])
    assert render(cases) == expected
