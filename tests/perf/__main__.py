"""Run every measurement and print one JSON object a line: `python -m tests.perf`."""

from __future__ import annotations

import json

from tests.perf import push_to_response

if __name__ == "__main__":
    print(json.dumps(push_to_response.measure()), flush=True)
