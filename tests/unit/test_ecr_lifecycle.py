"""A lifecycle policy is read strictly and played through as ECR documents it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from slipway.errors import InvalidInput
from slipway.registry.ecr_lifecycle import Fate, Stored, fates, keep_tag, parse_lifecycle, protecting

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def days(number: float) -> timedelta:
    return timedelta(days=number)


def image(name: str, tags: str, age: float, **more) -> Stored:
    """An image with tags written apart by spaces, pushed so many days ago."""
    return Stored(name, tuple(tags.split()), NOW - days(age), **more)


def rule(priority: int, select: str, count: str, **more) -> dict:
    """A rule such as `rule(1, "prod*", "more 3")` or `rule(2, "untagged", "pushed 14")`."""
    kind, _, number = count.partition(" ")
    types = {"more": "imageCountMoreThan", "pushed": "sinceImagePushed", "pulled": "sinceImagePulled", "archived": "sinceImageTransitioned"}  # fmt: skip
    selection = {"tagStatus": select if select in ("any", "untagged") else "tagged"}
    if selection["tagStatus"] == "tagged":
        selection["tagPatternList"] = select.split()
    selection |= {"countType": types[kind], "countNumber": int(number)}
    selection |= {} if kind == "more" else {"countUnit": "days"}
    action = {"type": "expire"}
    if kind == "pulled":
        action = {"type": "transition", "targetStorageClass": "archive"}
    if kind == "archived":
        selection["storageClass"] = "archive"
    return {
        "rulePriority": priority,
        "description": "a rule",
        "selection": selection | more,
        "action": action,
    }


def policy(*rules: dict):
    return parse_lifecycle(json.dumps({"rules": rules}, indent=2), path="policy.json")


def expired(rules: list[dict], images: list[Stored]) -> str:
    """The names of the images that go now."""
    found = fates(policy(*rules), images, NOW)
    return "".join(sorted(name for name, fate in found.items() if fate.due and fate.due <= NOW))


TWO_TAGS = [image("A", "beta-1 prod-1", 10), image("B", "beta-2 prod-2", 9), image("C", "beta-3", 8)]
GREEK = [image("A", "alpha-1", 12), image("B", "beta-1", 11), image("C", "alpha-2 beta-2", 10), image("D", "alpha-3", 4), image("E", "beta-3", 3), image("F", "alpha-4 beta-4", 2)]  # fmt: skip
MIXED = [image("A", "alpha-1 beta-1", 4), image("B", "", 3), image("C", "alpha-2", 2), image("D", "githash", 0.95), image("E", "", 0.9)]  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "images", "result"),
    [
        ([rule(1, "prod*", "more 1"), rule(2, "beta*", "more 1")], TWO_TAGS, "A"),
        ([rule(1, "beta*", "more 1"), rule(2, "prod*", "more 1")], TWO_TAGS, "AB"),
        ([rule(1, "alpha* beta*", "pushed 5")], GREEK, "C"),
        ([rule(1, "alpha* beta*", "more 1")], [image("A", "alpha-1 beta-1 gamma-1", 10), image("B", "alpha-2 beta-2", 9), image("C", "alpha-3 beta-3 gamma-2", 8)], "AB"),
        ([rule(1, "any", "more 1")], [image("A", "alpha-1", 4), image("B", "beta-1", 3), image("C", "", 2), image("D", "alpha-2", 1)], "ABC"),
        ([rule(1, "alpha*", "more 1"), rule(2, "untagged", "pushed 1"), rule(3, "any", "more 1")], MIXED, "ABD"),
        ([rule(1, "prod*", "pushed 14")], [image("A", "production-1", 15), image("B", "prod", 13), image("C", "preprod", 90)], "A"),
        ([rule(1, "*prod*", "pushed 14")], [image("A", "repo-production", 15), image("B", "test", 90)], "A"),
    ],
    ids=["prod first", "beta first", "all patterns", "tags are not exclusive", "any", "all kinds", "prefix", "infix"],
)  # fmt: skip
def test_examples_of_the_user_guide_come_out(rules, images, result):
    """The outcomes that ECR's documentation gives for its own examples."""
    assert expired(rules, images) == result


def test_C18_a_rule_in_front_protects_from_all_behind_it():
    """An image that a rule in front matches is out of reach of the others, however old, numerous or untagged."""
    images = [image(f"i{n}", f"keep-{n}" if n < 3 else f"v{n}", 400 - n) for n in range(9)]
    rules = [rule(1, "keep-*", "more 100000"), rule(2, "v*", "more 1"), rule(3, "any", "pushed 1")]
    found = fates(policy(*rules), images, NOW)
    assert all(found[f"i{n}"] == Fate(1) for n in range(3))
    assert [n for n in range(9) if found[f"i{n}"].due is None] == [0, 1, 2, 8]
    behind = [rule(1, "any", "pushed 1")]
    assert expired(behind, images).count("i") == 9


def test_an_age_is_told_before_it_is_due():
    """A fate that lies ahead is told with its day and rule."""
    found = fates(policy(rule(7, "any", "pushed 30")), [image("A", "v1", 10)], NOW)
    assert found == {"A": Fate(7, "expire", NOW + days(20))}


def test_an_index_holds_its_images():
    """What an index refers to goes with the last index that holds it, not before."""
    images = [image("a", "", 50), image("b", "", 50), image("index", "v1", 3, children=("a", "b"))]
    images += [image("older", "v0", 9, children=("b",)), image("c", "", 50)]
    found = fates(policy(rule(1, "untagged", "pushed 1"), rule(2, "v*", "pushed 5")), images, NOW)
    assert [found[name].due for name in "abc"] == [NOW + days(2), NOW + days(2), NOW - days(49)]
    assert found["a"].rule == 2
    forever = fates(policy(rule(1, "untagged", "pushed 1")), images, NOW)
    assert forever["a"].due is None


def test_the_archive_is_a_class_of_its_own():
    """Rules see one storage class; what was not pulled counts from its push, what is archived from then."""
    rules = [rule(1, "any", "pulled 30"), rule(2, "any", "archived 90")]
    images = [image("A", "v1", 40), image("B", "v2", 40, pulled=NOW - days(5))]
    images += [image("C", "v3", 400, archived=NOW - days(91)), image("D", "v4", 400, archived=NOW - days(1))]
    found = fates(policy(*rules), images, NOW)
    assert found["A"] == Fate(1, "transition", NOW - days(10))
    assert found["B"] == Fate(1, "transition", NOW + days(25))
    assert found["C"] == Fate(2, "expire", NOW - days(1)) and found["D"].due == NOW + days(89)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([rule(1, "any", "more 3") | {"enabled": True}], "rules.0.enabled"),
        ([rule(1, "any", "more 3", tagRegex="v.*")], "rules.0.selection.tagRegex"),
        ([rule(1, "any", "more 0")], "countNumber"),
        ([rule(1, "any", "more 3", countNumber="3")], "valid integer"),
        ([rule(1, "any", "more 3", countUnit="days")], "countUnit belongs"),
        ([rule(1, "any", "pushed 3", countUnit="weeks")], "countUnit"),
        ([rule(1, "any", "more 3", tagPatternList=["v*"])], "nothing else takes one"),
        ([rule(1, "v*", "more 3", tagPrefixList=["v"])], "either tagPatternList or tagPrefixList"),
        ([rule(1, "v*", "more 3", tagPatternList=[])], "either tagPatternList or tagPrefixList"),
        ([rule(1, "a*b*c*d*e*", "more 3")], "four wildcards"),
        ([rule(1, "any", "more 3"), rule(2, "v*", "more 3")], "highest rulePriority"),
        ([rule(1, "any", "more 3"), rule(2, "any", "archived 90"), rule(3, "v*", "more 3")], "highest rulePriority"),
        ([rule(1, "v*", "more 3"), rule(1, "w*", "more 3")], "same rulePriority"),
        ([rule(1, "untagged", "more 3"), rule(2, "untagged", "pushed 3")], "the same tags"),
        ([rule(1, "v* w*", "more 3"), rule(2, "w* v*", "pushed 3")], "the same tags"),
        ([rule(1, "any", "pulled 3") | {"action": {"type": "expire"}}], "transition only"),
        ([rule(1, "any", "more 3") | {"action": {"type": "transition"}}], "needs targetStorageClass"),
        ([rule(1, "any", "more 3", storageClass="archive")], "go together"),
        ([rule(1, "any", "archived 89")], "at least 90 days"),
        ([rule(n, f"v{n}*", "more 3") for n in range(1, 52)], "at most 50 items"),
        ([rule(1, "any", "more 3", description="x" * 90)], "selection.description"),
        ([], "takes 100 to 30720 characters"),
    ],
)  # fmt: skip
def test_what_ecr_would_not_take_is_refused(rules, reason):
    """An unknown field, a value out of range or rules that contradict one another: nothing is simulated."""
    with pytest.raises(InvalidInput, match="not a lifecycle policy") as caught:
        policy(*rules)
    assert reason in caught.value.message
    assert caught.value.path == "policy.json" and caught.value.fix


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting"),
        ("[]" + " " * 100, "valid dictionary"),
        ('{"rules": [], "rules": []}' + " " * 100, "a key is there twice"),
        (json.dumps({"rules": [rule(1, "any", "more 3")]}).replace(" a rule", "")[:99], "not a lifecycle policy"),
        (json.dumps(protecting(30)) + " " * 31_000, "30720 characters"),
        ('{"rules": []}', "takes 100 to"),
    ],
)  # fmt: skip
def test_text_that_is_no_policy_is_refused(text, reason):
    """Broken JSON, a key given twice and a length that ECR does not take."""
    with pytest.raises(InvalidInput, match="not a lifecycle policy") as caught:
        parse_lifecycle(text, path="policy.json")
    assert reason in caught.value.message


def test_keep_tags_name_the_digest():
    """A protecting tag never has to move, and every registry takes it."""
    tag = keep_tag("sha256:" + "0a" * 32)
    assert tag == "keep-" + "0a" * 32 and len(tag) <= 128


@pytest.mark.parametrize("number", [1, 30, 3650])
def test_the_printed_policy_is_one(number):
    """What is printed is read by our own strict reader and says the number of days in both places."""
    text = json.dumps(protecting(number), indent=2)
    parsed = parse_lifecycle(text, path="-")
    assert [r.selection.count_number for r in parsed.ordered] == [100_000, number]
    assert f"{number} days after" in text


def test_ecr_takes_the_printed_policy():
    """ECR's API, as moto has it, accepts the policy and returns it unchanged."""
    import boto3
    from moto import mock_aws

    text = json.dumps(protecting(30))
    with mock_aws():
        ecr = boto3.client("ecr", region_name="eu-central-1")
        ecr.create_repository(repositoryName="team/app")
        ecr.put_lifecycle_policy(repositoryName="team/app", lifecyclePolicyText=text)
        stored = ecr.get_lifecycle_policy(repositoryName="team/app")["lifecyclePolicyText"]
    assert parse_lifecycle(stored, path="-") == parse_lifecycle(text, path="-")
