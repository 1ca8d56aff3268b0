"""`slipway live` tells the truth about the real Argo CD; rollouts are followed where they are made.

See test_push_to_live.py for one that goes well and test_broken_image.py for one that fails.
"""

from __future__ import annotations

from .conftest import Platform
from .test_broken_image import OVERLAY


def test_what_runs_is_live_and_what_never_was_is_not(platform: Platform) -> None:
    """The commit that dev serves, its image by digest, and an image and a commit that nobody built."""
    platform.settled("dev-board")
    served = platform.version("dev")
    code, verdicts = platform.live(served["commit"], "--env", "dev")
    assert (code, [one["state"] for one in verdicts]) == (0, ["live"])
    name = served["image"].partition(":")[0]
    code, verdicts = platform.live(f"{name}@{served['digest']}", "--env", "dev")
    assert (code, verdicts[0]["state"], verdicts[0]["ready"]) == (0, "live", 2)
    assert platform.live(f"{name}:never-built", "--env", "dev")[0] == 3
    assert platform.live("f" * 40)[0] == 5


def test_an_overlay_that_does_not_render_is_named_until_it_is_mended(platform: Platform) -> None:
    """With kustomize's words; the error of the broken commit is not taken for one of its repair."""
    good, _ = platform.read("deploy", OVERLAY)

    def write(text: str, message: str) -> str:
        answer = platform.write("slipway-bot", "deploy", OVERLAY, text, message).raise_for_status()
        return answer.json()["commit"]["sha"]

    broken = write(good.replace("resources:\n", "resources:\n- missing.yaml\n"), "dev: no such file")
    code, verdicts = platform.live(broken, "--env", "dev", "--wait", "--timeout", "120")
    assert (code, verdicts[0]["state"]) == (1, "render-failed") and "missing.yaml" in verdicts[0]["text"]
    healed = write(good, "dev: as before")
    code, verdicts = platform.live(healed, "--env", "dev", "--wait", "--timeout", "180")
    assert (code, verdicts[0]["state"]) == (0, "live"), verdicts
