"""The command line of the data plane."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

import click

from slipway.errors import InvalidInput, SlipwayError
from slipway.platform import config
from slipway.platform.alb.driver import Driver
from slipway.platform.alb.plan import LAG_LIMIT

DEFAULT_PORTS = ",".join(f"{name}={port}" for name, port in config.BALANCER_PORTS.items())


def parse_ports(text: str) -> dict[tuple[str, int], int]:
    """`NAME[:LISTENER]=LOCAL,…` to (name, listener port) and local port; the listener's default is 80."""
    ports = {}
    for part in text.split(","):
        name, _, local = part.strip().partition("=")
        name, _, listener = name.partition(":")
        if not (name and local.isdigit() and (listener or "80").isdigit()):
            raise InvalidInput(
                f"cannot read {part!r} as a port assignment", fix="write name=8080 or name:443=8443"
            )
        ports[name, int(listener or 80)] = int(local)
    return ports


async def serve(driver: Driver) -> None:
    """Run the driver until SIGTERM or SIGINT."""
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)  # type: ignore[union-attr]
    with contextlib.suppress(asyncio.CancelledError):
        await driver.run()


@click.command()
@click.option(
    "--aws-url", default=config.AWS_URL, show_default=True, help="The AWS API (slipway.platform.aws)."
)
@click.option(
    "--state", type=click.Path(path_type=Path), required=True, help="The platform's state directory."
)
@click.option("--ports", default=DEFAULT_PORTS, show_default=True, help="Load balancer to port on 127.0.0.1.")
@click.option(
    "--learn-lag",
    type=click.FloatRange(0, LAG_LIMIT),
    default=5,
    show_default=True,
    help="Seconds until the load balancer learns that a target is leaving.",
)
@click.option(
    "--register-lag",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    help="Seconds until the load balancer takes in a new target; a real one needs them when AWS is busy.",
)
@click.option("--metrics-port", type=int, help="Port on 127.0.0.1 for HAProxy's Prometheus exporter.")
def main(
    aws_url: str, state: Path, ports: str, learn_lag: float, register_lag: float, metrics_port: int | None
) -> None:
    """Serve the load balancers that the AWS API knows, on 127.0.0.1.

    Example: python -m slipway.platform.alb --state /var/lib/slipway --ports slipway-dev=8082
    """
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.WARNING)
    driver = Driver(aws_url, state / "alb", parse_ports(ports), learn_lag, register_lag, metrics_port)
    try:
        asyncio.run(serve(driver))
    except* SlipwayError as group:
        for error in group.exceptions:
            click.echo(f"alb: {error.render() if isinstance(error, SlipwayError) else error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
