"""The AWS API of the local platform: moto's server in one process, seeded, with real target health and a memory.

The seed (VPC, subnets, security group) has the same ids on every start, because moto's source of ids is seeded
while it is made. What the load balancer controller writes (ELBv2) is saved after every change, before the caller
has its answer, and loaded at the start: killed and started again, the API holds the same load balancers and targets,
and neither the controller nor the data plane has to do anything. A saved state that cannot be read is set aside and
the API starts empty; then the controller must be restarted (`loadbalancer.heal` does), because it remembers what it
registered. A target group's ARN follows from its name, so the cluster's TargetGroupBindings stay valid even then.

Two private routes serve the data plane, without authentication like the rest of the emulator:
`GET /slipway/elbv2?after=VERSION&wait=SECONDS` answers with a snapshot as soon as its version differs from VERSION;
`PUT /slipway/elbv2/health` takes what the health checks saw.
"""

from __future__ import annotations

import io
import ipaddress
import json
import logging
import os
import pickle
import signal
import socketserver
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import click

from slipway.platform import config

ACCOUNT = "111122223333"
REGION = "eu-central-1"
CLUSTER = "slipway"
SECURITY_GROUP = "slipway-alb"
"""Its name tag, which the Ingress annotation `alb.ingress.kubernetes.io/security-groups` may name."""

os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

from moto.ec2.models import ec2_backends  # noqa: E402
from moto.ec2.models.subnets import Subnet  # noqa: E402
from moto.elbv2.models import elbv2_backends  # noqa: E402
from moto.moto_api._internal import mock_random  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import ThreadedWSGIServer  # noqa: E402

from slipway.platform.alb import elbv2  # noqa: E402

log = logging.getLogger("slipway.aws")
StartResponse = Callable[..., Any]


def seed(pod_network: str = config.POD_NETWORK) -> str:
    """Make the network that the controller expects, with the same ids every time; returns the VPC's id."""
    mock_random.seed("slipway")
    ec2 = ec2_backends[ACCOUNT][REGION]
    vpc = ec2.create_vpc(pod_network, tags=[{"Key": "Name", "Value": CLUSTER}])
    halves = ipaddress.ip_network(pod_network).subnets()
    for zone, cidr in zip("ab", halves, strict=True):
        subnet = ec2.create_subnet(vpc.id, str(cidr), availability_zone=f"{REGION}{zone}")
        tags = {
            "Name": f"{CLUSTER}-{zone}",
            f"kubernetes.io/cluster/{CLUSTER}": "owned",
            "kubernetes.io/role/elb": "1",
            "kubernetes.io/role/internal-elb": "1",
        }
        ec2.create_tags([subnet.id], tags)
    group = ec2.create_security_group(
        SECURITY_GROUP, "The load balancers of the local platform", vpc_id=vpc.id
    )
    ec2.create_tags([group.id], {"Name": SECURITY_GROUP})
    mock_random.seed(time.time_ns())
    return vpc.id


class _Pickler(pickle.Pickler):
    """Subnets belong to the seed: they are saved as their ids."""

    def persistent_id(self, obj: Any) -> str | None:
        return obj.id if isinstance(obj, Subnet) else None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: str) -> Subnet:
        return ec2_backends[ACCOUNT][REGION].get_subnet(pid)


class Memory:
    """The ELBv2 state in a file that only its owner reads."""

    _PARTS = ("load_balancers", "target_groups", "tagging_service")

    def __init__(self, file: Path):
        self.file = file
        self.backend = elbv2_backends[ACCOUNT][REGION]
        self.saved = b""

    def load(self) -> bool:
        """Take over the saved state; False when there is none or it cannot be read (it is then set aside)."""
        try:
            self.saved = self.file.read_bytes()
            parts = _Unpickler(io.BytesIO(self.saved)).load()
        except FileNotFoundError:
            return False
        except Exception as exc:  # whatever another version of moto left behind
            aside = self.file.with_suffix(".unreadable")
            log.error("the saved ELBv2 state cannot be read, starting empty (kept as %s): %s", aside, exc)
            self.file.rename(aside)
            self.saved = b""
            return False
        for name in self._PARTS:
            setattr(self.backend, name, parts[name])
        return True

    def save(self) -> bool:
        """Write the state if it changed since the last time, whole or not at all; True when it did."""
        buffer = io.BytesIO()
        _Pickler(buffer).dump({name: getattr(self.backend, name) for name in self._PARTS})
        if buffer.getvalue() == self.saved:
            return False
        self.saved = buffer.getvalue()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        partial.write_bytes(self.saved)
        partial.chmod(0o600)
        partial.rename(self.file)
        return True


class Application:
    """The WSGI application: moto, one request at a time, and the two routes of the data plane."""

    def __init__(self, memory: Memory):
        self.memory = memory
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.changed = threading.Condition()
        self.version = time.time_ns()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        if path == "/slipway/elbv2" and method == "GET":
            return self._snapshot(environ, start_response)
        if path == "/slipway/elbv2/health" and method == "PUT":
            return self._health(environ, start_response)
        with self.changed:
            body = list(self.moto(environ, start_response))
            if "/elasticloadbalancing/" in environ.get("HTTP_AUTHORIZATION", ""):
                self._keep()
        return body

    def _keep(self) -> None:
        if self.memory.save():
            self.version += 1
            self.changed.notify_all()

    def _snapshot(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        after = int(query.get("after", ["0"])[0])
        wait = min(float(query.get("wait", ["0"])[0]), 60)
        with self.changed:
            self.changed.wait_for(lambda: self.version != after, timeout=wait)
            answer = {"Version": self.version, **elbv2.snapshot(self.memory.backend)}
        return _json(start_response, answer)

    def _health(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        with self.changed:
            for target in body["Targets"]:
                group = self.memory.backend.target_groups.get(target["TargetGroupArn"])
                if group is not None:
                    group.set_health(target)
            self._keep()
        return _json(start_response, {})


def _json(start_response: StartResponse, answer: dict[str, Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


class Server(ThreadedWSGIServer):
    """A thread for each request: some of them wait."""

    def server_bind(self) -> None:
        """Without http.server's reverse lookup of the address, which takes 10 s where no name server answers."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


def server(bind: str, port: int, state: Path) -> Server:
    """The API, seeded and with its memory loaded, listening but not yet serving."""
    elbv2.install()
    vpc = seed()
    memory = Memory(state / "aws" / "elbv2.pickle")
    known = memory.load()
    made = Server(bind, port, Application(memory), handler=MotoRequestHandler)
    log.warning("AWS API on http://%s:%d, %s, state %s", bind, port, vpc, "restored" if known else "new")
    return made


@click.command()
@click.option("--bind", default=config.HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=config.AWS_PORT, show_default=True, help="Port to listen on.")
@click.option(
    "--state", type=click.Path(path_type=Path), required=True, help="The platform's state directory."
)
def main(bind: str, port: int, state: Path) -> None:
    """Serve the local platform's AWS API until SIGTERM.

    Example: python -m slipway.platform.aws --bind 127.0.0.1 --port 4566 --state /var/lib/slipway
    """
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.WARNING)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server(bind, port, state).serve_forever()
    except KeyboardInterrupt:
        log.warning("ended")


if __name__ == "__main__":
    main()
