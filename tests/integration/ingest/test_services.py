"""What a candidate sends takes nothing from a service that watches them (spec.md P-3, I-2, I-4)."""

from typing import Any

import pytest

from kernel.events import Role
from tests.kits.ingest.api import Answer, Api, keystroke
from tests.kits.ingest.world import Seat

PATH = "/api/monitor/events"
MODULE = "face-1"


async def watch(api: Api, seat: Seat, *, key: str | None = None, **more: Any) -> Answer:
    """Post what a monitoring module has seen of the candidate."""
    event = {"attempt_id": str(seat.attempt_id), "event_type": "FaceNotDetected", "severity": 4, **more}
    headers = {} if key is None else {"Idempotency_Key": key}
    return await api.post(PATH, event, api.world.token(Role.service), **headers)


async def test_the_numbers_of_its_client_instance(api: Api) -> None:
    seat = api.world.seat()
    await api.tab(seat, list(range(1, 101)), tab=MODULE)

    seen = await watch(api, seat, client_instance=MODULE, client_sequence=1)
    again = await watch(api, seat, client_instance=MODULE, client_sequence=1)

    assert (seen.status, seen.ack["sequenceFrom"], seen.ack["duplicate"]) == (202, 101, False)
    assert (again.status, again.ack["sequenceFrom"], again.ack["duplicate"]) == (202, 101, True)


async def test_its_idempotency_keys(api: Api) -> None:
    """Neither the name is taken, nor the place that keys are remembered in."""
    seat = api.world.seat()
    await api.event(seat, headers={"Idempotency_Key": "k"})
    seen = await watch(api, seat, key="k")
    for n in range(2 * api.at.settings.idempotency_keys_max + 1):
        assert (await api.event(seat, headers={"Idempotency_Key": f"k{n}"})).status == 202
    again = await watch(api, seat, key="k")

    assert (seen.status, seen.ack["duplicate"]) == (202, False)
    assert (again.status, again.ack["duplicate"]) == (202, True)
    assert again.ack["sequenceFrom"] == seen.ack["sequenceFrom"]


async def test_places_for_client_instances(api: Api) -> None:
    seat = api.world.seat()
    for n in range(api.at.settings.client_instances_max):
        assert (await api.tab(seat, [1], tab=f"tab-{n}")).status == 202
    refused = await api.tab(seat, [1], tab="one-more")

    assert (refused.status, refused.body["code"]) == (409, "too_many_clients")
    assert (await watch(api, seat, client_instance=MODULE, client_sequence=1)).status == 202


@pytest.mark.parametrize("first", ["candidate", "service"])
async def test_the_rate_of_events(api: Api, first: str) -> None:
    """Each has a rate of their own, and is held to it."""
    seat = api.world.seat()
    burst = [keystroke()] * api.at.settings.session_burst_events
    service = Seat(
        session_id=seat.session_id,
        attempt_id=seat.attempt_id,
        user_id=seat.user_id,
        token=api.world.token(Role.service),
    )
    loud, other = (seat, service) if first == "candidate" else (service, seat)
    answers = [await api.bulk(loud, burst) for _ in range(2)]

    assert [answer.status for answer in answers] == [202, 429]
    assert (await api.bulk(other, burst)).status == 202
