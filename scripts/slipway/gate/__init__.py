"""The gate: what is deployed, rendered, validated and linted."""
