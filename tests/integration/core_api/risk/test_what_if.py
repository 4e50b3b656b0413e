"""A draft of rules, tried on past sessions (spec.md R-5, R-6)."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core_api import database as borrowing
from core_api.actors import Actor
from core_api.risk import what_if
from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.access import Scope
from kernel.events import EventType, Role
from kernel.postgres import open_pool
from kernel.settings import Settings
from pipeline.archive import archive_events
from tests.conftest import emptied, logins_on, new_database
from tests.integration.core_api.risk.test_rules import SAMPLE
from tests.kits.core import Answer, Api, Core, running_core, store_events
from tests.kits.ingest.waiting import until
from tests.kits.pipeline_child import fold_now

RULES = "/api/proctor/rules"
BEGIN = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)
SESSIONS_MAX = 12
TABS = [(EventType.TabSwitched, 2)]
EXITED = [(EventType.FullscreenExited, 2)]
LOST = [(EventType.NetworkDisconnected, 3)]
ENDED = """
WITH touched AS (INSERT INTO public.dirty_sessions (session_id) VALUES ($1)),
     waiting AS (INSERT INTO public.unarchived_sessions (session_id) VALUES ($1))
UPDATE public.proctor_sessions SET status = 2, started_at = $2, ended_at = $3, final_seq = $4 WHERE id = $1
"""
SILENCE = """
INSERT INTO public.heartbeat_gaps (session_id, started_at, revision, state, ended_at, class, missed, covered)
VALUES ($1, $2, 0, 'open', NULL, NULL, NULL, NULL), ($1, $2, 1, 'closed', $3, $4, 4, '{}')
"""
WAITING = """
INSERT INTO public.pending_reviews
SELECT id, attempt_id, exam_id, candidate_id, organisation_id, ended_at, 1 FROM public.proctor_sessions
WHERE id = ANY ($1)
"""
SCORES = """
SELECT session_id, risk_score::float8, peak_risk_score::float8, risk_level FROM reporting.session_risk
WHERE session_id = ANY ($1)
"""
KEPT = """
SELECT count(*), max(v.version) FROM public.risk_rule_versions v UNION ALL
SELECT count(*), max(id) FROM public.rule_sets UNION ALL SELECT count(*), max(id) FROM public.risk_snapshots
"""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("warehouse")


@pytest.fixture(scope="module")
def core(
    postgres: Postgres, template: dict[str, str], redis_server: Redis, warehouse: Path
) -> Iterator[Core]:
    with new_database(postgres) as url:
        logins = logins_on(url, template, emptied(redis_server))
        bounds = {"what_if_sessions_max": SESSIONS_MAX, "warehouse": str(warehouse)}
        with running_core(url, logins, **bounds) as running:
            yield running


@pytest.fixture
def pipeline(core: Core, warehouse: Path) -> Settings:
    return Settings(database_url=core.database_as("veritas_pipeline"), warehouse=str(warehouse))


async def over(
    api: Api, session_id: int, events: Sequence[tuple[EventType, int]], judged: str | None = None
) -> int:
    """Store a session's events, a second apart, and end it; those of a silence are no client's."""
    silent = BEGIN + timedelta(seconds=20)
    ours: dict[str, Any] = (
        {} if judged is None else {"effective_at": silent + timedelta(seconds=10), "client_at": None}
    )
    if events:
        await store_events(api, session_id, events, begin=BEGIN + timedelta(seconds=1), **ours)
    if judged is not None:
        await api.owner.execute(SILENCE, session_id, silent, silent + timedelta(seconds=60), judged)
    await api.owner.execute(ENDED, session_id, BEGIN, BEGIN + timedelta(seconds=90), len(events))
    return session_id


def admin_of(api: Api) -> Actor:
    return Actor(
        user_id=api.people["admin"].id,
        organisation_id=api.people["admin"].organisation_id,
        email="",
        role=Role.admin,
        scope=Scope.organisation,
    )


async def tried(api: Api, by: str = "admin", **body: Any) -> Answer:
    return await api.post(f"{RULES}/what-if", by, json=body)


async def result(api: Api, by: str = "admin", **body: Any) -> Any:
    answer = await tried(api, by, **body)
    assert answer.status == 200, answer.body
    return answer.body["data"]


def numbers(scores: dict[str, Any]) -> tuple[float, float, str]:
    return scores["riskScore"], scores["peakRiskScore"], scores["riskLevel"]


async def test_the_rules_that_sessions_keep_give_their_real_scores(core: Core, pipeline: Settings) -> None:
    """As a draft, too: with what was agreed for candidates, silences as they are judged, older versions."""
    async with core.school() as api:
        listed = (await api.get(RULES, "admin")).body["data"]
        first = [{"ruleId": each["id"], "version": each["version"]} for each in listed]
        seats = [each.session_id for each in api.seat(8)]
        early = [
            await over(api, seats[0], TABS * 7 + EXITED),
            await over(api, seats[1], EXITED * 2 + [(EventType.CopyAttempt, 2)] * 5),
            await over(api, seats[2], LOST, "unexplained"),
            await over(api, seats[3], LOST, "network"),
            await over(api, seats[4], [(EventType.DevToolsOpened, 3)] * 3 + TABS * 2),
            seats[5],
        ]
        exited = next(each for each in listed if each["eventTypeName"] == "FullscreenExited")
        for session_id, percent in ((seats[0], 0), (seats[1], 50)):
            path = f"/api/proctor/session/{session_id}/risk/adjustments"
            agreed = {"ruleId": exited["id"], "percent": percent, "reason": "Agreed."}
            assert (await api.post(path, "admin", json=agreed)).status == 201
        await over(api, seats[5], [])
        terms = {name: exited[name] for name in SAMPLE} | {"riskPoints": 80}
        assert (await api.call("PUT", f"{RULES}/{exited['id']}", "admin", json=terms)).status == 200
        late = await over(api, await api.start_session(), EXITED)
        fold_now(pipeline)
        archive_events(pipeline)
        await over(api, seats[6], TABS)
        before = await api.owner.fetch(KEPT)
        found = await result(api, versions=first, keepActiveRules=False, show="all")
        real = {row["session_id"]: tuple(row)[1:] for row in await api.owner.fetch(SCORES, [*early, late])}

        scores = {each["proctorSessionId"]: each for each in found["results"]}
        assert {each: numbers(scores[each]["before"]) for each in scores} == real
        assert {each: numbers(scores[each]["after"]) for each in early} == {
            each: real[each] for each in early
        }
        assert [real[each][1] for each in (*early, late)] == [20.0, 60.0, 20.0, 0.0, 100.0, 0.0, 80.0]
        assert (numbers(scores[late]["before"]), numbers(scores[late]["after"])) == (
            (80.0, 80.0, "Critical"), (30.0, 30.0, "Medium"),
        )  # fmt: skip
        assert (found["sessions"], found["notArchived"]) == (7, 1)  # and one is at work
        assert found["crossings"] == [{"before": "Critical", "after": "Medium", "sessions": 1}]
        assert await api.owner.fetch(KEPT) == before


async def test_a_draft_says_who_would_cross_and_what_each_rule_adds(core: Core, pipeline: Settings) -> None:
    async with core.school() as api:
        seats = [each.session_id for each in api.seat(4)]
        for session_id, events in zip(seats, (TABS * 3, TABS * 3 + EXITED, EXITED, TABS), strict=True):
            await over(api, session_id, events)
        listed = (await api.get(RULES, "admin")).body["data"]
        tab, exited = listed[0], listed[1]
        agreed = {"ruleId": tab["id"], "percent": 0, "reason": "Two screens."}
        path = f"/api/proctor/session/{seats[1]}/risk/adjustments"
        assert (await api.post(path, "admin", json=agreed)).status == 201
        fold_now(pipeline)
        archive_events(pipeline)
        stricter = SAMPLE | {"ruleId": tab["id"], "thresholdCount": 1, "riskPoints": 20}
        new = SAMPLE | {"nameEn": "Any exit", "eventType": 4, "thresholdCount": 1, "riskPoints": 25}
        gone = SAMPLE | {"ruleId": exited["id"], "isActive": False}
        found = await result(api, rules=[stricter, new, gone])

        assert found["bands"] == [
            {"riskLevel": "Low", "before": 2, "after": 1},
            {"riskLevel": "Medium", "before": 2, "after": 2},
            {"riskLevel": "High", "before": 0, "after": 1},
            {"riskLevel": "Critical", "before": 0, "after": 0},
        ]
        assert found["crossings"] == [{"before": "Low", "after": "High", "sessions": 1}]
        [crossed] = found["results"]
        assert (crossed["proctorSessionId"], crossed["examTitleEn"]) == (seats[0], "Algebra")
        assert [numbers(crossed[when]) for when in ("before", "after")] == [
            (10.0, 10.0, "Low"), (60.0, 60.0, "High"),
        ]  # fmt: skip
        assert crossed["after"]["triggeredRules"] == [
            {"ruleId": tab["id"], "ruleVersion": None, "draft": 0, "ruleName": SAMPLE["nameEn"],
             "riskPoints": 60.0, "triggerCount": 3},
        ]  # fmt: skip
        fired = {each["ruleName"]: (each["firedBefore"], each["firedAfter"]) for each in found["rules"]}
        assert (fired[SAMPLE["nameEn"]], fired["Any exit"]) == ((1, 2), (None, 2))
        assert "Fullscreen Exit" not in fired
        # Page by page, and each session once: also the exempt one, for whom the draft counts nothing.
        pages, cursor = [], None
        while True:
            answer = await tried(api, rules=[stricter, new, gone], show="changed", limit=2, cursor=cursor)
            pages += answer.body["data"]["results"]
            if (cursor := answer.body["paging"]["nextCursor"]) is None:
                break
            cursor = int(cursor)
        assert [(each["proctorSessionId"], each["after"]["peakRiskScore"]) for each in pages] == [
            (seats[0], 60.0), (seats[1], 25.0), (seats[2], 25.0), (seats[3], 20.0),
        ]  # fmt: skip
        some: dict[str, Any] = {"examIds": [str(api.exam_id)], "startedFrom": BEGIN.isoformat()}
        assert (await result(api, **some))["sessions"] == 4
        assert (await result(api, startedBefore=BEGIN.isoformat()))["sessions"] == 0


async def test_a_draft_that_cannot_be_tried_is_refused_with_its_place(core: Core) -> None:
    """Bounds are told before anything is read of the archive; another organisation's rules are nobody's."""
    async with core.school() as api:
        rule = (await api.get(RULES, "admin")).body["data"][0]["id"]
        foreign = (await api.get(RULES, "boss")).body["data"][0]["id"]
        for body, path in (
            ({"rules": [SAMPLE, SAMPLE | {"eventType": 9_999}]}, "rules[1].eventType"),
            ({"rules": [SAMPLE | {"riskPoints": 0.005}]}, "rules[0].riskPoints"),
            ({"rules": [SAMPLE | {"ruleId": foreign}]}, "rules[0].ruleId"),
            ({"rules": [SAMPLE | {"ruleId": rule}] * 2}, "rules[0].ruleId"),
            ({"versions": [{"ruleId": rule, "version": 2}]}, "versions[0]"),
            ({"versions": [{"ruleId": foreign, "version": 1}]}, "versions[0]"),
            ({"rules": [SAMPLE] * 94}, "rules"),
        ):
            refused = await tried(api, **body)
            assert (refused.status, refused.body["errors"][0]["path"]) == (422, path), refused.body
        for each in api.seat(SESSIONS_MAX + 1):
            await over(api, each.session_id, [])
        refused = await tried(api)
        assert refused.body["errors"] == [
            {"path": "examIds", "message": "More than 12 sessions: name fewer exams, or a shorter time"}
        ]
        assert (await tried(api, startedBefore=BEGIN.isoformat())).status == 200
        assert (await result(api, by="boss"))["sessions"] == 0


async def test_a_draft_whose_client_has_left_is_tried_no_further(core: Core) -> None:
    """The thread is busy all the while, so that only the client's leaving can end what waits for it."""
    async with core.school() as api:
        token = {"Authorization": f"Bearer {api.token('admin')}"}
        done = threading.Event()
        busy = what_if._WORKER.submit(done.wait)
        try:
            asking = asyncio.create_task(
                api.http.post(f"{api.url}{RULES}/what-if", headers=token, json={}).__aenter__()
            )
            await until(what_if._AT_WORK.locked, "the draft to be tried")
            asking.cancel()
            await until(lambda: not what_if._AT_WORK.locked(), "the draft to be given up")
        finally:
            done.set()
        assert await asyncio.wrap_future(busy)
        assert (await tried(api)).status == 200


async def test_a_draft_that_is_given_up_at_work_ends_at_its_next_piece(
    core: Core, warehouse: Path, pipeline: Settings
) -> None:
    settings = Settings(database_url=core.database_as("veritas_core"), warehouse=str(warehouse))
    async with core.school() as api, await open_pool(settings) as pool:
        for each in api.seat(2):
            await over(api, each.session_id, TABS)
        archive_events(pipeline)
        async with borrowing.connection(pool, admin_of(api)) as conn:
            world = await what_if._read(conn, admin_of(api), what_if.WhatIf(), settings)
        given_up = threading.Event()
        whole = what_if._compared(settings, world, given_up)
        given_up.set()

        assert (len(whole), what_if._compared(settings, world, given_up)) == (2, [])


async def test_sessions_that_the_asker_is_still_to_review_blind_are_left_out_c2(core: Core) -> None:
    async with core.school() as api:
        reviewed, blinded = [await over(api, each.session_id, []) for each in api.seat(2)]
        await api.owner.execute("UPDATE exams SET double_review = true WHERE id = $1", api.exam_id)
        await api.owner.execute(WAITING, [reviewed, blinded])
        await api.owner.execute(
            "UPDATE public.pending_reviews SET reviewed_by = ARRAY[$2::uuid] WHERE session_id = $1",
            reviewed, api.people["admin"].id,
        )  # fmt: skip

        found = await result(api, show="all")
        assert [each["proctorSessionId"] for each in found["results"]] == [reviewed]


async def test_whoever_stops_waiting_for_a_draft_leaves_its_place_to_the_next(core: Core) -> None:
    """The thread is busy, so that the first draft has not begun when it is given up."""
    settings = Settings(database_url=core.database_as("veritas_core"))
    async with core.school() as api, await open_pool(settings) as pool:
        admin = admin_of(api)

        def trying() -> "asyncio.Task[Any]":
            tried_so = what_if.try_draft(pool, admin, what_if.WhatIf(), settings=settings)
            return asyncio.create_task(tried_so)

        done = threading.Event()
        busy = what_if._WORKER.submit(done.wait)
        given_up = trying()
        try:
            await until(what_if._AT_WORK.locked, "the draft to be tried")
            given_up.cancel()
            await asyncio.wait([given_up])
        finally:
            done.set()
        assert await asyncio.wrap_future(busy)

        found, _ = await trying()
        assert found.sessions == 0
