"""The names under which the gate's verdicts stand at a commit."""

CHECK, DIFF = "slipway/check", "slipway/diff"
"""The statuses that branch protection requires."""
