"""`python -m board_frontend`: serve the page until SIGTERM."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # Process 1 of a container has no default handlers: without this, a stop during the imports goes unheard.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    from board_frontend.server import main

    main(prog_name="board_frontend")
