"""
The loads of the core's benchmark: an exam's three minutes, finalisation at saturation, a storm of sign-ins.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import orjson

from core_api.wire import as_json
from loadtests.baselines import pgbench_finalise
from loadtests.bench.core_world import PASSWORD, Core, Questions, id_of
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError
from loadtests.bench.sending.loads import Errands, LoadError, Outcome, Plan, run_load
from sql import named
from sql.running import one, rows, run

CORE: Final = named("bench_core")
NONE: Final = "none"  # what finalise.sql takes for null: pgbench has no empty variables
OTHERS: Final = ("attempts/{attempt_id}", "exams/available")
PATIENCE_S: Final = 600.0
# Every table that finalising writes, and how many rows for one attempt; see `count_outcome`.
LEFT: Final = ("completed", "submissions", "scores", "subjects", "ledger_events")


def head(method: str, path: str, token: str | None, body: bytes = b"", *more: str) -> bytes:
    """Return a request up to its body."""
    lines = [
        f"{method} /api{path} HTTP/1.1",
        "Host: 127.0.0.1",
        *([] if token is None else [f"Authorization: Bearer {token}"]),
        *more,
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def send(title: str, plan: Plan, screen: Screen) -> Outcome:
    """
    Run a load and say what came of it.

    Raises:
        BenchError: a reply was not expected, or a connection was cut.
    """
    try:
        with screen.step(title, plan.seconds or None) as show:
            done = await run_load(
                plan, on_progress=lambda so_far: show(so_far.seconds, f"{so_far.accepted:,}")
            )
    except LoadError as error:
        raise BenchError(f"{title}: {error}") from error
    refused = {status: count for status, count in done.statuses.items() if status != plan.work.status}
    screen.say(
        f"{title}: {done.requests:,} in {done.seconds:.1f} s, "
        f"p50 {done.latency_ms['p50']:.1f} p99 {done.latency_ms['p99']:.1f} ms"
        + (f", refused and sent again: {refused}" if refused else "")
    )
    if cut := done.resent - sum(refused.values()):
        raise BenchError(f"{title}: {cut} requests were cut off")
    return done


def once_each(
    core: Core, heads: list[bytes], body: bytes, status: int, *, connections: int, seconds: float = 0.0
) -> Plan:
    """Return the plan to send each head once with the body: over so many seconds, or as fast as it goes."""
    return Plan(
        port=core.port,
        work=Errands(heads=heads, body=body, status=status),
        connections=connections,
        seconds=seconds,
        rate_per_s=len(heads) / seconds if seconds else None,
        retry_spread_s=None,
        patience_s=PATIENCE_S,
    )


async def run_minutes(
    core: Core, exam_id: str, questions: Questions, *, minute_s: float, connections: int, screen: Screen
) -> tuple[Outcome, Outcome, Outcome]:
    """Let every candidate start, then save all answers, then submit, each spread over a minute."""
    tokens = core.tokens(core.candidates)
    answers = [
        {"question_id": question_id, "client_seq": 1, "response": response}
        for question_id, response in zip(questions.question_ids, questions.responses, strict=True)
    ]

    async def minute(title: str, status: int, heads: list[bytes], body: bytes) -> Outcome:
        plan = once_each(core, heads, body, status, connections=connections, seconds=minute_s)
        return await send(title, plan, screen)

    started = await minute(
        "start", 201, [head("POST", f"/student/exams/{exam_id}/start", token) for token in tokens], b""
    )
    attempts = attempts_of(core, exam_id)
    body = as_json({"answers": answers}).encode()
    saves = [
        head("PUT", f"/student/attempts/{attempt}/answers", token, body)
        for attempt, token in zip(attempts, tokens, strict=True)
    ]
    saved = await minute("save", 200, saves, body)
    submitted = await minute("submit", 201, submits(attempts, tokens), b"{}")
    check_left(core, exam_id, questions, core.candidates)
    return started, saved, submitted


def attempts_of(core: Core, exam_id: str) -> list[str]:
    """Return the exam's attempts in order of the candidates' numbers."""
    return [row[0] for row in run(core.servers.owner, CORE["list_running"], exam_id).fetchall()]


def submits(attempts: Sequence[str], tokens: Sequence[str]) -> list[bytes]:
    """Return the hand-ins of these attempts, each under a key of its own, for the body `{}`."""
    return [
        head("POST", f"/student/attempts/{attempt}/submit", token, b"{}", f"Idempotency-Key: {attempt}")
        for attempt, token in zip(attempts, tokens, strict=True)
    ]


def count_left(core: Core, exam_id: str) -> dict[str, int]:
    """Return how many rows an exam's finalisations left, by table."""
    counts: dict[str, int] = one(core.servers.owner, CORE["count_outcome"], exam_id)
    return counts


def check_left(core: Core, exam_id: str, questions: Questions, attempts: int) -> None:
    """Check that each attempt left one row of each thing and its items; raises BenchError if not."""
    counts = count_left(core, exam_id)
    items = attempts * len(questions.question_ids)
    if any(counts[name] != attempts for name in LEFT) or counts["items"] != items:
        raise BenchError(f"{attempts} attempts were finalised, and the database has {counts}")


async def finalise_http(core: Core, count: int, *, before: int, connections: int, screen: Screen) -> float:
    """Submit prepared attempts in a closed loop; return the seconds it took."""
    attempts = [str(id_of(before + number)) for number in range(1, count + 1)]
    plan = once_each(core, submits(attempts, core.tokens(count)), b"{}", 201, connections=connections)
    return (await send("finalise over HTTP", plan, screen)).seconds


async def finalise_pgbench(
    core: Core, count: int, values: dict[str, str], *, before: int, connections: int, screen: Screen
) -> float:
    """Finalise prepared attempts by pgbench; return the seconds it took."""
    with screen.step("finalise by pgbench"):
        rate = await asyncio.to_thread(
            pgbench_finalise.finalises_per_s,
            core.urls["veritas_core"],
            values,
            before=before,
            clients=connections,
            attempts=count,
        )
    screen.say(f"finalise by pgbench: {count:,} in {count / rate:.1f} s")
    return count / rate


def values_of(core: Core, finalised_exam: str, exam_id: str) -> dict[str, str]:
    """Return finalise.sql's variables for an exam, from a finalisation of another with the same questions."""
    (row,) = rows(core.servers.owner, CORE["fetch_finalised"], finalised_exam)
    return {name: NONE if value is None else str(value) for name, value in row.items()} | {"exam": exam_id}


async def storm(
    core: Core, exam_id: str, *, logins: int, probe_s: float, probe_per_s: float, screen: Screen
) -> dict[str, float]:
    """
    Let so many candidates sign in at once, and time other routes meanwhile and before.

    Returns:
        `logins`, `seconds` until the last was in, `refused_429` (each came again after its Retry-After), and
        `others_p99_ms`, `others_p99_without_ms` of the other routes.
    """
    probe = _probe(core, exam_id, probe_s, probe_per_s)
    without = await send("other routes alone", probe, screen)
    storming = asyncio.create_task(send("sign-ins", _sign_ins(core, logins), screen))
    within = await send("other routes in the storm", probe, screen)
    done = await storming
    return {
        "logins": logins,
        "seconds": done.seconds,
        "refused_429": done.statuses.get(429, 0),
        "others_p99_ms": within.latency_ms["p99"],
        "others_p99_without_ms": without.latency_ms["p99"],
    }


def _probe(core: Core, exam_id: str, seconds: float, per_s: float) -> Plan:
    attempts, tokens = attempts_of(core, exam_id), core.tokens(core.candidates)
    heads = []
    for number in range(int(seconds * per_s)):
        candidate = number % core.candidates
        path = OTHERS[number % len(OTHERS)].format(attempt_id=attempts[candidate])
        heads.append(head("GET", f"/student/{path}", tokens[candidate]))
    return once_each(core, heads, b"", 200, connections=64, seconds=seconds)


def _sign_ins(core: Core, logins: int) -> Plan:
    bodies = [
        orjson.dumps({"email": f"candidate-{number}@bench.invalid", "password": PASSWORD})
        for number in range(1, logins + 1)
    ]
    heads = [head("POST", "/auth/login", None, body) + body for body in bodies]
    plan = once_each(core, heads, b"", 200, connections=logins)
    return msgspec.structs.replace(plan, retry_spread_s=1.0)
