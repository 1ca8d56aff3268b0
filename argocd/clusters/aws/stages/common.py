"""What the stages have in common: the region, the addresses that base/ names, the images, who runs Argo CD."""

from ipaddress import IPv4Network

from parameters import Registry, Zone

REGION = "eu-central-1"
CIDR = IPv4Network("10.0.0.0/16")
ZONES = tuple(
    Zone(
        name=f"{REGION}{letter}",
        public=IPv4Network(f"10.0.{place}.0/24"),
        private=IPv4Network(f"10.0.{64 + 32 * place}.0/19"),
        database=IPv4Network(f"10.0.{20 + place}.0/24"),
    )
    for place, letter in enumerate("abc")
)
"""The stages never meet, so they have the same addresses, and the manifests need no other ones for each."""

REGISTRY = Registry(
    account="111122223333",
    repositories=("slipway/board-backend", "slipway/board-frontend"),
    keep_days=30,
)
ARGOCD = ("444455556666", "prod")
OFFICE = IPv4Network("203.0.113.0/24")
