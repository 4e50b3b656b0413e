"""What a failing loop leaves in the log: each kind of failure once in a while, and none hides another."""

import asyncio
from types import SimpleNamespace

from structlog.testing import capture_logs

from kernel.http import serving


def test_a_failure_that_repeats_is_told_once_a_minute_and_hides_no_other() -> None:
    clock = SimpleNamespace(now=0.0)
    handle, loop = serving.bounded_reports(lambda: clock.now), asyncio.new_event_loop()
    loop.close()
    ended = "Task exception was never retrieved"
    with capture_logs() as lines:
        for _ in range(1000):
            handle(loop, {"message": ended, "exception": RuntimeError("what somebody sent")})
        handle(loop, {"message": ended, "exception": KeyError("another")})
        handle(loop, {"message": "socket.accept() out of system resource"})
        clock.now = serving.REPEAT_S
        handle(loop, {"message": ended, "exception": RuntimeError("once more")})

    told = [(line["message"], type(line["exc_info"])) for line in lines]
    assert told == [
        (ended, RuntimeError),
        (ended, KeyError),
        ("socket.accept", type(None)),
        (ended, RuntimeError),
    ]
