"""Commands of staff come with a client's replies until it confirms them, and are events (spec.md P-4)."""

import asyncio
import json
import time
from typing import Any

from ingest.routes import ROUTES
from kernel.events import Role
from tests.kits.ingest.api import Answer, Api, body_for
from tests.kits.ingest.waiting import WITHIN_S
from tests.kits.ingest.world import Seat

ACTION = "INSERT INTO session_actions (session_id, kind, acted_at) VALUES (%s, %s, now()) RETURNING id"
COMMAND = (
    "INSERT INTO session_commands (id, session_id, kind, text_en, text_ar, created_at)"
    " VALUES (%s, %s, %s, %s, %s, now())"
)
NOTICE = (
    "INSERT INTO session_notices (session_id, event_name, minute, severity, noted_at, event_type, payload)"
    " VALUES (%s, 'proctor_warning', %s, 2, now(), 59, %s)"
)
FACES = NOTICE.replace("'proctor_warning'", "'face_detection'").replace("59", "53")


def command(api: Api, seat: Seat, kind: str = "warn", en: str | None = None, ar: str | None = None) -> int:
    ident: int = api.world.one(ACTION, seat.session_id, kind)
    api.world.run(COMMAND, ident, seat.session_id, kind, en, ar)
    return ident


def told(answer: Answer) -> list[int]:
    """Return the commands of a reply; of a list's, those of its only result."""
    (body,) = answer.body.get("results", [answer.body]) if "commands" not in answer.body else [answer.body]
    return [each["id"] for each in body.get("commands", [])]


async def heard(api: Api, seat: Seat, wanted: list[int], **members: Any) -> Answer:
    """Beat until the reply brings these commands."""
    deadline = time.monotonic() + WITHIN_S
    while told(last := await api.heartbeat(seat, **members)) != wanted:
        assert time.monotonic() < deadline, f"waited for {wanted}, and was told {last.body}"
        await asyncio.sleep(0.05)
    return last


def confirmed(api: Api, ident: int) -> bool:
    found = "SELECT confirmed_at IS NOT NULL FROM session_commands WHERE id = %s"
    return bool(api.world.one(found, ident))


async def test_a_command_comes_with_every_reply_until_the_next_heartbeat_confirms_it_p4(api: Api) -> None:
    seat = api.world.seat()
    before = await api.heartbeat(seat)
    first = command(api, seat, en="Please sit down.", ar="تفضل بالجلوس.")
    beat = await heard(api, seat, [first])
    second = command(api, seat, "pause")
    await heard(api, seat, [first, second])
    replies = [
        await api.event(seat, headers={"Accept_Language": "ar"}),
        await api.bulk(seat, [{"eventType": 102}]),
        await api.tab(seat, [1]),
        await api.tab(seat, [1]),
        await api.event(seat, headers={"Idempotency_Key": "one"}),
        await api.event(seat, headers={"Idempotency_Key": "one"}),
    ]
    confirming = await api.heartbeat(seat, confirmedCommands=[first, 10**9])
    await heard(api, seat, [second])

    assert (told(before), "commands" in before.body) == ([], False)
    assert beat.body["commands"][0] == {
        "id": first, "action": "warn", "text": "Please sit down.", "expiresAt": None, "pausedUntil": None,
        "createdAt": beat.body["commands"][0]["createdAt"],
    }  # fmt: skip
    assert [told(each) for each in replies] == [[first, second]] * 6
    assert replies[0].body["commands"][0]["text"] == "تفضل بالجلوس."
    assert replies[0].body["commands"][1]["text"].startswith("تم إيقاف")
    assert told(confirming) == [second], "what it confirms it is not told again"
    assert (confirmed(api, first), confirmed(api, second)) == (True, False)


async def test_every_route_and_form_of_body_brings_commands_to_a_candidate_and_none_to_a_service_p4(
    api: Api,
) -> None:
    """A refusal of what was sent, too, where the session was asked; whoever adds a route is asked as well."""
    seat = api.world.seat()
    ident = command(api, seat)
    await heard(api, seat, [ident])
    bodies: list[tuple[str, Any]] = [(route.path, body_for(route.path, seat)) for route in ROUTES]
    bodies.append(("/monitor/events", [body_for("/monitor/events", seat)]))
    refused = {"eventType": "No Such Type", "clientSequence": 1}
    settled = body_for("bulk", seat, events=[refused], clientInstance="tab")
    service = api.world.token(Role.service)
    for path, body in bodies:
        mine, theirs = [await api.post(f"/api{path}", body, token) for token in (seat.token, service)]

        assert (mine.status, told(mine), path) == (202, [ident], path)
        assert (theirs.status, told(theirs), path) == (202, [], path)
    nothing = await api.post("/api/proctor/events/bulk?partial=true", settled, seat.token)
    assert (nothing.status, told(nothing)) == (422, [ident])


async def test_nobody_confirms_a_command_of_another_session(api: Api) -> None:
    seat, other = api.world.seat(), api.world.seat()
    ident = command(api, seat)
    await heard(api, seat, [ident])
    await api.heartbeat(other, confirmedCommands=[ident])
    foreign = await api.post(
        "/api/proctor/heartbeat",
        {"proctorSessionId": seat.session_id, "confirmedCommands": [ident]},
        other.token,
    )
    many = await api.heartbeat(seat, confirmedCommands=list(range(1, 30)))

    assert (foreign.status, many.status) == (404, 422)
    assert not confirmed(api, ident)


async def test_a_session_that_has_ended_is_told_with_its_refusals_p4(api: Api) -> None:
    """So a client learns that its attempt was terminated, from the very next thing it sends, by any route."""
    seat = api.world.seat()
    await api.heartbeat(seat)
    ident = command(api, seat, "terminate")
    api.world.end(seat.session_id)
    deadline = time.monotonic() + WITHIN_S
    while (last := await api.heartbeat(seat)).status != 409 or told(last) != [ident]:
        assert time.monotonic() < deadline, f"waited for the refusal that tells, and got {last.body}"
        await asyncio.sleep(0.05)

    assert last.body["code"] == "session_not_active"
    for route in ROUTES:
        body = body_for(route.path, seat)
        for each in [body, [body]] if route.path == "/monitor/events" else [body]:
            answer = await api.post(f"/api{route.path}", each, seat.token)
            assert (answer.status, told(answer), route.path) == (409, [ident], route.path)


async def test_redis_is_told_again_when_it_has_forgotten_p4(api: Api) -> None:
    """What it holds of a session is disposable: a restored one brings what is open."""
    seat = api.world.seat()
    ident = command(api, seat)
    await heard(api, seat, [ident])
    api.at.redis.delete(*api.at.redis.keys(f"*:s:{seat.session_id}"))
    again = await api.heartbeat(seat)

    assert told(again) == [ident]


async def test_what_staff_did_is_an_event_of_its_type_with_what_they_said_p4(api: Api) -> None:
    seat = api.world.seat(started_s_ago=10)
    api.world.run(NOTICE, seat.session_id, 7, json.dumps({"actionId": 7, "textEn": "Sit down."}))
    (row,) = await api.stored(seat, 1)
    forged = await api.event(seat, eventType=59)

    assert (row["event_type"], row["event_name"], row["severity"]) == (59, None, 2)
    assert row["payload"] == {"actionId": 7, "textEn": "Sit down."}
    assert (row["is_violation"], forged.status) == (False, 422)


async def test_what_a_detector_found_counts_as_it_does_from_a_client_v4(api: Api) -> None:
    """A second face is a violation by its type, however mild: in the row, and in what Redis counts."""
    seat = api.world.seat(started_s_ago=10)
    api.world.run(FACES, seat.session_id, 1, json.dumps({"faceCount": 2}))
    (row,) = await api.stored(seat, 1)
    (key,) = api.at.redis.keys(f"*:s:{seat.session_id}")

    assert (row["event_type"], row["severity"], row["is_violation"]) == (53, 2, True)
    assert api.at.redis.hget(key, "vio") == b"1"
