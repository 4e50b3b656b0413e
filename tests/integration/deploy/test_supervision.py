"""What the supervisor does about deaths: at once after readiness, ever more slowly without any (X-1, W-2)."""

import asyncio
import os
import resource
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from deploy.local.logs import LOG_BYTES_MAX, Log
from deploy.local.redis import start_redis
from deploy.local.server import free_port
from deploy.local.supervisor import BACK_OFF_S, BackOff, Child, StackError, Tier, watch_server
from tests.kits.ingest.waiting import until

# A tier in small: says that it is ready, as itself or as somebody else.
SERVES = """
import http.server, json, os, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"pid": os.getpid() + int(sys.argv[2])}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""
LIVES = 12
WITHIN_S = BACK_OFF_S[1] / 2


@asynccontextmanager
async def child(folder: Path, program: str, *arguments: str) -> AsyncIterator[tuple[Child, list[str]]]:
    """Supervise a program; give it and what is reported of it."""
    port, said = free_port(), list[str]()
    tier = Tier(
        name="small",
        arguments=("-c", program, str(port), *arguments),
        environment=dict(os.environ),
        ready_url=f"http://127.0.0.1:{port}/readyz",
        stop_rank=1,
    )
    started = Child(tier, Log(folder / "small.log"), said.append)
    try:
        yield started, said
    finally:
        await started.stop(5.0)


def test_readiness_always_means_at_once_and_without_it_waits_grow_to_their_bound() -> None:
    back_off = BackOff()
    waits = [back_off.after(was_ready=False) for _ in range(40)]

    assert waits[0] == 0
    assert waits == sorted(waits)
    assert (waits[1], waits[-1]) == BACK_OFF_S
    assert [back_off.after(was_ready=True) for _ in range(40)] == [0] * 40
    assert back_off.after(was_ready=False) == 0


async def test_what_was_ready_is_started_again_at_once_however_often_it_is_killed(tmp_path: Path) -> None:
    async with child(tmp_path, SERVES, "0") as (small, said):
        for life in range(1, LIVES + 1):
            await until(lambda: small.starts == life and small.pid is not None, "the next life", WITHIN_S)  # noqa: B023
            await small.wait_ready()
            assert small.pid is not None
            os.kill(small.pid, signal.SIGKILL)
        await until(lambda: small.starts == LIVES + 1, "the last life", WITHIN_S)

    deaths = [line for line in said if "ended (SIGKILL)" in line]
    assert len(deaths) == LIVES
    assert all("starting it again at once" in line for line in deaths)
    assert sum("is ready again after" in line for line in said) >= LIVES - 1


async def test_what_never_gets_ready_is_started_ever_less_often_and_the_log_says_so(tmp_path: Path) -> None:
    async with child(tmp_path, "raise SystemExit(3)") as (small, said):
        with pytest.raises(StackError, match="ends as soon as it is started"):
            await small.wait_ready()
        await until(lambda: len(said) >= 4, "four deaths", WITHIN_S)

    assert "ended (exit code 3); starting it again at once" in said[0]
    assert "2 times in a row before it was ready: starting it again in 0.25 s" in said[1]
    assert "3 times in a row before it was ready: starting it again in 0.5 s" in said[2]


async def test_an_answer_of_another_process_on_the_port_is_no_readiness(tmp_path: Path) -> None:
    async with child(tmp_path, SERVES, "1") as (small, _):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(small.wait_ready(), 2.0)


async def test_a_killed_server_is_back_at_once_however_often_it_is_killed(server_folder: Path) -> None:
    said: list[str] = []
    with closing(start_redis(server_folder / "redis")) as server:
        watching = asyncio.create_task(watch_server(server, said.append))
        for life in range(1, LIVES + 1):
            os.kill(server.pid, signal.SIGKILL)
            await until(
                lambda: sum("answers again" in line for line in said) == life,  # noqa: B023
                "an answer",
                WITHIN_S,
            )
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    assert sum("ended; starting it again at once" in line for line in said) == LIVES


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let this process write no file beyond the size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_log_that_cannot_be_written_holds_up_no_tier(tmp_path: Path) -> None:
    """What a tier says is read all the same: it would wait for ever. It is started again as before."""
    talks = "for _ in range(500): print('x' * 1000, flush=True)\n" + SERVES
    with files_of_at_most(4096):
        async with child(tmp_path, talks, "0") as (small, said):
            await asyncio.wait_for(small.wait_ready(), WITHIN_S)
            assert small.pid is not None
            os.kill(small.pid, signal.SIGKILL)
            await until(lambda: small.starts == 2 and small.pid is not None, "the next life", WITHIN_S)
            await asyncio.wait_for(small.wait_ready(), WITHIN_S)

    assert "ended (SIGKILL)" in said[0]


def test_a_log_says_how_much_of_it_could_not_be_written(tmp_path: Path) -> None:
    log = Log(tmp_path / "some.log")
    with closing(log):
        with files_of_at_most(10):
            log.write(b"1234567890")
            log.write(b"a line that has no room\n")
            log.write(b"nor has this one\n")
        log.write(b"there is room again\n")

    lost = len(b"a line that has no room\nnor has this one\n")
    said = b"%d bytes of this log could not be written\nthere is room again\n" % lost
    assert (tmp_path / "some.log").read_bytes() == b"1234567890" + said


def test_a_full_log_becomes_the_one_older_file_and_both_are_for_owner_and_group_alone(tmp_path: Path) -> None:
    file, older = tmp_path / "logs" / "some.log", tmp_path / "logs" / "some.log.1"
    with closing(Log(file)) as log:
        for number in range(25):
            log.write(b"%3d" % number + b"\xff" * (1 << 20))

    assert sorted(file.parent.iterdir()) == [file, older]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (file, older)} == {0o640}
    assert older.stat().st_size <= LOG_BYTES_MAX
    assert older.read_bytes()[:3] + file.read_bytes()[:3] == b"  9 18"
    assert file.read_bytes().endswith(b" 24" + b"\xff" * (1 << 20))


async def test_a_server_that_cannot_be_started_is_tried_again(server_folder: Path) -> None:
    said: list[str] = []
    with closing(start_redis(server_folder / "redis")) as server:
        watching = asyncio.create_task(watch_server(server, said.append))
        aside = server.log.rename(server.log.with_suffix(".aside"))
        server.log.mkdir()
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: sum("cannot be started" in line for line in said) >= 2, "two tries", WITHIN_S)
        server.log.rmdir()
        aside.rename(server.log)
        await until(lambda: any("answers again" in line for line in said), "an answer", WITHIN_S)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
