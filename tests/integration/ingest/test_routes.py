"""
The four routes of ingest with the shapes of both documents, on real servers (spec.md I-1, decisions 3 to 7).
"""

import itertools
from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from kernel.events import Role, event_id
from tests.kits.ingest.api import Api, body_for, keystroke, stamp
from tests.kits.ingest.station import listening
from tests.kits.ingest.waiting import until

SCORED = (
    "INSERT INTO reporting.session_risk (session_id, attempt_id, exam_id, organisation_id, rule_set_id,"
    " risk_score, peak_risk_score, risk_level, as_of) SELECT id, attempt_id, exam_id, organisation_id,"
    " rule_set_id, 61.37, 61.37, 'High', now() FROM proctor_sessions WHERE id = %s"
)


async def test_log_single_event(api: Api) -> None:
    """proctor-module.txt, testing checklist: "Log single event"; its sample 2 (I-1, decision 7)."""
    seat = api.world.seat()
    metadata = '{"tabCount": 3, "windowTitle": "Google Search"}'
    before = datetime.now(UTC)

    answer = await api.event(seat, eventType=2, severity=2, metadataJson=metadata, clientTimestamp=stamp())

    assert answer.status == 202
    occurred = answer.body["data"].pop("occurredAt")
    assert answer.body["success"] is True
    assert answer.body["data"] == {
        "id": event_id(seat.session_id, 1),
        "proctorSessionId": seat.session_id,
        "eventType": 2,
        "eventTypeName": "TabSwitched",
        "severity": 2,
        "severityLabel": "Medium",
        "isViolation": True,
        "metadataJson": metadata,
        "sequenceNumber": 1,
    }
    assert answer.body["data"]["id"] < 2**53
    assert abs((datetime.fromisoformat(occurred) - before).total_seconds()) < 5
    assert answer.ack["sequenceFrom"] == answer.ack["sequenceThrough"] == 1
    assert answer.ack["duplicate"] is False


async def test_every_column_of_an_event_is_stored_as_it_was_sent(api: Api) -> None:
    """I-1, I-6: server time beside client time; the payload as JSON."""
    seat = api.world.seat()
    sent = stamp()
    answer = await api.event(
        seat,
        eventType="CopyAttempt",
        severity=3,
        metadataJson='{"text": "\\u0633\\ud83d\\ude00"}',
        clientTimestamp=sent,
        clientInstance="tab",
        clientSequence=1,
    )

    (row,) = await api.stored(seat, 1)

    assert (row["seq"], row["event_type"], row["severity"], row["is_violation"]) == (1, 5, 3, True)
    assert row["payload"] == {"text": "س😀"}
    assert row["client_at"] == datetime.fromisoformat(sent)
    assert row["occurred_at"] == datetime.fromisoformat(answer.body["data"]["occurredAt"])
    assert (row["client_seq"], row["is_late"], row["event_name"]) == (1, False, None)


async def test_bulk_log_events(api: Api) -> None:
    """proctor-module.txt, testing checklist: "Bulk log events"; its sample 3 (I-1)."""
    seat = api.world.seat()
    events = [
        {"eventType": 3, "severity": 1, "metadataJson": '{"duration": 2000}', "clientTimestamp": stamp()},
        {"eventType": 5, "severity": 3, "metadataJson": '{"text": "..."}', "clientTimestamp": stamp()},
    ]

    answer = await api.bulk(seat, events)

    assert answer.status == 202
    assert {name: answer.body[name] for name in ("success", "data", "message")} == {
        "success": True,
        "data": 2,
        "message": "2 events logged",
    }
    assert (answer.ack["sequenceFrom"], answer.ack["sequenceThrough"]) == (1, 2)
    assert [row["event_type"] for row in await api.stored(seat, 2)] == [3, 5]


async def test_process_heartbeat_without_numbers_for_a_candidate(api: Api) -> None:
    """proctor-module.txt, testing checklist: "Process heartbeat"; its sample 4, no numbers (decision 6)."""
    seat = api.world.seat()

    answer = await api.heartbeat(seat, clientTimestamp=stamp(), metadataJson='{"memoryUsage": 256}')

    assert answer.status == 202
    assert datetime.fromisoformat(answer.body["data"].pop("serverTime")).tzinfo is not None
    assert answer.body["data"] == {
        "success": True,
        "currentRiskScore": None,
        "totalViolations": None,
        "hasWarning": False,
        "warningMessage": None,
    }
    (row,) = await api.stored(seat, 1)
    assert (row["event_type"], row["payload"]) == (1, {"memoryUsage": 256})


async def replies(api: Api) -> dict[str, Any]:
    """Return every member that a candidate is answered with by each route, and a service by a heartbeat."""
    seat = api.world.seat()
    api.world.run(SCORED, seat.session_id)
    service = api.world.token(Role.service)
    answers = {
        "event": await api.event(seat, eventType=2, severity=3),
        "bulk": await api.bulk(seat, [keystroke()]),
        "heartbeat": await api.heartbeat(seat),
        "monitor": await api.post("/api/monitor/events", body_for("monitor/events", seat), seat.token),
        "service": await api.post("/api/proctor/heartbeat", body_for("heartbeat", seat), service),
    }
    assert {each.status for each in answers.values()} == {202}, answers
    return {path: value for name, each in answers.items() for path, value in leaves(each.body, name)}


def leaves(body: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(body, dict):
        for name, each in body.items():
            yield from leaves(each, f"{path}.{name}")
    else:
        yield path, body


async def test_a_deployment_may_show_candidates_two_numbers_and_nothing_else_decision_6(api: Api) -> None:
    """The same is asked of two tiers over one stream; one of them shows the numbers."""
    shows = msgspec.structs.replace(api.at.settings, show_numbers_to_candidates=True)
    with listening(shows) as (url, part, there):
        await until(lambda: there(part.ready()) is None, "the second tier to admit")
        other = copy(api.at)
        other.url = url
        hidden, shown = await replies(api), await replies(Api(other, api.http))

    assert hidden.keys() == shown.keys()
    told = {path: value for path, value in shown.items() if value is not None and hidden[path] is None}
    assert told == {"heartbeat.data.currentRiskScore": 61.37, "heartbeat.data.totalViolations": 1}
    scored = [path for found in (hidden, shown) for path, each in found.items() if "61.37" in str(each)]
    assert scored == ["heartbeat.data.currentRiskScore"]


@pytest.mark.parametrize("path", ["/monitor/events", "/api/monitor/events"])
async def test_a_monitoring_module_posts_one_event_by_attempt(api: Api, path: str) -> None:
    """I-1, decision 3: veritas-architecture.txt, with and without the prefix."""
    seat = api.world.seat()
    body = {
        "attempt_id": str(seat.attempt_id),
        "event_type": "eye_movement",
        "severity": "warning",
        "data": {"x": 640, "y": 480, "confidence": 0.95, "gaze_point": "center"},
    }

    answer = await api.post(path, body, api.world.token(Role.service))

    assert answer.status == 202
    assert answer.body["status"] == "recorded"
    assert answer.body["id"] == str(event_id(seat.session_id, 1))
    (row,) = await api.stored(seat, 1)
    assert (row["event_type"], row["severity"]) == (100, 2)
    assert row["payload"] == body["data"]


async def test_a_list_of_many_attempts_is_all_or_nothing_for_each_of_them(api: Api) -> None:
    """I-1, I-3: a result for each attempt, and what is wrong with one does not touch another."""
    first, second, third = api.world.seat(), api.world.seat(), api.world.seat(org=api.world.elsewhere)

    def one(seat_id: UUID, kind: str = "keystroke") -> dict[str, object]:
        return {"attempt_id": str(seat_id), "event_type": kind, "data": [1]}

    answer = await api.post(
        "/api/monitor/events",
        [
            one(first.attempt_id),
            one(second.attempt_id),
            one(first.attempt_id),
            one(second.attempt_id, "No Such Type"),
            one(third.attempt_id),
        ],
        api.world.token(Role.service),
    )

    assert answer.status == 202
    good, bad, foreign = answer.body["results"]
    assert answer.body["recorded"] == 2
    assert (good["attempt_id"], good["status"]) == (str(first.attempt_id), "recorded")
    assert good["ids"] == [str(event_id(first.session_id, 1)), str(event_id(first.session_id, 2))]
    assert (bad["attempt_id"], bad["status"], bad["code"]) == (
        str(second.attempt_id),
        "refused",
        "invalid_input",
    )
    assert [fault["path"] for fault in bad["errors"]] == ["[3].event_type"]
    assert (foreign["status"], foreign["code"]) == ("refused", "not_found")
    assert len(await api.stored(first, 2)) == 2
    assert api.world.sequences(second.session_id) == []


async def test_an_attempt_without_a_session_gets_a_soft_one(api: Api) -> None:
    """I-1: a module may report before the candidate's browser has opened a session."""
    attempt, user = api.world.attempt()
    body = {"attempt_id": str(attempt), "event_type": "keystroke"}

    answers = [await api.post("/api/monitor/events", body, api.world.token(Role.service)) for _ in range(2)]

    assert [answer.status for answer in answers] == [202, 202]
    (session,) = api.world.rows("SELECT * FROM proctor_sessions WHERE attempt_id = %s", attempt)
    assert (session["mode"], session["status"], session["candidate_id"]) == (1, 1, user)


@pytest.mark.parametrize(("demanded", "status", "modes"), [(2, 202, [2]), (1, 202, [1]), (0, 404, [])])
async def test_a_session_that_a_module_opens_is_as_strict_as_the_attempts_policy(
    api: Api, demanded: int, status: int, modes: list[int]
) -> None:
    """E-3: and where nothing may be gathered about a candidate, nothing is."""
    attempt, candidate = api.world.attempt()
    api.world.run(
        "UPDATE exam_attempts SET policy = jsonb_build_object('monitoring_mode', %s::integer) WHERE id = %s",
        *(demanded, attempt),
    )
    body = {"attempt_id": str(attempt), "event_type": "keystroke"}
    senders = [api.world.token(Role.service), api.world.token(Role.student, user=candidate)]

    answers = [await api.post("/api/monitor/events", body, token) for token in senders]

    assert [answer.status for answer in answers] == [status] * 2
    opened = api.world.rows("SELECT mode FROM proctor_sessions WHERE attempt_id = %s", attempt)
    assert [row["mode"] for row in opened] == modes


async def test_nobody_opens_a_session_for_an_attempt_that_is_not_theirs(api: Api) -> None:
    """A-4, I-4: another organisation's service and another candidate get 404, and nothing is made."""
    attempt, user = api.world.attempt()
    ended, _ = api.world.attempt(status="completed")
    stranger = api.world.token(Role.service, org=api.world.elsewhere)
    classmate = api.world.token(Role.student)

    for token, which in ((stranger, attempt), (classmate, attempt), (api.world.token(Role.service), ended)):
        answer = await api.post(
            "/monitor/events", {"attempt_id": str(which), "event_type": "keystroke"}, token
        )
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert api.world.rows("SELECT FROM proctor_sessions WHERE attempt_id IN (%s, %s)", attempt, ended) == []
    own = api.world.token(Role.student, user=user)
    answer = await api.post("/monitor/events", {"attempt_id": str(attempt), "event_type": "keystroke"}, own)
    assert answer.status == 202


async def test_a_modules_events_follow_the_attempt_into_its_next_session(api: Api) -> None:
    """I-1: the session that was known has ended, the attempt's other one runs."""
    seat, service = api.world.seat(), api.world.token(Role.service)
    body = {"attempt_id": str(seat.attempt_id), "event_type": "keystroke"}
    assert (await api.post("/monitor/events", body, service)).status == 202
    api.world.end(seat.session_id)
    second = api.world.session(seat.attempt_id, mode=2)

    async def finished() -> None:
        def final() -> bool:
            found = "SELECT final_seq FROM proctor_sessions WHERE id = %s"
            return api.world.one(found, seat.session_id) is not None

        await until(final, "the end to be in the stream")

    await finished()
    answer = await api.post("/monitor/events", body, service)

    assert answer.status == 202
    assert answer.body["id"] == str(event_id(second, 1))


async def test_the_documents_own_browser_class_works_unchanged(api: Api) -> None:
    """U-3, I-1: the requests that ProctorClient of proctor-module.txt makes, to the letter."""
    seat = api.world.seat()
    headers = {"Authorization": f"Bearer {seat.token}"}

    async def log_event(event_type: str, severity: int, metadata: str = "{}") -> int:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")  # toISOString()
        text = (
            f'{{"proctorSessionId":{seat.session_id},"eventType":"{event_type}","severity":{severity},'
            f'"metadataJson":{msgspec.json.encode(metadata).decode()},"clientTimestamp":"{now}"}}'
        )
        answer = await api.post("/api/proctor/event", text.encode(), **headers)
        assert answer.status == 202, answer.body
        sequence: int = answer.body["data"]["sequenceNumber"]
        return sequence

    async def send_heartbeat() -> dict[str, object]:
        text = f'{{"proctorSessionId":{seat.session_id},"clientTimestamp":"{stamp()}"}}'
        result = (await api.post("/api/proctor/heartbeat", text.encode(), **headers)).body
        found: dict[str, object] = result["data"]
        return found

    for kind, severity in (("CopyAttempt", 3), ("PasteAttempt", 3), ("WindowBlurred", 1)):
        await log_event(kind, severity)
    for _ in range(4):
        await log_event("CopyAttempt", 3, '{"length":12}')
    beat = await send_heartbeat()

    assert (beat["hasWarning"], beat["warningMessage"]) == (True, "Please stay focused on your exam.")
    assert [row["event_type"] for row in await api.stored(seat, 8)] == [5, 6, 3, 5, 5, 5, 5, 1]


@pytest.mark.parametrize(
    ("kind", "severity", "stored"),
    [
        (2, 0, (2, 0, None)),
        ("TabSwitched", "normal", (2, 0, None)),
        ("tab_switched", "warning", (2, 2, None)),
        ("eye_movement", "critical", (100, 4, None)),
        ("mouse_left_room", "Terminal", (0, 5, "mouse_left_room")),
        ("DevToolsOpened", 5, (8, 5, None)),
    ],
)
async def test_types_and_severities_come_by_number_or_by_name(
    api: Api, kind: int | str, severity: int | str, stored: tuple[int, int, str | None]
) -> None:
    """Decision 5."""
    seat = api.world.seat()
    answer = await api.event(seat, eventType=kind, severity=severity)

    (row,) = await api.stored(seat, 1)

    assert (row["event_type"], row["severity"], row["event_name"]) == stored
    assert answer.body["data"]["eventTypeName"] == (stored[2] or answer.body["data"]["eventTypeName"])


async def test_every_reply_carries_the_load(api: Api) -> None:
    """I-5: on success, on refusal, on health."""
    seat = api.world.seat()

    for answer in (
        await api.event(seat),
        await api.post("/api/proctor/event", b"{", seat.token),
        await api.post("/api/proctor/event", {}),
        await api.get("/readyz"),
    ):
        assert answer.headers["X-Ingest-Load"] in {str(load) for load in range(11)}


async def test_stored_through_rises_to_the_end_once_everything_is_stored(api: Api) -> None:
    """I-2, decision 7: what a careful client waits for."""
    seat = api.world.seat()
    await api.bulk(seat, [keystroke() for _ in range(40)])
    await api.stored(seat, 40)

    answer = await api.heartbeat(seat)

    assert 40 <= answer.ack["storedThrough"] <= answer.ack["sequenceThrough"] == 41


async def test_a_batch_leaves_a_dirty_row_for_each_session_it_touched(api: Api) -> None:
    """
    R-4: scores, counters and alerts cannot vanish between the commit and what follows it. Only heartbeats
    that are not a session's first may wait.
    """
    seats = [api.world.seat() for _ in range(2)]
    expected = {}
    for seat, (first, second) in zip(seats, itertools.permutations(["event", "heartbeat"]), strict=True):
        await getattr(api, first)(seat)
        await api.stored(seat, 1)
        await getattr(api, second)(seat)
        await api.stored(seat, 2)
        expected[seat.session_id] = [None, "heartbeat" if second == "heartbeat" else None]

    found = api.world.rows("SELECT session_id, cause FROM dirty_sessions ORDER BY id")

    causes = {each: [row["cause"] for row in found if row["session_id"] == each] for each in expected}
    assert causes == expected


async def test_violations_are_counted_and_warned_about_in_two_languages(api: Api) -> None:
    """P-3: above five, and sterner above ten; texts by Accept-Language."""
    seat = api.world.seat()
    await api.bulk(seat, [keystroke(severity=3) for _ in range(5)])
    quiet = (await api.heartbeat(seat)).body["data"]
    await api.event(seat, eventType="TabSwitched")
    mild = [
        (await api.heartbeat(seat, headers={"Accept_Language": language})).body["data"]["warningMessage"]
        for language in ("en", "ar", "ar-EG,en;q=0.5", "fr")
    ]
    await api.bulk(seat, [keystroke(severity=4) for _ in range(5)])
    stern = [
        (await api.heartbeat(seat, headers={"Accept_Language": language})).body["data"]["warningMessage"]
        for language in ("en", "ar")
    ]

    assert (quiet["hasWarning"], quiet["warningMessage"]) == (False, None)
    english, arabic = "Please stay focused on your exam.", "يرجى التركيز على امتحانك."
    assert mild == [english, arabic, arabic, english]
    assert stern == [
        "Repeated violations were recorded. Your exam may be reviewed.",
        "تم رصد مخالفات متكررة. قد تتم مراجعة امتحانك.",
    ]
