"""Measurements against what a user would run instead; `make bench` runs them."""
