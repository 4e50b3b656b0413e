"""kill -9 between any two steps of a hand-in, an import, a decision, a resolution (S-1, W-7, C-1, M-2)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.core_rig import (
    ADVISORY,
    WAITS_IN_COMMIT,
    CoreRig,
    Servers,
    commits_held,
    core_rig,
    core_servers,
    first_of,
    rows_of,
    unanswered,
    waits_for_table,
    writes_held,
)
from tests.faults.harness import READY_S_MAX
from tests.integration.core_api.observations.test_observations import make_form, observe
from tests.integration.core_api.submissions.test_importing import amina, ben, rows, send
from tests.kits.authoring import Made, answer, make_exam, outcome, save_all_right, start, submit
from tests.kits.claims import acknowledged, handle
from tests.kits.core import Answer, Api
from tests.kits.reviews import decide, override, review

NOTHING = {
    "submissions": 0, "items": 0, "scores": 0, "subjects": 0, "ledger": 0, "facts": 0, "completed": 0,
    "ended": 0,
}  # fmt: skip
EVERYTHING = NOTHING | {
    "submissions": 1, "items": 5, "scores": 1, "subjects": 1, "ledger": 1, "facts": 1, "completed": 1,
    "ended": 1,
}  # fmt: skip
# What finalisation has to write; where it writes more, the walk below stops there as well.
WRITTEN = {
    "attempt_answers", "attempt_drafts", "proctor_sessions", "ledger_events", "outbox", "submissions",
    "submission_items", "submission_subjects", "submission_scores", "exam_attempts",
}  # fmt: skip


@pytest.fixture(scope="module")
def servers(module_folder: Path) -> Iterator[Servers]:
    """Servers for this module to kill."""
    with core_servers(module_folder) as started:
        yield started


@pytest.fixture
async def rig(servers: Servers) -> AsyncIterator[CoreRig]:
    async with core_rig(servers) as running:
        yield running


async def seated(rig: CoreRig, **fields: Any) -> tuple[Made, str]:
    """Return an exam and the running attempt of a candidate with saved answers and a proctor session."""
    made = await make_exam(rig.api, **fields)
    attempt_id = await start(rig.api, made)
    await rig.api.start_session(attempt_id=attempt_id)
    await save_all_right(rig.api, made, attempt_id)
    return made, attempt_id


def hand_in(rig: CoreRig, made: Made, attempt_id: str) -> "asyncio.Task[Answer]":
    last = answer(made.questions["essay"], 2, text="It depends, after all.")
    return asyncio.create_task(submit(rig.api, attempt_id, key="one", answers=[last]))


async def check_once(rig: CoreRig, made: Made, attempt_id: str, *, first: int = 201) -> None:
    """A retry finalises, or gets the first receipt; the next one gets the same; there is one of all."""
    retried, again = (
        await hand_in(rig, made, attempt_id),
        await hand_in(rig, made, attempt_id),
    )

    assert (retried.status, again.status) == (first, 200)
    assert retried.body == again.body
    assert await outcome(rig.api) == EVERYTHING


async def walk(
    rig: CoreRig,
    ask: "Callable[[], asyncio.Task[Answer]]",
    holds: str,
    left: Callable[[Api], Awaitable[Any]] = outcome,
) -> tuple[list[str], Answer]:
    """
    Kill the core API at each table that a request writes; return the tables in order, and the last answer.

    The walk finds the steps itself: all writes wait, the first one met is a step; next time it may pass. What
    is `left` stays as it was before.
    """
    steps: list[str] = []
    before = await left(rig.api)
    while True:
        async with writes_held(rig, but=steps):
            asked = ask()
            table = await first_of(asked, rig.wait_for(waits_for_table(holds)))
            if table is None:
                return steps, await asked
            await rig.kill_core()
        await rig.gone()

        assert (await unanswered(asked), table) == (True, table)
        assert (await left(rig.api), table) == (before, table)
        assert table not in steps
        steps.append(table)


@pytest.mark.slow("a new process for each table that is written")
async def test_a_core_api_killed_at_any_table_leaves_nothing_and_the_retry_makes_one_submission_s1(
    rig: CoreRig,
) -> None:
    made, attempt_id = await seated(rig)
    steps, answered = await walk(rig, lambda: hand_in(rig, made, attempt_id), rows_of("exam_attempts"))

    assert set(steps) >= WRITTEN
    assert answered.status == 201
    await check_once(rig, made, attempt_id, first=200)


@pytest.mark.slow("a new process for each table that is written")
async def test_a_core_api_killed_at_any_table_of_an_observation_leaves_nothing_either_s1(
    rig: CoreRig,
) -> None:
    form = await make_form(rig.api)
    steps, answered = await walk(rig, lambda: asyncio.create_task(observe(rig.api, form)), rows_of("exams"))
    again = await observe(rig.api, form)

    assert set(steps) >= {
        "ledger_events", "outbox", "submissions", "submission_items", "submission_subjects",
        "submission_scores",
    }  # fmt: skip
    assert (answered.status, again.status) == (201, 200)
    assert again.body == answered.body
    assert await outcome(rig.api) == EVERYTHING | {"items": 2, "completed": 0, "ended": 0}


@pytest.mark.slow("a new process for each table that is written")
async def test_a_core_api_killed_at_any_table_of_an_import_leaves_nothing_of_it_and_the_same_again_all_w7(
    rig: CoreRig,
) -> None:
    before = await rows(rig.api)
    steps, answered = await walk(
        rig, lambda: asyncio.create_task(send(rig.api, amina(), ben())), rows_of("organisations"), rows
    )
    stored = await rows(rig.api)
    again = await send(rig.api, ben(), amina())

    assert set(steps) >= {
        "users", "exams", "questions", "exam_attempts", "submissions", "submission_items",
        "submission_drafts", "submission_subjects", "submission_scores", "ledger_events", "outbox",
    }  # fmt: skip
    assert (answered.body["created"], again.body["created"], again.body["unchanged"]) == (2, 0, 2)
    assert [after - earlier for after, earlier in zip(stored, before, strict=True)][4:9] == [2, 6, 1, 2, 2]
    assert await rows(rig.api) == stored


@pytest.mark.parametrize("durable", [False, True])
async def test_a_core_api_killed_after_it_sent_commit_has_finalised_and_the_retry_says_so_s1(
    rig: CoreRig, *, durable: bool
) -> None:
    made, attempt_id = await seated(rig)
    async with commits_held(rig, durable=durable):
        asked = hand_in(rig, made, attempt_id)
        await rig.wait_for(WAITS_IN_COMMIT)
        await rig.kill_core()
    await rig.gone()

    assert await unanswered(asked)
    assert await outcome(rig.api) == EVERYTHING
    await check_once(rig, made, attempt_id, first=200)


async def handing_in(rig: CoreRig, made: Made, attempt_id: str, statement: str) -> "asyncio.Task[Answer]":
    """Hand in until it waits as the statement says: a connection from before a crash may answer with 503."""
    async with asyncio.timeout(READY_S_MAX):
        while True:
            asked = hand_in(rig, made, attempt_id)
            if await first_of(asked, rig.wait_for(statement)) is not None:
                return asked
            assert asked.result().status == 503, asked.result().body


@pytest.mark.slow("PostgreSQL recovers five times")
async def test_a_postgres_killed_within_a_finalisation_leaves_nothing_and_one_killed_after_it_all_s1(
    rig: CoreRig,
) -> None:
    """At its first write, in the midst, at its last, in COMMIT before and after it is on disk."""
    made, attempt_id = await seated(rig)
    for passed in (
        set[str](),
        {"attempt_answers", "attempt_drafts", "proctor_sessions", "ledger_events", "ledger_salts"},
        WRITTEN - {"exam_attempts"} | {"ledger_pending", "ledger_salts"},
    ):
        async with writes_held(rig, but=sorted(passed)):
            asked = await handing_in(rig, made, attempt_id, waits_for_table(rows_of("exam_attempts")))
            await rig.kill_postgres()

        assert (await asked).status == 503
        assert await outcome(rig.api) == NOTHING
    for durable, left in ((False, NOTHING), (True, EVERYTHING)):
        async with commits_held(rig, durable=durable):
            asked = await handing_in(rig, made, attempt_id, WAITS_IN_COMMIT)
            await rig.kill_postgres()

        assert (await asked).status == 503
        assert await outcome(rig.api) == left
    await check_once(rig, made, attempt_id, first=200)


JUDGED = """
SELECT (SELECT array_agg((status, is_finalized)) FROM proctor_decisions)::text,
       (SELECT array_agg((act, status) ORDER BY number) FROM decision_acts)::text,
       (SELECT array_agg((number, status) ORDER BY number) FROM blind_reviews)::text,
       (SELECT array_agg((rank, cardinality(reviewed_by))) FROM pending_reviews)::text,
       (SELECT array_agg(is_void) FROM submission_results)::text, (SELECT count(*) FROM review_claims)::text,
       (SELECT array_agg(kind ORDER BY kind) FROM ledger_events WHERE kind ~ '^(decision|result|review)[.]'
                                                                   AND kind !~ 'viewed$')::text,
       (SELECT array_agg(kind ORDER BY kind) FROM outbox WHERE kind ~ '^result[.]')::text
"""


async def judged(api: Api) -> tuple[str | None, ...]:
    """Return all that decisions leave."""
    return tuple(await api.owner.fetchrow(JUDGED))


async def test_a_core_api_killed_at_any_table_of_a_decision_or_an_override_leaves_all_of_it_or_nothing_c1(
    rig: CoreRig,
) -> None:
    """The decision is that of two blind reviews: the second one's transaction holds all of it (C-2)."""
    made, attempt_id = await seated(rig, double_review=True)
    assert (await hand_in(rig, made, attempt_id)).status == 201
    session_id = await rig.api.owner.fetchval("SELECT id FROM proctor_sessions")
    assert (await review(rig.api, session_id, 4, "admin")).status == 200
    first = await judged(rig.api)

    def invalidate() -> "asyncio.Task[Answer]":
        return asyncio.create_task(review(rig.api, session_id, 4, "teacher"))

    decided, answered = await walk(rig, invalidate, ADVISORY, judged)
    void, again = await judged(rig.api), await invalidate()
    decision_id = await rig.api.owner.fetchval("SELECT id FROM proctor_decisions")
    overridden, restored = await walk(
        rig, lambda: asyncio.create_task(override(rig.api, decision_id, 2)), ADVISORY, judged
    )

    written = {"proctor_decisions", "decision_acts", "submission_results", "ledger_events", "outbox"}
    assert set(decided) >= written | {"blind_reviews", "pending_reviews", "review_claims"}
    assert set(overridden) >= written
    assert (answered.status, again.body, restored.status) == (200, answered.body, 200)
    reviews = '{"(1,4)","(2,4)"}'
    assert first == (None, None, '{"(1,4)"}', '{"(101,1)"}', None, "0", "{review.given}", None)
    assert void == (
        '{"(4,t)"}', '{"(agreed,4)"}', reviews, None, "{t}", "0",
        "{decision.finalised,result.voided,review.given,review.given}", "{result.voided}",
    )  # fmt: skip
    assert await judged(rig.api) == (
        '{"(2,t)"}', '{"(agreed,4)","(overridden,2)"}', reviews, None, "{f}", "0",
        "{decision.finalised,decision.overridden,result.restored,result.voided,review.given,review.given}",
        "{result.restored,result.voided}",
    )  # fmt: skip


async def test_a_core_api_killed_at_any_table_of_one_persons_decision_leaves_all_of_it_or_nothing_c1(
    rig: CoreRig,
) -> None:
    made, attempt_id = await seated(rig)
    assert (await hand_in(rig, made, attempt_id)).status == 201
    session_id = await rig.api.owner.fetchval("SELECT id FROM proctor_sessions")

    def invalidate() -> "asyncio.Task[Answer]":
        return asyncio.create_task(decide(rig.api, session_id, 4, "teacher", finalize=True))

    decided, answered = await walk(rig, invalidate, ADVISORY, judged)
    written = {"proctor_decisions", "decision_acts", "submission_results", "ledger_events", "outbox"}

    assert set(decided) >= written | {"pending_reviews", "review_claims"}
    assert answered.status in {200, 201}
    assert await judged(rig.api) == (
        '{"(4,t)"}', '{"(finalised,4)"}', None, None, "{t}", "0", "{decision.finalised,result.voided}",
        "{result.voided}",
    )  # fmt: skip


RESOLVED = """
SELECT (SELECT array_agg((state, acknowledged_by IS NOT NULL)) FROM claims)::text,
       (SELECT array_agg((number, outcome, led_to)) FROM resolutions)::text,
       (SELECT array_agg((act, status) ORDER BY number) FROM decision_acts)::text,
       (SELECT array_agg(is_void) FROM submission_results)::text,
       (SELECT array_agg(kind ORDER BY kind) FROM ledger_events
        WHERE kind ~ '^(claim[.]resolved|decision[.]o|result[.]r)')::text
"""


async def test_a_core_api_killed_at_any_table_of_a_resolution_and_its_override_leaves_all_of_it_or_nothing_m2(
    rig: CoreRig,
) -> None:
    made, attempt_id = await seated(rig)
    assert (await hand_in(rig, made, attempt_id)).status == 201
    session_id = await rig.api.owner.fetchval("SELECT id FROM proctor_sessions")
    assert (await decide(rig.api, session_id, 4, "teacher", finalize=True)).status == 200
    claim_id = await acknowledged(rig.api, attempt_id, subject="decision")
    changed = {
        "decision_id": await rig.api.owner.fetchval("SELECT id FROM proctor_decisions"),
        "new_status": 2,
    }

    async def left(api: Api) -> tuple[str | None, ...]:
        return tuple(await api.owner.fetchrow(RESOLVED))

    def resolve() -> "asyncio.Task[Answer]":
        return asyncio.create_task(
            handle(rig.api, claim_id, "resolve", "admin", outcome="upheld", decision=changed)
        )

    steps, answered = await walk(rig, resolve, rows_of("claims"), left)

    assert set(steps) >= {
        "resolutions", "claims", "proctor_decisions", "decision_acts", "submission_results", "ledger_events",
    }  # fmt: skip
    assert (answered.status, (await resolve()).status) == (200, 409)
    assert await left(rig.api) == (
        '{"(resolved,t)"}', '{"(1,upheld,decision)"}', '{"(finalised,4)","(overridden,2)"}', "{f}",
        "{claim.resolved,decision.overridden,result.restored}",
    )  # fmt: skip
