"""The platform's fixed facts: addresses, ports, names. One place for each."""

from __future__ import annotations

HOST = "10.250.1.1"
"""The machine's end of the link to the node; forge, registry, AWS API and pipeline listen here."""
NODE = "10.250.1.2"
LINK = "slipway0"
NODE_NAME = "slipway"
BRIDGE = "cni0"
"""The node's device that every Pod of it is connected to."""
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"

REGISTRY_PORT = 5000
FORGE_PORT = 3000
AWS_PORT = 4566
PIPELINE_PORT = 8090
GATE_PORT = 8091
BALANCER_PORTS = {"slipway-prod": 8080, "slipway-staging": 8081, "slipway-dev": 8082}
"""Load balancer name to the port it gets on 127.0.0.1."""
PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093
PROBER_PORT = 9115
BALANCER_METRICS_PORT = 9101
"""Monitoring listens on 127.0.0.1: a Pod that reached it could silence alerts."""

REGISTRY_URL = f"http://{HOST}:{REGISTRY_PORT}"
FORGE_URL = f"http://{HOST}:{FORGE_PORT}"
AWS_URL = f"http://{HOST}:{AWS_PORT}"
PROMETHEUS_URL = f"http://127.0.0.1:{PROMETHEUS_PORT}"
ALERTMANAGER_URL = f"http://127.0.0.1:{ALERTMANAGER_PORT}"

ENVIRONMENTS = ("dev", "staging", "prod")
APPLICATION = "board"
ORGANISATION = "slipway"
ECR_HOST = "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
"""The registry as Git names it; the local registry is its mirror."""
POSTGRES_IMAGE = f"{ECR_HOST}/slipway/postgres:15"

MEMORY_NEEDED = 4 << 30
DISK_NEEDED = 38 << 30
"""Bytes, measured on an empty machine: 31 GiB of cache, of which 24 are Go's, and 6 GiB of state."""


def mirrors() -> dict[str, str]:
    """The environment variable that lets our own tools use the local registry in ECR's place."""
    return {"SLIPWAY_REGISTRY_MIRRORS": f"{ECR_HOST}={REGISTRY_URL}"}
