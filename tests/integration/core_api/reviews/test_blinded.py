"""
Who is still to review a session blind sees nothing of what was said or made of it, wherever (spec.md C-2).

One session's numbers, and the first review of it, are such as stand nowhere else. They are searched for in
every reply, every table and every stream: not there before the review, and there after it.
"""

import re
from typing import Any

import msgspec

from core_api.app import routes
from core_api.exports.tables import Exported
from kernel.access import ACCESS, Scope
from kernel.events import EventType
from kernel.postgres import open_pool
from kernel.settings import load
from tests.integration.core_api.proctoring.test_live_feed import streaming
from tests.integration.core_api.reviews.test_blind import OTHERS, doubly_reviewed, standing
from tests.integration.core_api.reviews.test_queue import MEET, SCORE
from tests.kits.access_matrix_world import World
from tests.kits.authoring import save_all_right, start, submit
from tests.kits.core import Answer, Api, Core, store_events
from tests.kits.reporting import alerting, put_row
from tests.kits.reviews import Ended, decide, end_attempt, review
from tests.kits.row_security import Wall

PEAK, INTEGRITY = 61.37, 0.4137
NUMBERS = re.compile(r"(?<!\d)(61\.37|0\.4137)(?!\d)|HIGH_RISK|needs_review|priority_review")
MARK = "Somebody prompts from behind the door."
NOTES = "Seat 12, camera 3."
# What a path may name that has nothing to do with a session.
APART = {
    "passage_id", "question_id", "evaluation_id", "assignment_id", "group_id", "rule_id",
    "observation_id", "event_id", "evidence_id", "type", "remediation_id", "claim_id", "draft_id",
    "subject_id", "programme_id", "enrolment_id",
}  # fmt: skip
# Streams of what the live list holds, which never end.
STREAMED = re.compile(r"/(stream|socket)$|^/hubs/")
SNAPSHOT = (
    "INSERT INTO public.risk_snapshots (session_id, rule_set_id, as_of, risk_score, peak_risk_score, cause,"
    " trace, through_seq, judgements, adjustment_id) VALUES ($1, 1, now(), $2, $2, 'events', '[]', 3, 0, 0)"
)
SEEN = (
    "INSERT INTO public.alert_acknowledgements SELECT a.id, e.id, e.organisation_id, '{HIGH_RISK}', 'Look.',"
    " $2, now() FROM public.exam_attempts a JOIN public.exams e ON e.id = a.exam_id WHERE a.id = $1"
)
RISEN = (
    "UPDATE reporting.session_risk SET risk_score = 77, peak_risk_score = 77, risk_level = 'Critical'"
    " WHERE session_id = $1"
)
# Where the numbers stand, in what lists more than one session.
LISTS = (
    "sessions?riskLevel=High", "sessions?sort=-riskScore", "sessions/exam/{exam}?riskLevel=High",
    "live/exam/{exam}?status=2", "live/exam/{exam}?status=2&level=High",
    "live/exam/{exam}?status=2&sort=-riskScore", "pending-review?limit=1", "pending-review?level=High",
)  # fmt: skip
SCOPES = {"admin": Scope.organisation}
READERS = ("reviewer", *OTHERS)


async def measured(api: Api, ended: Ended) -> None:
    """Let a session have its numbers, everywhere where one has any."""
    student = api.people["student"]
    about = alerting(
        ended.attempt_id, ended.exam_id, str(student.id),
        {"code": "HIGH_RISK", "rank": 2, "value": PEAK, "threshold": 50, "n": 1, "text": f"Peak {PEAK}."},
    )  # fmt: skip
    await api.owner.execute(SCORE, ended.session_id, PEAK, "High")
    await api.owner.execute(SNAPSHOT, ended.session_id, PEAK)
    await api.owner.execute(MEET, [ended.session_id])
    await api.owner.execute(SEEN, ended.attempt_id, api.people["teacher"].id)
    await put_row(
        api, "behavior_analysis", **about, peak_risk_score=PEAK, risk_level="High", integrity_score=INTEGRITY,
        integrity_band="needs_review", recommended_action="priority_review",
    )  # fmt: skip
    whose = {"student_id": str(student.id), "organisation_id": str(student.organisation_id)}
    where = {"exam_id": ended.exam_id, "organisation_id": whose["organisation_id"]}
    await put_row(api, "response_times", **where, attempt_id=ended.attempt_id, times_p=INTEGRITY)
    await store_events(api, ended.session_id, [(EventType.TabSwitched, 2)])
    whole = where | {"mode": 1, "cells": [7]}
    seen = {"session_id": ended.session_id, "attempt_id": ended.attempt_id, "of_events": [7]}
    await put_row(api, "session_cells", **whole, **seen)
    told = {
        "comparable": [9],
        "scores": [INTEGRITY],
        "scores_outside": [INTEGRITY],
        "texts": [f"Peak {PEAK}."],
    }
    await put_row(api, "event_norms", **whole, **told)
    await put_row(api, "student_risk_summary", **whose, cumulative_integrity=INTEGRITY)
    await put_row(api, "performance_metrics", **whose, avg_integrity_score=INTEGRITY)
    await put_row(api, "exam_performance_summary", **where, avg_integrity=INTEGRITY, reasons=[])


async def everything(api: Api, ended: Ended, by: str) -> list[tuple[str, Any]]:
    """Return all that somebody is answered who asks for everything that has to do with a session."""
    known = {
        **dict.fromkeys(("id", "session_id"), str(ended.session_id)),
        **dict.fromkeys(("examId", "exam_id"), ended.exam_id),
        **dict.fromkeys(("attemptId", "attempt_id"), ended.attempt_id),
        **dict.fromkeys(("user_id", "student_id"), str(api.people["student"].id)),
        "submission_id": ended.submission_id,
    }
    answers = []
    for route in routes():
        named = set(re.findall(r"\{(\w+)\}", route.path))
        is_theirs = route.action is not None and api.people[by].role in ACCESS[route.action]
        if route.method != "GET" or not is_theirs or STREAMED.search(route.path) or named & APART:
            continue
        path = route.path.format_map(known)
        answers.append((path, await api.get(f"/api{path}", by)))
    session = f"/api/proctor/session/{ended.session_id}"
    answers.append((f"{session}/claim", await api.post(f"{session}/claim", by)))
    answers.append((f"{session}/claim", await api.call("DELETE", f"{session}/claim", by)))
    body = {"examId": ended.exam_id}
    answers.append(("next", await api.post("/api/proctor/pending-review/next", by, json=body)))
    answers.append((f"{session}/claim", await api.call("DELETE", f"{session}/claim", by)))
    answers.append(("decision", await decide(api, ended.session_id, 2, by)))
    answers.append(("calculate", await api.post(f"{session}/calculate-risk", by)))
    assert {"500", "422"}.isdisjoint(str(answer.status) for _, answer in answers)
    return answers


def told(answers: list[tuple[str, Answer]]) -> set[str]:
    """Return where something of the first review stands: its words, or its status under any such name."""
    return {
        path
        for path, answer in answers
        if MARK in str(answer.body)
        or NOTES in str(answer.body)
        or "Invalidated" in str(answer.body)
        or any(value == 4 for value in statuses(answer.body))
    }


def statuses(body: Any, name: str = "") -> list[Any]:
    if isinstance(body, dict):
        return [found for key, value in body.items() for found in statuses(value, key)]
    if isinstance(body, list):
        return [found for value in body for found in statuses(value, name)]
    return [body] if "status" in name.lower() else []


async def asked(api: Api, ended: Ended, by: str) -> list[tuple[str, Answer]]:
    """Return all that somebody is answered about a session, by every route and in every list."""
    answers = await everything(api, ended, by)
    for each in LISTS:
        path = f"/api/proctor/{each.format(exam=ended.exam_id)}"
        answers.append((each, await api.get(path, by)))
    for dataset in Exported:
        path = f"/api/teacher/exams/{ended.exam_id}/export/csv?dataset={dataset}"
        answers.append((path, await api.get(path, by)))
    return answers


def telling(answers: list[tuple[str, Answer]]) -> set[str]:
    """Return where a number of the session stands."""
    return {path for path, answer in answers if NUMBERS.search(str(answer.body)) or has_level(answer.body)}


def has_level(body: Any) -> bool:
    """Say whether a session, or an attempt, has a level somewhere in a reply, or something is recommended."""
    match body:
        case dict():
            told = {"riskLevel", "risk_level", "recommendation"} & {name for name in body if body[name]}
            return bool(told) or any(has_level(each) for each in body.values())
        case list():
            return any(has_level(each) for each in body)
    return False


async def in_tables(wall: Wall, by: str) -> set[str]:
    """Return the tables in which somebody would find a number of the session, without any filter."""
    seen = await wall.seen_by(by, SCOPES.get(by, Scope.granted))
    return {name for name, rows in seen.items() if NUMBERS.search("\n".join(rows))}


async def test_no_reply_tells_who_is_still_to_review_what_was_found_or_computed_c2(core: Core) -> None:
    """Every route is asked, by whoever might review or decide; once it is final all of it is found."""
    async with core.school() as api:
        ended = await end_attempt(api, await doubly_reviewed(api))
        await measured(api, ended)
        session = f"/proctor/session/{ended.session_id}"
        unreviewed = {by: await asked(api, ended, by) for by in ("reviewer", "teacher")}
        refused = [
            await api.call(method, f"/api{session}/{what}", by)
            for by in READERS
            for method, what in (("POST", "calculate-risk"), ("GET", "risk/snapshots"))
        ]
        fired = [await standing(api)]
        given = await review(api, ended.session_id, 4, decisionReasonEn=MARK, internalNotes=NOTES)
        assert given.status == 200, given.body
        blind = {by: await asked(api, ended, by) for by in OTHERS}
        own = telling(await asked(api, ended, "reviewer"))
        await review(api, ended.session_id, 4, "assistant")
        decided = {by: await asked(api, ended, by) for by in ("colleague", "admin")}
        fired.append(await standing(api))

        for by, answers in (unreviewed | blind).items():
            assert telling(answers) == told(answers) - {"/proctor/review-agreement"} == set(), by
        agreement = dict(blind["admin"])["/proctor/review-agreement"].body["data"]
        assert agreement["pairs"] == 0
        assert {(each.status, each.body["code"]) for each in refused} == {(403, "reviewed_blind")}
        everywhere = {
            session, f"{session}/risk/snapshots", f"/proctor/session/attempt/{ended.attempt_id}",
            f"/proctor/sessions/exam/{ended.exam_id}", "/proctor/sessions",
            f"/proctor/dashboard/exam/{ended.exam_id}", *LISTS[:6],
        }  # fmt: skip
        assert everywhere - own == set(), "their own review is in"
        for by, answers in decided.items():
            ok = {path for path, answer in answers if answer.status == 200}
            assert everywhere - telling(answers) == set(), by
            assert {f"{session}/reviews", f"{session}/decision", session} <= told(answers) & ok, by
            assert len(ok) >= 12, sorted(ok)
        exam = f"/teacher/exams/{ended.exam_id}"
        exported = f"/api{exam}/export/csv?dataset=behavior_analysis"
        taught = {"/teacher/alerts", "/teacher/dashboard", f"{exam}/analytics", exported}
        assert taught - telling(decided["admin"]) == set()
        assert fired == [(0, 0, 0, 0), (1, 1, 0, 0)]


async def test_no_table_tells_who_is_still_to_review_what_the_numbers_say_c2(core: Core) -> None:
    """Each is read whole: a statement, a view or a function without a filter shows no more."""
    settings = load({}, database_url=core.database_as("veritas_core"), pool_connections_max=1)
    async with core.school() as api, await open_pool(settings) as pool:
        ended = await end_attempt(api, await doubly_reviewed(api))
        await measured(api, ended)
        wall = Wall(World(api=api, parameters={}), pool)
        unreviewed = [await in_tables(wall, by) for by in ("reviewer", "teacher", "admin")]
        await review(api, ended.session_id, 2)
        half = [await in_tables(wall, by) for by in ("reviewer", "admin")]
        await review(api, ended.session_id, 3, "teacher")
        whole = await in_tables(wall, "admin")
        fired = "SELECT count(*) FROM fired_rules(ARRAY[$1::bigint])"
        async with wall.asking("reviewer", Scope.granted) as conn:
            met = await conn.fetchval(fired, ended.session_id)

        where = {
            "session_overview", "live_sessions", "risk_snapshots", "session_risk", "behavior_analysis",
            "alert_acknowledgements", "analysed_attempts", "response_times", "seen_monitoring_events",
            "exam_performance_summary", "shown_exam_performance",
        }  # fmt: skip
        assert unreviewed == [set(), set(), set()]
        assert half == [where, set()]
        assert whole == where | {"pending_reviews", "student_risk_summary", "performance_metrics"}
        assert met == 1


async def test_an_exam_that_begins_to_be_reviewed_blind_hides_what_it_has_shown_c2(core: Core) -> None:
    async with core.school() as api:
        made = await doubly_reviewed(api)
        exam = f"/api/teacher/exams/{made.exam_id}"
        ended = await end_attempt(api, made)
        await measured(api, ended)
        other = await end_attempt(api, made, "other_student")
        found = []
        for doubled in (False, True):
            answer = await api.call("PATCH", exam, "teacher", json={"double_review": doubled})
            assert answer.status == 200, answer.body
            page = await api.get("/api/proctor/pending-review", "reviewer", params={"limit": 1})
            rows = await api.owner.fetch(
                "SELECT rank FROM public.pending_reviews WHERE exam_id = $1 ORDER BY session_id", made.exam_id
            )
            found.append((page.body["paging"]["nextCursor"], [row["rank"] for row in rows]))

        assert found == [
            (f"61.37_{ended.session_id}", [PEAK, -1]), (f"101_{ended.session_id}", [101, 101]),
        ]  # fmt: skip
        assert other.session_id > ended.session_id


async def test_once_its_session_has_ended_no_stream_tells_a_number_that_is_reviewed_blind_c2(
    core: Core,
) -> None:
    async with core.school() as school:
        made = await doubly_reviewed(school)
        api = msgspec.structs.replace(school, exam_id=made.exam_id)
        attempt_id = await start(api, made)
        session_id = await api.start_session(attempt_id=attempt_id)
        await save_all_right(api, made, attempt_id)
        await store_events(api, session_id, [(EventType.TabSwitched, 2)])
        async with streaming(api, "reviewer") as told:
            await told.next("snapshot")
            await api.owner.execute(SCORE, session_id, PEAK, "High")
            _, running_id, running = await told.next("delta")
            assert (await submit(api, attempt_id)).status == 201
            over = [(await told.next("delta"))[2]]
            await api.owner.execute(RISEN, session_id)
            over.append((await told.next("delta"))[2])
            since = {"Last-Event-ID": running_id}
            async with streaming(api, "reviewer", headers=since) as again:
                over.append((await again.next("delta"))[2])
            for by, status in (("reviewer", 2), ("teacher", 3)):
                assert (await review(api, session_id, status, by)).status == 200
            async with streaming(api, "reviewer", headers=since) as again:
                over.append((await again.next("delta"))[2])  # else it would tell that the other differs
            assert (await decide(api, session_id, 2, "colleague", finalize=True)).status == 200
            decided: Any = {"sessions": []}
            while not [each for each in decided["sessions"] if each["riskScore"]]:
                _, _, decided = await told.next("delta")

        assert [each["riskScore"] for each in running["sessions"]] == [PEAK]
        assert [each["cause"] for each in running["alerts"]] == ["band"]
        for delta in over:
            assert [(each["status"], each["riskScore"], each["peakRiskScore"], each["riskLevel"])
                    for each in delta["sessions"]] == [(2, None, None, None)]  # fmt: skip
            assert delta["alerts"] == []
        assert [each["riskLevel"] for each in decided["sessions"]] == ["Critical"]
