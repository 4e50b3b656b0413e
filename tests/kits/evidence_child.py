"""
A piece of evidence on its way (sent, confirmed, moved and tidied up after) in a process that is killed
(SIGKILL) in front of the first door that it may not pass yet: a statement, or a step in a folder.

The program forks such a process for each line that it reads; who asks gets the door at which it died.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Final

import aiohttp
import asyncpg
import msgspec

from core_api.actors import KEYRING, Actor
from core_api.database import POOL
from core_api.evidence import closing
from core_api.evidence.routes import ROUTES
from core_api.evidence.storage import STORAGE, Storage
from kernel.http.serving import serve
from kernel.http.web import mount, new_app
from kernel.postgres import open_pool
from kernel.settings import Settings
from kernel.storage import local
from kernel.storage.opening import open_tiers
from kernel.tokens import Keyring
from pipeline.sweeps.orphans import Walk, sweep_orphans
from pipeline.sweeps.tiers import move_due
from sql import running

# What leaves a trace: steps in a folder, statements that write, the ends of transactions.
DOORS: Final = {
    local.__file__: {
        "Arriving.__init__", "Arriving.write", "Arriving.sync", "Arriving.keep", "Arriving.discard",
        "_sync_folder", "LocalStore.delete",
    },
    running.__file__: {"run"},
    asyncpg.connection.__file__: {"Connection._do_execute"},
    asyncpg.transaction.__file__: {"Transaction.__commit"},
}  # fmt: skip
WRITES: Final = re.compile(r"\b(INSERT|UPDATE|DELETE|move_evidence)\b")


class Way(msgspec.Struct):
    """Whose settings, who sends what to which address, which part of the way, which doors may be passed."""

    core: Settings
    pipeline: Settings
    actor: Actor
    evidence_id: int
    address: str
    some: bytes
    stage: str
    passed: list[str] = []


async def _upload(way: Way) -> None:
    """Send the file over HTTP."""
    async with await open_pool(way.core) as pool:
        app = new_app(way.core)
        app[KEYRING], app[POOL] = Keyring.parse(way.core.jwt_keys), pool
        app[STORAGE] = storage = Storage(way.core)
        mount(app, [each for each in ROUTES if each.name == "upload_evidence"])
        runner = await serve(app, way.core, port=0)
        host, port = runner.addresses[0][:2]
        async with (
            aiohttp.ClientSession() as http,
            http.put(f"http://{host}:{port}{way.address}", data=way.some) as answer,
        ):
            assert answer.status == 200, await answer.text()
        await runner.cleanup()
        storage.close()


async def _confirm(way: Way) -> None:
    """Confirm it."""
    storage, now = Storage(way.core), datetime.now(UTC)
    async with await open_pool(way.core) as pool:
        said = closing.ConfirmEvidence()
        await closing.confirm(pool, way.actor, way.evidence_id, said, storage=storage, now=now)
    storage.close()


def _move(way: Way) -> None:
    """Move it."""
    now = datetime.now(UTC) + timedelta(seconds=1)
    with running.connect(way.pipeline.database_url) as conn:
        move_due(conn, open_tiers(way.pipeline), way.pipeline, threading.Event(), now=now)


def _tidy(way: Way) -> None:
    """Delete what is left where it was, and what everybody left who died."""
    later = datetime.now(UTC) + timedelta(days=8)
    with running.connect(way.pipeline.database_url) as conn:
        sweep_orphans(conn, open_tiers(way.pipeline), way.pipeline, Walk(), now=later)


STAGES: Final[dict[str, Callable[[Way], object]]] = {
    "upload": lambda way: asyncio.run(_upload(way)),
    "confirm": lambda way: asyncio.run(_confirm(way)),
    "move": _move,
    "tidy": _tidy,
}


def _die_at(passed: set[str], tell: int) -> None:
    """Look at calls from now on, in all threads; die at the first door that may not be passed."""
    seen = Counter[str]()

    def look(frame: FrameType, _: str, __: object) -> None:
        code = frame.f_code
        if code.co_qualname not in DOORS.get(code.co_filename, ()):
            return
        statement = frame.f_locals.get("query") or frame.f_locals.get("statement")
        if statement is None or WRITES.search(statement):
            seen[code.co_qualname] += 1
            name = f"{code.co_qualname} {seen[code.co_qualname]}"
            if name not in passed:
                os.write(tell, name.encode())
                os.kill(os.getpid(), signal.SIGKILL)

    threading.settrace(look)
    sys.settrace(look)


def _go(way: Way) -> str:
    """Fork a process on its way; return the door at which it died, nothing where it arrived."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            _die_at(set(way.passed), tell)
            STAGES[way.stage](way)
            code = 0
        finally:
            os._exit(code)
    os.close(tell)
    _, status = os.waitpid(child, 0)
    name = os.read(told, 1000).decode()
    os.close(told)
    assert os.WIFSIGNALED(status) if name else status == 0, "it failed by itself; see what it printed"
    return name


@contextmanager
def walker() -> Iterator["Walker"]:
    """Start the program; end it at the end."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        yield Walker(program)
        assert program.stdin is not None
        program.stdin.close()


class Walker:
    """The program, for a test to ask."""

    def __init__(self, program: "subprocess.Popen[bytes]") -> None:
        self._program = program

    def go(self, way: Way) -> str:
        """Go the way; return the door at which that ended, nothing where it did not."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(msgspec.json.encode(way) + b"\n")
        self._program.stdin.flush()
        line = self._program.stdout.readline()
        assert line, "the program has ended; see what it printed"
        return line.decode().strip()


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        sys.stdout.write(_go(msgspec.json.decode(line, type=Way)) + "\n")
        sys.stdout.flush()
