"""`python -m board_backend serve|migrate`."""

from __future__ import annotations

import argparse
import signal
import sys


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line as typed values."""
    parser = argparse.ArgumentParser(prog="board_backend", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="answer HTTP until SIGTERM")
    serve.add_argument("--host", default="0.0.0.0")
    serve.add_argument("--port", type=int, default=8000)
    migrate = verbs.add_parser("migrate", help="bring the database to this version's schema")
    migrate.add_argument(
        "--wait", type=float, default=60, help="seconds to wait for the database (default 60)"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; 0 when it did what it says."""
    # Process 1 of a container has no default handlers: without this, a stop during the imports goes unheard.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    args = parse(argv)
    from board_backend import logs
    from board_backend.settings import Settings

    settings = Settings()
    logs.configure(settings.log_level)
    if args.verb == "migrate":
        from board_backend import migrate

        return migrate.main(settings.database_url.get_secret_value(), wait=args.wait)
    from board_backend import server

    return server.serve(settings, host=args.host, port=args.port)


if __name__ == "__main__":
    sys.exit(main())
