"""An edit changes exactly the scalars it must, or is refused with file, line, reason and fix."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slipway.errors import EditRefused, InvalidInput
from slipway.kustomization import edit as images_edit
from slipway.kustomization import images
from slipway.kustomization.edit import set_images
from slipway.kustomization.images import read_images
from slipway.proc import run
from slipway.registry.references import NewRef, Reference
from slipway.toolchain import tool

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kustomizations"
IMAGE = "registry.example/team/app"
OLD = "sha256:" + "a" * 64
DIGEST = "sha256:" + "b" * 64
NEW = {IMAGE: NewRef("5e10", DIGEST)}
EXACT = sorted(p for p in (FIXTURES / "exact").glob("*.yaml") if not p.stem.endswith(".after"))
REFUSED = sorted((FIXTURES / "refused").glob("*.yaml"))

NUMBER_LIKE = ["1.10", "5e10", "1234567", "0123456", "0x1F", "1_000", "0o17", "yes", "on", "true", "1e3", "12e4567", "null", "2026-11-23"]  # fmt: skip


def edit(text, new=None, **options):
    """The edited text."""
    return set_images(text.encode(), new or NEW, **options).data.decode()


def render(folder: Path, images: list[str], kustomization: bytes) -> list[str]:
    """What the pinned kustomize makes of Pods with these images, in order."""
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{:03d}}}\nspec: {{containers: [{{name: c, image: {}}}]}}\n"
    (folder / "pods.yaml").write_text("".join(pod.format(i, image) for i, image in enumerate(images)))
    (folder / "kustomization.yaml").write_bytes(kustomization)
    return re.findall(r"image: (\S+)", run([tool("kustomize"), "build", folder]).stdout)


@pytest.mark.parametrize("path", EXACT, ids=lambda p: p.stem)
def test_A22_shape_is_edited_exactly(path):
    """Each shape of file comes out as reviewed, byte for byte."""
    result = set_images(path.read_bytes(), NEW, path=path)
    assert result.data == path.with_suffix(".after.yaml").read_bytes()
    assert [(c.image, c.new.tag, c.new.digest) for c in result.changes] == [(IMAGE, "5e10", DIGEST)]


@pytest.mark.parametrize("path", EXACT, ids=lambda p: p.stem)
@pytest.mark.parametrize("ending", ["\r\n", "bom", "no final newline"])
def test_A22_line_endings_and_marks_survive(path, ending):
    """CRLF, a byte order mark and a missing final newline stay as they are."""

    def vary(data: bytes) -> bytes:
        if ending == "bom":
            return b"\xef\xbb\xbf" + data
        return data.replace(b"\n", b"\r\n") if ending == "\r\n" else data.rstrip(b"\n")

    assert set_images(vary(path.read_bytes()), NEW).data == vary(path.with_suffix(".after.yaml").read_bytes())


@pytest.mark.parametrize("path", EXACT, ids=lambda p: p.stem)
def test_A25_second_edit_changes_nothing(path):
    """The same edit again returns the identical bytes and no change."""
    once = path.with_suffix(".after.yaml").read_bytes()
    again = set_images(once, NEW)
    assert again.data is once and again.changes == ()


def test_B18_every_reason_to_refuse_has_an_example():
    """No refusal is there that no file and no test provokes: a rule that only accepts would go unnoticed."""
    said = Path(__file__).read_text()
    for path in REFUSED:
        with pytest.raises(EditRefused) as caught:
            set_images(path.read_bytes(), NEW)
        said += caught.value.message
    for module in (images, images_edit):
        for call in ast.walk(ast.parse(Path(module.__file__).read_text())):
            called = getattr(call, "func", None)
            if getattr(called, "attr", getattr(called, "id", "")) in ("refuse", "EditRefused"):
                parts = [n.value for n in ast.walk(call.args[0]) if isinstance(n, ast.Constant)]
                texts = [part for part in parts if isinstance(part, str)]
                assert not texts or max(texts, key=len).strip(" `:") in said, texts


@pytest.mark.parametrize("path", REFUSED, ids=lambda p: p.stem)
def test_A22_shape_is_refused_for_its_reason(path):
    """What cannot be edited exactly is refused with file, reason and fix."""
    data = path.read_bytes()
    expected = re.match(r"# expect: (.+)", data.decode()) or re.match("(.*)", "an empty file")
    with pytest.raises(EditRefused) as caught:
        set_images(data, NEW, path=path)
    assert expected[1] in caught.value.message
    assert caught.value.path == path and caught.value.fix
    assert caught.value.line or path.stem == "no-images"


def test_A1_number_like_tags_are_quoted(tmp_path):
    """Tags that YAML reads as numbers or booleans render as they are written."""
    names = [f"registry.example/n{i}" for i in range(len(NUMBER_LIKE))]
    text = "resources: [pods.yaml]\nimages:\n" + "".join(f"  - name: {n}\n    newTag: v1\n" for n in names)
    data = set_images(text.encode(), {n: NewRef(t) for n, t in zip(names, NUMBER_LIKE, strict=True)}).data
    assert render(tmp_path, names, data) == [f"{n}:{t}" for n, t in zip(names, NUMBER_LIKE, strict=True)]


@pytest.mark.parametrize("tag", NUMBER_LIKE)
def test_A3_unquoted_number_like_tag_is_quoted_even_when_equal(tag):
    """A tag that stands there unquoted and breaks the build is mended once, then left alone."""
    text = f"images:\n  - name: {IMAGE}\n    newTag: {tag}\n"
    once = edit(text, {IMAGE: NewRef(tag)})
    assert once == text.replace(tag, f'"{tag}"')
    assert edit(once, {IMAGE: NewRef(tag)}) == once


@pytest.mark.parametrize("neighbour", ["12e4567", "1.10", "0123456", "1_000", "yes"])
def test_A4_A5_neighbours_bytes_stay(neighbour):
    """Another image's tag is not reinterpreted, however odd."""
    text = f"images:\n  - name: {IMAGE}\n    newTag: v1\n  - name: b\n    newTag: {neighbour}  # odd\n"
    assert edit(text, {IMAGE: NewRef("v2")}) == text.replace("newTag: v1", 'newTag: "v2"')


def test_A6_header_indent_and_comments_stay():
    """A comment before `---`, lists at their own indent and comments at the end of lines are where they were."""
    text = (
        "# owned by team app\n---\nresources:  # what is deployed\n  - a.yaml\n\nimages: # bumped by CI\n"
        f"  - name: {IMAGE}   # the app\n    newTag: v1  # see CHANGES\n    digest: {OLD} # pinned\n# end\n"
    )
    after = text.replace("v1 ", '"5e10" ', 1).replace(OLD, f'"{DIGEST}"')
    assert edit(text) == after


def test_A7_inline_patch_with_a_blank_line_stays():
    """The text of a patch, which looks like entries and has blank lines, is not touched and still parses."""
    patch = (
        f"patches:\n- patch: |-\n    - op: add\n\n      value: 3\n    # newTag: v1\n\n\n    - name: {IMAGE}\n"
    )
    text = patch + f"images:\n- name: {IMAGE}\n  newTag: v1\n"
    after = edit(text, {IMAGE: NewRef("v2")})
    assert after == patch + f'images:\n- name: {IMAGE}\n  newTag: "v2"\n'
    assert yaml.safe_load(after)["patches"] == yaml.safe_load(text)["patches"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_A9_trailing_comment_and_line_ending_stay(ending):
    """What follows the value on its line is kept, and no other line ending comes in."""
    text = f'images:\n- name: {IMAGE}\n  newTag: "1"  # keep\n'.replace("\n", ending)
    after = edit(text, {IMAGE: NewRef("2")})
    assert after == text.replace('"1"', '"2"') and after.count("\n") == after.count(ending)


@pytest.mark.parametrize("stem", ["duplicate-key-in-another-case", "misspelt-new-tag", "misspelt-images"])
def test_A17_key_in_another_case_is_refused(stem):
    """kustomize reads keys in any case and takes one of them; which one is nobody's guess here."""
    with pytest.raises(EditRefused, match="is there twice|is read as"):
        set_images((FIXTURES / "refused" / f"{stem}.yaml").read_bytes(), NEW)


@pytest.mark.parametrize("stem", ["duplicate-key-in-entry", "duplicate-images-lists", "two-documents"])
def test_A18_duplicate_key_or_second_document_is_refused(stem):
    """Readers take the last key and the first document without a word; the file is refused instead."""
    with pytest.raises(EditRefused, match="is there twice|more than one document"):
        set_images((FIXTURES / "refused" / f"{stem}.yaml").read_bytes(), NEW)


@pytest.mark.parametrize("empty", ["", " ~", " null", " Null", "  # none"])
def test_A19_empty_tag_is_filled(tmp_path, empty):
    """An entry without a tag falls back to the base's; after the edit it names its own."""
    text = f"resources: [pods.yaml]\nimages:\n- name: {IMAGE}\n  newTag:{empty}\n"
    assert render(tmp_path, [f"{IMAGE}:base"], text.encode()) == [f"{IMAGE}:base"]
    after = edit(text, {IMAGE: NewRef("v2")})
    assert render(tmp_path, [f"{IMAGE}:base"], after.encode()) == [f"{IMAGE}:v2"]


def test_A8_added_entry_leaves_comments_with_their_image():
    """A new entry goes last; comments stay beside the images they speak of."""
    text = f"images:\n  # about b\n  - name: b\n    newTag: v1 # b1\n  # about app\n  - name: {IMAGE}\n    newTag: v1\n"
    added = edit(text, {"a/first": NewRef("v1", DIGEST)}, add=True)
    assert added == text + f'  - name: a/first\n    newTag: "v1"\n    digest: "{DIGEST}"\n'


def test_A10_digest_moves_with_tag():
    """Tag and digest change together, and a tag alone never leaves an old digest behind."""
    text = f"images:\n  - name: {IMAGE}\n    newTag: v1\n    digest: {OLD}\n"
    assert OLD not in edit(text) and DIGEST in edit(text)
    with pytest.raises(EditRefused, match="is pinned to a digest, which would stay behind") as caught:
        edit(text, {IMAGE: NewRef("v2")})
    assert caught.value.line == 2


def test_A10_digest_alone_never_leaves_an_old_tag():
    """A digest alone is refused where a tag would then name another image."""
    with pytest.raises(EditRefused, match="has a tag, which would stay behind"):
        edit(f"images:\n  - name: {IMAGE}\n    newTag: v1\n", {IMAGE: NewRef(None, DIGEST)})
    only = f"images:\n  - name: {IMAGE}\n    digest: {OLD}\n"
    assert edit(only, {IMAGE: NewRef(None, DIGEST)}) == only.replace(OLD, f'"{DIGEST}"')


def test_A11_new_name_stays():
    """An entry that renames the image keeps its `newName`, matched by either name."""
    text = f"images:\n  - name: app\n    newName: {IMAGE}\n    newTag: v1\n"
    assert (
        edit(text, {"app": NewRef("v2")}) == edit(text, {IMAGE: NewRef("v2")}) == text.replace("v1", '"v2"')
    )


def test_A11_new_name_is_written_only_when_given():
    """A name in the reference sets `newName`, after the name where it was missing."""
    text = f"images:\n  - name: app\n    newTag: v1\n  - name: b\n    newName: {IMAGE}\n    newTag: v1\n"
    new = {"app": NewRef("v2", None, "mirror.example/app"), "b": NewRef("v2", None, "mirror.example/b")}
    assert edit(text, new) == (
        'images:\n  - name: app\n    newName: "mirror.example/app"\n    newTag: "v2"\n'
        '  - name: b\n    newName: "mirror.example/b"\n    newTag: "v2"\n'
    )
    assert edit(text, {"app": NewRef("v1", None, "app")}) == text


def test_A12_renaming_into_another_entry_is_refused():
    """An edit that would chain two entries is refused, though either alone is fine."""
    text = "images:\n  - name: app\n    newTag: v1\n  - name: mirror.example/app\n    newTag: v9\n"
    with pytest.raises(EditRefused, match="several entries match|act on one another"):
        edit(text, {"app": NewRef("v2", None, "mirror.example/app")})


def test_A12_added_entry_that_another_reaches_is_refused():
    """A new entry never lands in the reach of a pattern-like name."""
    with pytest.raises(EditRefused, match="act on one another"):
        edit("images:\n  - name: registryXexample/team/app\n    newTag: v1\n", add=True)


def test_A15_dots_do_not_reach_the_sibling(tmp_path):
    """kustomize reads a name's dots as wildcards; a file where that matters is refused."""
    text = "resources: [pods.yaml]\nimages:\n  - name: registry.io/app\n    newTag: v1\n"
    sibling = "registryXio/app:v7"
    assert render(tmp_path, ["registry.io/app", sibling], text.encode()) != ["registry.io/app:v1", sibling]
    with pytest.raises(EditRefused, match="act on one another"):
        edit(text + "  - name: registryXio/app\n    newTag: v7\n", {"registry.io/app": NewRef("v2")})


def test_A16_only_the_image_itself_changes():
    """An image whose name begins with another's is another image."""
    text = f"images:\n  - name: {IMAGE}-worker\n    newTag: v1\n  - name: {IMAGE}\n    newTag: v1\n"
    assert edit(text, {IMAGE: NewRef("v2")}) == text[: text.rindex("v1")] + '"v2"\n'


def test_A20_malformed_values_never_reach_a_file():
    """A malformed tag, digest or name is refused before anything is edited."""
    text = f"images:\n  - name: {IMAGE}\n    newTag: v1\n"
    for bad in (NewRef("v2 bad"), NewRef("v2", "sha256:abc"), NewRef("v2", None, "Bad Name"), NewRef()):
        with pytest.raises(InvalidInput):
            edit(text, {IMAGE: bad})
    with pytest.raises(InvalidInput):
        edit(text, {"Not A Name": NewRef("v1")}, add=True)


def test_B11_one_refusal_changes_nothing():
    """When one of several images cannot be edited, none is."""
    text = f"images:\n  - name: {IMAGE}\n    newTag: v1\n"
    with pytest.raises(EditRefused, match="no entry for `b`"):
        edit(text, {IMAGE: NewRef("v2"), "b": NewRef("v2")})
    with pytest.raises(EditRefused, match="two of the images given name the same entry"):
        edit(f"images:\n  - name: a\n    newName: {IMAGE}\n", {"a": NewRef("v2"), IMAGE: NewRef("v3")})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("resources: []\n", "resources: []\nimages:\n  - ENTRY\n"),
        ("resources: []", "resources: []\nimages:\n  - ENTRY"),
        ("resources: []\r\n", "resources: []\r\nimages:\r\n  - ENTRY\r\n"),
        ("images:\nresources: []\n", "images:\n  - ENTRY\nresources: []\n"),
        ("images:  # none\n", "images:  # none\n  - ENTRY\n"),
        ("images: []\n", "images: [FLOW]\n"),
        ("images: [{name: b}]\n", "images: [{name: b}, FLOW]\n"),
        ("images: [{name: b},]\n", "images: [{name: b}, FLOW,]\n"),
        ("images:\n- name: b\n  newTag: v1 # c\n\nresources: []\n", "images:\n- name: b\n  newTag: v1 # c\n- ENTRY\n\nresources: []\n"),
    ],
)  # fmt: skip
def test_entry_is_added_in_house_form(before, after):
    """A missing entry is added at the end of the list, in the file's own layout."""
    eol = "\r\n" if "\r\n" in before else "\n"
    indent = " " * (4 if "\n  - ENTRY" in after else 2)
    lines = f'name: {IMAGE}{eol}{indent}newTag: "5e10"{eol}{indent}digest: "{DIGEST}"'
    flow = f'{{name: {IMAGE}, newTag: "5e10", digest: "{DIGEST}"}}'
    assert edit(before, add=True) == after.replace("ENTRY", lines).replace("FLOW", flow)


@pytest.mark.parametrize(
    "text", ["{resources: []}\n", "images: ~\n", "a: &x []\nimages: *x\n", "a: 1\n...\n", "a: |\n  x"]
)
def test_entry_is_not_added_where_it_would_not_be_exact(text):
    """Layouts into which an entry does not fit exactly are refused."""
    with pytest.raises(
        EditRefused, match="an entry cannot be added to this layout|not allow an exact|not a plain list"
    ):
        edit(text, add=True)


def test_not_utf8_and_deep_nesting_are_refused():
    """Bytes that are no UTF-8, and nesting without end, are refused instead of crashing."""
    with pytest.raises(EditRefused, match="the file is not UTF-8"):
        set_images(b"images:\n  - name: \xff\n", NEW)
    with pytest.raises(EditRefused, match="not valid YAML|nested too deeply"):
        edit("a: " + "[" * 5000 + "]" * 5000)


def test_read_images_tells_what_stands_there():
    """Entries are read as text, with their lines; an empty value is none."""
    text = f"images:\n  - name: app\n    newName: {IMAGE}\n    newTag: 1.10\n  - name: b\n    newTag: ~\n    digest: {OLD}\n"
    first, second = read_images(text.encode())
    assert first.reference == Reference(IMAGE, "1.10") and first.line == 2
    assert second.reference == Reference("b", None, OLD) and second.line == 5


# Files assembled from the shapes of A22

PLAIN_TAGS = ["v1", "1.10", "5e10", '"v1"', "'1_000'", "&t v1", "!!str 12", "~", ""]
ODD_TAGS = ["|-\n{pad}v1", '"v\\\n{pad}1"', "*other"]
DIGESTS = [None, OLD, f'"{OLD}"', f"'{OLD}'", ""]
COMMENTS = ["", "  # keep", " # größer 🚢"]


@st.composite
def files(draw):
    """A kustomization as a template with `<TAG>`, `<DIGEST>` where the edit goes, and whether it must be exact."""
    pad = draw(st.sampled_from(["", "  ", "    "]))
    comment = lambda: draw(st.sampled_from(COMMENTS))  # noqa: E731
    flow = draw(st.booleans())
    tag = draw(st.sampled_from(PLAIN_TAGS + ([] if flow else ODD_TAGS)))
    digest = draw(st.sampled_from(DIGESTS))
    odd = tag in ODD_TAGS or (flow and (tag == "" or digest == ""))
    neighbour = f"{pad}- name: other.example/n{comment()}\n{pad}  newTag: &other {draw(st.sampled_from(['12e4567', 'v1', '0x1F']))}\n"
    if flow:
        inner = "" if digest is None else f", digest: <DIGEST {digest}>"
        entry = f"{pad}- {{name: {IMAGE}, newTag: <TAG {tag}>{inner}}}{comment()}\n"
    else:
        keys = [f"newTag: <TAG {tag.replace('{pad}', pad + '    ')}>{'' if tag in ODD_TAGS else comment()}"]
        keys += [] if digest is None else [f"digest: <DIGEST {digest}>{comment()}"]
        if draw(st.booleans()):
            keys.reverse()
        keys.insert(draw(st.integers(0, len(keys))), f"name: {IMAGE}{comment()}")
        entry = f"{pad}- " + f"\n{pad}  ".join(keys) + "\n"
    parts = [neighbour, entry] if draw(st.booleans()) or tag == "*other" else [entry, neighbour]
    gap = draw(st.sampled_from(["", "\n", f"{pad}# between\n"]))
    head = draw(
        st.sampled_from(
            ["", "# header\n---\n", "# ünïcödé\n", "patches:\n  - patch: |-\n      a\n\n      b\n"]
        )
    )
    tail = draw(st.sampled_from(["", "resources: [pods.yaml]\n", "\n\n", "# end\n"]))
    text = head + "images:\n" + gap.join(parts) + tail
    return text, odd, draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans()), draw(st.booleans())


def fill(template: str, tag: str | None = None, digest: str | None = None) -> str:
    """The template as the old file, or as the file that the edit must give."""
    if tag is None:
        template = re.sub(r" <(?:TAG|DIGEST) >", "", template)
        return re.sub(r"<(?:TAG|DIGEST) (.*?)>", r"\1", template, flags=re.DOTALL)

    def new(match):
        properties = re.match(r"(?:[&!]\S+ )?", match[2])[0]
        quote = "'" if match[2].startswith("'") else '"'
        return f"{properties}{quote}{tag if match[1] == 'TAG' else digest}{quote}"

    return re.sub(r"<(TAG|DIGEST) (.*?)>", new, template, flags=re.DOTALL)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files(), st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,20}\Z"))
def test_A22_any_assembled_file_is_edited_exactly_or_refused(file, tag):
    """Either the file equals the same file written with the new values, or it is refused for being odd."""
    template, odd, eol, bom, final = file
    with_digest = "<DIGEST" in template

    def encode(text: str) -> bytes:
        text = text if final else text.rstrip("\n")
        return (b"\xef\xbb\xbf" if bom else b"") + text.replace("\n", eol).encode()

    new = {IMAGE: NewRef(tag, DIGEST if with_digest else None)}
    try:
        result = set_images(encode(fill(template)), new).data
    except EditRefused:
        assert odd
        return
    assert "*other>" not in template
    assert result == encode(fill(template, tag, DIGEST))
    before, after = (
        yaml.load(d.decode("utf-8-sig"), yaml.BaseLoader) for d in (encode(fill(template)), result)
    )
    for entry in before["images"]:
        if entry["name"] == IMAGE:
            entry |= {"newTag": tag} | ({"digest": DIGEST} if with_digest else {})
    assert after == before
