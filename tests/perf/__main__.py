"""Run every measurement and print one JSON object a line, and for people a table: `python -m tests.perf`."""

from __future__ import annotations

import json

from tests.perf import board_speed, bump_speed, check_speed, push_to_response

if __name__ == "__main__":
    print(json.dumps(push_to_response.measure()), flush=True)
    speed = bump_speed.measure()
    print(json.dumps(speed), bump_speed.table(speed), sep="\n", flush=True)
    speed = check_speed.measure()
    print(json.dumps(speed), check_speed.table(speed), sep="\n", flush=True)
    speed = board_speed.measure()
    print(json.dumps(speed), board_speed.table(speed), sep="\n", flush=True)
