"""Slipway: a GitOps repository pair driven by Argo CD, and the tools that make it safe to live with."""
