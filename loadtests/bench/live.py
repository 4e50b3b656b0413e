"""
The live benchmark: events at a rate, and how soon they are scores and on the walls of those who watch.

Everything is on: ingest, the writer, the pipeline, and a core API that tells 200 watchers of 20 exams, each
on a socket of its own. What a watcher is told of says when it was accepted (`lastEvent.occurredAt`): the time
until it has arrived is counted for each watcher and change. Scores are counted from the events that the
snapshots rest on.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import aiohttp
import msgspec
import orjson

from core_api import seeding
from deploy.local.roles import give_passwords
from deploy.local.server import free_port
from kernel.events import Role
from kernel.tokens import Keyring, new_claims
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import (
    TOKEN_LIFE_S,
    BenchError,
    Program,
    Servers,
    new_jwt_keys,
    open_servers,
    private_folder,
    programs,
    wait_until_answers,
)
from loadtests.bench.sending.loads import Events, Plan, percentiles, run_load
from loadtests.bench.sending.wire import EVENTS_PER_REQUEST, Shape, Target
from sql import named
from sql.running import run

BENCH: Final = named("bench")
SETTLE_S: Final = 3.0
MESSAGE_BYTES_MAX: Final = 64 << 20


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done; the defaults are what docs/benchmarks.md reports."""

    exams: int = 20
    sessions: int = 5_000
    watchers: int = 200
    events_per_s: float = 20_000.0
    seconds: float = 120.0
    connections: int = 256


QUICK: Final = Sizes(exams=4, sessions=400, watchers=40, events_per_s=4_000.0, seconds=15.0)


class LiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    The figures; `…_ms` have p50 and p99.

    `accept_to_watcher_ms`: from an event's acceptance to the watcher whom it was told as a session's latest.
    `accept_to_score_ms`: from the newest event of a snapshot to the snapshot; empty where nothing is scored.
    `messages_per_s` of all watchers; `cpu_us_per_event` by process.
    """

    events_per_s: float
    accept_to_score_ms: dict[str, float]
    accept_to_watcher_ms: dict[str, float]
    messages_per_s: float
    cut_off: int
    cpu_us_per_event: dict[str, float]
    machine: dict[str, str | int | float]


class Exam(msgspec.Struct, frozen=True):
    """One exam, the token of who watches it, and where its candidates' events go."""

    id: UUID
    token: str
    targets: list[Target]


class Heard(msgspec.Struct):
    """What all watchers were told so far: how long each change took, in ms; messages; watches that ended."""

    took_ms: list[float]
    messages: int = 0
    cut_off: int = 0


def make_exams(servers: Servers, keyring: Keyring, sizes: Sizes) -> list[Exam]:
    """Make exams with candidates at work, and a teacher who may watch them all."""
    now, owner = datetime.now(UTC), servers.owner
    school = seeding.create_school(owner, "Live", now=now, exams=sizes.exams, duration_minutes=600)

    def token(user_id: UUID, role: Role) -> str:
        claims = new_claims(
            user_id=str(user_id),
            email="",
            role=role,
            org=str(school.organisation_id),
            now=now,
            life_s=TOKEN_LIFE_S,
        )
        return keyring.sign(claims)

    exams = []
    for exam_id in school.exam_ids:
        seated = seeding.seat_candidates(
            owner, school.organisation_id, exam_id, sizes.sessions // sizes.exams, now=now
        )
        targets = [Target(str(each.session_id), token(each.user_id, Role.student)) for each in seated]
        exams.append(Exam(exam_id, token(school.teacher_id, Role.teacher), targets))
    return exams


@contextmanager
def everything(
    servers: Servers, folder: Path, keys: str, log: Path
) -> Iterator[tuple[int, int, list[Program]]]:
    """Start all tiers; yield the ports of ingest and of the core API, and the programs."""
    urls, ingest_port, core_port, health = (
        give_passwords(servers.postgres.url),
        *(free_port() for _ in range(3)),
    )
    shared: dict[str, object] = {"redis_url": servers.redis.url, "log_level": "warning"}
    signed = shared | {"jwt_keys": keys}
    ingest = signed | {"database_url": urls["veritas_ingest"], "http_port": ingest_port}
    core = signed | {
        "database_url": urls["veritas_core"],
        "http_port": core_port,
        "live_account_watches_max": 1000,
    }
    pipeline = shared | {
        "database_url": urls["veritas_pipeline"],
        "warehouse": folder / "warehouse",
        "metrics_port": health,
    }
    with (
        programs([("writer", ["-m", "ingest.writer"]), ("ingest", ["-m", "ingest"])], ingest, log) as taking,
        programs([("core", ["-m", "core_api"])], core, log) as serving,
        programs([("pipeline", ["-m", "pipeline"])], pipeline, log) as working,
    ):
        running = [*taking, *serving, *working]
        for port in (ingest_port, core_port):
            wait_until_answers(f"http://127.0.0.1:{port}/readyz", running, log)
        yield ingest_port, core_port, running


async def watch(http: aiohttp.ClientSession, port: int, exam: Exam, heard: Heard) -> None:
    """Watch an exam until cancelled, and note how long each change took to come here."""
    url = f"http://127.0.0.1:{port}/api/proctor/live/exam/{exam.id}/socket"
    headers = {"Authorization": f"Bearer {exam.token}"}
    seen: dict[int, str] = {}
    async with http.ws_connect(url, headers=headers, max_msg_size=MESSAGE_BYTES_MAX) as ws:
        async for message in ws:
            now, told = time.time(), orjson.loads(message.data)
            heard.messages += 1
            for session in told["data"].get("sessions", ()):
                last = session["lastEvent"]
                number = session["proctorSessionId"]
                if last is None or seen.get(number) == last["occurredAt"]:
                    continue
                seen[number] = last["occurredAt"]
                if told["event"] == "delta":
                    heard.took_ms.append(
                        (now - datetime.fromisoformat(last["occurredAt"]).timestamp()) * 1000
                    )
    heard.cut_off += 1


async def measure(sizes: Sizes, screen: Screen, log: Path) -> LiveReport:
    """Run the load under the watchers' eyes; raises BenchError when nothing was told."""
    keys = new_jwt_keys()
    log.parent.mkdir(parents=True, exist_ok=True)
    with private_folder() as folder, open_servers(folder) as servers:
        with screen.step("exams and candidates"):
            exams = make_exams(servers, Keyring.parse(keys), sizes)
        with everything(servers, folder, keys, log) as (ingest_port, core_port, running):
            return await _measure(sizes, screen, servers, exams, ingest_port, core_port, running)


async def _measure(
    sizes: Sizes,
    screen: Screen,
    servers: Servers,
    exams: list[Exam],
    ingest_port: int,
    core_port: int,
    running: list[Program],
) -> LiveReport:
    heard = Heard([])
    targets = [each for exam in exams for each in exam.targets]
    plan = Plan(
        port=ingest_port,
        work=Events(shape=Shape.bulk, instance="live", targets=targets),
        connections=sizes.connections,
        seconds=sizes.seconds,
        rate_per_s=sizes.events_per_s / EVENTS_PER_REQUEST[Shape.bulk],
    )
    groups = {each.process.pid: each.name for each in running} | {servers.redis.pid: "redis"}
    groups |= machine.postgres_processes(servers.postgres.pid)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        watching = [
            asyncio.ensure_future(watch(http, core_port, exams[number % len(exams)], heard))
            for number in range(sizes.watchers)
        ]
        try:
            await asyncio.sleep(SETTLE_S)
            meter, begun = machine.CpuMeter(groups), time.monotonic()
            with screen.step("events, and who watches", sizes.seconds) as show:
                outcome = await run_load(plan, on_progress=lambda so_far: show(so_far.seconds, ""))
            took_s = time.monotonic() - begun
            used_s = meter.read(groups)
            await asyncio.sleep(SETTLE_S)
        finally:
            for each in watching:
                each.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    if not heard.took_ms:
        raise BenchError("no watcher was told of any event")
    events = outcome.requests * EVENTS_PER_REQUEST[Shape.bulk]
    scored = [row[0] for row in run(servers.owner, BENCH["list_scoring_ms"]).fetchall()]
    return LiveReport(
        events_per_s=events / outcome.seconds,
        accept_to_score_ms=percentiles(scored, (50, 99)),
        accept_to_watcher_ms=percentiles(heard.took_ms, (50, 99)),
        messages_per_s=heard.messages / took_s,
        cut_off=heard.cut_off,
        cpu_us_per_event={name: seconds / events * 1e6 for name, seconds in used_s.items()},
        machine=machine.description(),
    )
