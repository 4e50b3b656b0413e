"""A request in parts: what is stored of it, and how it is answered where nothing is (spec.md I-3, I-4)."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from ingest.replies import all_refused
from kernel.errors import (
    ClientSequenceReusedError,
    DomainError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    OverloadedError,
    RateLimitedError,
    SessionNotActiveError,
    TooLargeError,
)
from kernel.events import Role
from tests.kits.ingest.api import Answer, Api, assert_problem, keystroke
from tests.kits.ingest.station import Station, station
from tests.kits.ingest.world import Seat

PATH = "/api/monitor/events"


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    """A burst is had once: however slow the machine, a session gets no other in the time of a test."""
    with station(postgres, template, redis_server.url, session_events_per_s=1) as at:
        yield at


def seen(seat: Seat | None = None, **more: Any) -> dict[str, Any]:
    """Return an event of a candidate, of an attempt that is not there without one."""
    return {"attempt_id": str(seat.attempt_id if seat else uuid4()), "event_type": "keystroke", **more}


def results_of(answer: Answer) -> list[tuple[str, str | None]]:
    return [(result["status"], result.get("code")) for result in answer.body["results"]]


async def test_a_list_of_which_nothing_is_stored_is_refused_as_its_attempts_are(api: Api) -> None:
    """I-3, I-4: with their status and code where they agree; the result of each stands beside it."""
    seat, service = api.world.seat(), api.world.token(Role.service)

    unknown = await api.post(PATH, [seen(), seen()], service)
    wrong = await api.post(PATH, [seen(), seen(seat), seen(seat, severity=9)], service)
    faulty = await api.post(PATH, [seen(seat, severity=9), seen(event_type=[])], service)
    over = await api.post(PATH, [seen(seat, data="x" * 70_000)], service)

    assert_problem(unknown, 404, "not_found")
    assert_problem(wrong, 422, "all_refused")
    assert results_of(wrong) == [("refused", "not_found"), ("refused", "invalid_input")]
    assert_problem(faulty, 422, "invalid_input")
    assert [fault["path"] for fault in faulty.body["errors"]] == ["[0].severity", "[1].event_type"]
    assert faulty.body["results"][0]["attempt_id"] == str(seat.attempt_id)
    assert_problem(over, 413, "too_large")
    assert [fault["path"] for fault in over.body["errors"]] == ["[0]"]
    assert api.world.sequences(seat.session_id) == []


async def test_a_list_that_may_be_sent_again_says_so_whatever_else_is_wrong_with_it(api: Api) -> None:
    """I-4: a part that waits for its rate is not given up for another that is refused for good."""
    seat, other, service = api.world.seat(), api.world.seat(), api.world.token(Role.service)
    burst = api.at.settings.session_burst_events
    assert (await api.post(PATH, [seen(seat)] * burst, service)).status == 202

    whole = await api.post(PATH, [seen()] + [seen(seat)] * (burst - 1), service)
    mixed = await api.post(PATH, [seen(other)] + [seen(seat)] * (burst - 1), service)

    assert_problem(whole, 429, "rate_limited")
    assert int(whole.headers["Retry-After"]) >= 1
    assert results_of(whole) == [("refused", "not_found"), ("refused", "rate_limited")]
    assert "retry_after" not in whole.body["results"][0]
    assert (mixed.status, mixed.body["recorded"]) == (202, 1)
    assert results_of(mixed) == [("recorded", None), ("refused", "rate_limited")]
    assert mixed.body["results"][1]["retry_after"] >= 1


async def test_an_event_of_which_nobody_can_tell_whose_it_is_refuses_the_list(api: Api) -> None:
    """I-3: every fault is named all the same."""
    seat, service = api.world.seat(), api.world.token(Role.service)

    answer = await api.post(PATH, [seen(seat), 17, seen(seat, severity=1.5), {"event_type": 2}], service)

    assert_problem(answer, 422, "invalid_input")
    assert [fault["path"] for fault in answer.body["errors"]] == ["[1]", "[2].severity", "[3]"]
    assert api.world.sequences(seat.session_id) == []


async def test_an_attempt_is_one_however_its_id_is_written(api: Api) -> None:
    """I-1: its events stand in one result, under the spelling that came first."""
    seat, service = api.world.seat(), api.world.token(Role.service)
    spellings = [str(seat.attempt_id).upper(), seat.attempt_id.hex, str(seat.attempt_id)]

    answer = await api.post(
        PATH, [{**seen(seat), "attempt_id": each} for each in spellings], service, Idempotency_Key="k"
    )

    (result,) = answer.body["results"]
    assert (result["attempt_id"], len(result["ids"])) == (spellings[0], 3)


async def test_an_attempts_events_come_from_one_client_instance(api: Api) -> None:
    """I-2: the others are named where they differ."""
    seat, service = api.world.seat(), api.world.token(Role.service)
    events = [seen(seat, client_instance="a"), seen(seat, client_instance="b"), seen(seat)]

    answer = await api.post(PATH, events, service)

    assert_problem(answer, 422, "invalid_input")
    assert [fault["path"] for fault in answer.body["errors"]] == ["[1].client_instance", "[2]"]


async def test_every_fault_of_one_event_is_named(api: Api) -> None:
    """I-3: those of its types and those of its values."""
    seat = api.world.seat()
    event = {"eventType": [], "severity": 9, "metadataJson": "{", "clientTimestamp": 5, "clientSequence": 0}

    alone = await api.event(seat, **event)
    within = await api.bulk(seat, [keystroke(), event])

    for answer, before in ((alone, ""), (within, "events[1].")):
        assert_problem(answer, 422, "invalid_input")
        assert {fault["path"] for fault in answer.body["errors"]} == {before + name for name in event}


async def test_a_large_event_is_refused_alone_of_a_partial_batch_and_settled(api: Api) -> None:
    """I-3, I-4."""
    seat = api.world.seat()
    events = [keystroke(), keystroke(note="y" * 70_000), keystroke()]

    answer = await api.bulk(seat, events, query="?partial=true", clientInstance="tab", clientSequence=1)

    assert (answer.status, answer.body["data"]) == (202, 2)
    assert results_of(answer) == [("accepted", None), ("refused", "too_large"), ("accepted", None)]
    assert (answer.ack["ackedThrough"], answer.ack["ignored"]) == (3, ["events[1].note"])


async def test_names_that_nobody_knows_are_told_to_their_sender_and_written_nowhere(api: Api) -> None:
    """I-3: whether what they came in is stored, refused or no JSON."""
    seat, name = api.world.seat(), "Told-To-Nobody"
    with capture_logs() as lines:
        told = await api.bulk(seat, [keystroke(**{name: 1})])
        answers = [
            await api.event(seat, severity=9, **{name: 1}),
            await api.post(PATH, [{**seen(), name: 1}], seat.token),
            await api.post(PATH, b'{"%s":' % name.encode(), seat.token),
        ]
    stored = await api.stored(seat, 1)

    assert told.ack["ignored"] == [f"events[0].{name}"]
    assert [answer.status for answer in answers] == [422, 404, 400]
    assert name not in str(lines)
    assert name not in str(stored)


def of(*kinds: type[DomainError], **after: int) -> DomainError:
    refusals = [kind("No.", retry_after_s=after.get(kind.__name__)) for kind in kinds]
    return all_refused(refusals, [])


@pytest.mark.parametrize(
    ("kinds", "status", "code"),
    [
        ((NotFoundError, NotFoundError), 404, "not_found"),
        ((SessionNotActiveError, SessionNotActiveError), 409, "session_not_active"),
        ((SessionNotActiveError, ClientSequenceReusedError), 409, "conflict"),
        ((TooLargeError, InvalidInputError), 422, "all_refused"),
        ((NotFoundError, SessionNotActiveError), 422, "all_refused"),
    ],
)
def test_refusals_for_good_are_one_by_what_they_have_in_common(
    kinds: tuple[type[DomainError], ...], status: int, code: str
) -> None:
    error = of(*kinds)

    assert (error.status, error.code, error.retry_after_s) == (status, code, None)


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ((NotFoundError, RateLimitedError), "rate_limited"),
        ((OverloadedError, RateLimitedError), "overloaded"),
        ((RateLimitedError, OutcomeUnknownError, OverloadedError), "outcome_unknown"),
    ],
)
def test_what_may_be_sent_again_decides_and_the_longest_wait_counts(
    kinds: tuple[type[DomainError], ...], code: str
) -> None:
    error = of(*kinds, RateLimitedError=2, OverloadedError=10, OutcomeUnknownError=1)

    assert error.code == code
    assert error.retry_after_s == (10 if OverloadedError in kinds else 2)


async def test_what_a_detector_says_is_judged_among_the_others_v4(api: Api) -> None:
    """V-4: a fault inside of its metadata is named by its path there; the others are stored."""
    seat, service = api.world.seat(), api.world.token(Role.service)
    face = {
        "faceCount": 1, "isFaceVisible": True, "confidenceScore": 0.9, "result": "seen",
        "model": "m", "modelVersion": "1", "boxes": [{"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2}],
    }  # fmt: skip
    outside = face | {"boxes": [{"x": 1.5, "y": 0.1, "width": 0.2, "height": 0.2}]}
    events = [
        {"eventType": "FaceAnalysis", "metadataJson": msgspec.json.encode(each).decode()}
        for each in (face, outside, face | {"emotion": "calm"})
    ] + [{"eventType": "FaceNotDetected", "severity": 2}]

    batch = await api.bulk(seat, events, query="?partial=true")
    module = await api.post(
        PATH,
        [seen(seat, event_type="FaceAnalysis", data=face), seen(seat, event_type=108, data=face)],
        service,
    )

    assert batch.status == 202, batch.body
    faults = [fault for each in batch.body["results"] for fault in each.get("errors", [])]
    assert [fault["path"] for fault in faults] == [
        "events[1].metadataJson.boxes[0].x",
        "events[2].metadataJson.emotion",
    ]
    assert_problem(module, 422, "invalid_input")
    assert "[1].data" in {fault["path"] for fault in module.body["errors"]}
    assert "[1].data.faceCount" in {fault["path"] for fault in module.body["errors"]}
    stored = await api.stored(seat, 2)
    assert [row["event_type"] for row in stored] == [107, 52]
