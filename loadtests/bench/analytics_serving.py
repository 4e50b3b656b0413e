"""
What teachers and students ask of the analytics, through HTTP at a rate; and how soon a hand-in is among it.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

from kernel.events import Role
from loadtests.bench.core_loads import attempts_of, head, once_each, send, submits
from loadtests.bench.core_world import Core, authoring, make_running
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError
from loadtests.bench.organisation import EXAM, LARGEST, STUDENT, Organisation, numbered
from loadtests.bench.sending.loads import percentiles
from sql import named
from sql.running import run

ANALYTICS: Final = named("bench_analytics")
RATE_PER_S: Final = 50.0
CONNECTIONS: Final = 16
LARGEST_EVERY: Final = 10  # requests: so often it is the largest exam that is asked about
LOOK_EVERY_S: Final = 0.05
VISIBLE_S_MAX: Final = 60.0
SEED: Final = 7
WARM_S: Final = 2.0


async def measure_asking(
    core: Core, made: Organisation, seconds: float, screen: Screen
) -> dict[str, dict[str, float]]:
    """
    Return p50, p95 and p99 of each figure, milliseconds; each is asked for so many seconds, and for WARM_S
    before, in which connections are opened and statements are planned.
    """
    random, count = Random(SEED), int(seconds * RATE_PER_S)
    students = [numbered(STUDENT, random.randrange(made.extent.students)) for _ in range(count)]
    exams = [
        LARGEST if number % LARGEST_EVERY == 0 else random.randrange(1, made.extent.exams)
        for number in range(count)
    ]
    teacher = core.token(made.teacher_id, Role.teacher, of=made.id)
    asked = {
        "student_dashboard_ms": [
            head("GET", "/student/dashboard", core.token(student, of=made.id)) for student in students
        ],
        "exam_analytics_ms": [
            head("GET", f"/teacher/exams/{numbered(EXAM, exam)}/analytics", teacher) for exam in exams
        ],
        "flagged_students_ms": [head("GET", "/teacher/students/flagged", teacher)] * count,
    }
    found = {}
    for name, heads in asked.items():
        for part, lasts in (heads[: int(WARM_S * RATE_PER_S)], WARM_S), (heads, seconds):
            plan = once_each(core, part, b"", 200, connections=CONNECTIONS, seconds=lasts)
            found[name] = (await send(name.removesuffix("_ms"), plan, screen)).latency_ms
    return found


async def measure_visible(core: Core, per_s: float, screen: Screen) -> dict[str, float]:
    """
    Let every candidate hand in; return p50 and p99 from that moment to the first look that finds the
    submission's own numbers where teachers are shown them, milliseconds.

    Raises:
        BenchError: one is not there after VISIBLE_S_MAX.
    """
    async with authoring(core) as author:
        questions = await author.write_questions()
        exam_id = await author.give_exam("Handed in", questions)
    make_running(core, exam_id, questions, before=core.candidates, count=core.candidates)
    plan = once_each(
        core,
        submits(attempts_of(core, exam_id), core.tokens(core.candidates)),
        b"{}",
        201,
        connections=CONNECTIONS,
        seconds=core.candidates / per_s,
    )
    looking = asyncio.create_task(_visible(core, exam_id, core.candidates))
    try:
        await send("hand-ins", plan, screen)
        return percentiles(await asyncio.wait_for(looking, VISIBLE_S_MAX), (50, 99))
    except TimeoutError as error:
        raise BenchError(f"a hand-in is not to be seen after {VISIBLE_S_MAX:.0f} s") from error
    finally:
        looking.cancel()


async def _visible(core: Core, exam_id: str, count: int) -> Sequence[float]:
    """Look until so many are there; return how long each took, milliseconds."""
    took: dict[str, float] = {}
    while len(took) < count:
        rows = (
            await asyncio.to_thread(run, core.servers.owner, ANALYTICS["list_visible"], exam_id)
        ).fetchall()
        now = datetime.now(UTC)
        for attempt_id, finalised_at in rows:
            took.setdefault(attempt_id, (now - finalised_at).total_seconds() * 1000)
        await asyncio.sleep(LOOK_EVERY_S)
    return list(took.values())
