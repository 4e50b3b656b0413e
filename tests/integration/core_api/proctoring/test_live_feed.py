"""An exam's changes, told in order and once, to whoever watches and comes back (spec.md U-1)."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from core_api.actors import Actor
from core_api.app import build
from core_api.proctoring.live_messages import LiveMessage
from core_api.proctoring.live_watching import Message, Position, Watcher
from core_api.proctoring.sockets import Ending
from kernel.access import Scope
from kernel.events import EventType, Role, event_id
from kernel.http.serving import serve
from kernel.tokens import Audience, Claims
from sql import named
from tests.integration.core_api.proctoring.test_live import SCORE
from tests.kits.core import Api, Core, DatabaseAs, school, settings_of, store_events, url_of
from tests.kits.told import read

WITHIN_S = 30.0
ACTOR = Actor(
    user_id=UUID(int=1), organisation_id=UUID(int=2), email="", role=Role.teacher, scope=Scope.granted
)
CLAIMS = Claims(
    user_id=str(ACTOR.user_id), email="", role=Role.teacher, org="", iat=0, exp=1, jti="", aud=Audience.access
)


class Told:
    """What a stream tells, message by message."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, *events: str) -> tuple[str, str, Any]:
        """Return the next message of these kinds: its name, its id and what it says."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                fields: dict[str, str] = {}
                while (line := (await self.response.content.readline()).decode()) not in {"\n", ""}:
                    name, _, value = line.rstrip("\n").partition(": ")
                    fields[name] = value
                assert fields or line, "the stream has ended"
                if "event" not in fields:  # how soon to connect again
                    continue
                told = {name: fields[name] for name in ("event", "id") if name in fields}
                message = read(LiveMessage, {**told, "data": json.loads(fields["data"])})
                if message["event"] in events:
                    return message["event"], message.get("id", ""), message["data"]


@asynccontextmanager
async def streaming(api: Api, by: str = "teacher", **more: Any) -> AsyncIterator[Told]:
    headers = {"Authorization": f"Bearer {api.token(by)}"} | more.pop("headers", {})
    path = f"{api.url}/api/proctor/live/exam/{api.exam_id}/stream"
    async with api.http.get(path, headers=headers, **more) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield Told(response)


async def test_a_watcher_gets_the_whole_then_what_changes_u1(core: Core) -> None:
    async with core.school() as api:
        first, second = sorted(seat.session_id for seat in api.seat(2))
        async with streaming(api) as told:
            _, whole_id, whole = await told.next("snapshot", "delta")
            assert [each["proctorSessionId"] for each in whole["sessions"]] == [first, second]
            assert whole_id

            await store_events(api, first, [(EventType.TabSwitched, 2)])
            _, first_id, delta = await told.next("snapshot", "delta")
            assert [each["proctorSessionId"] for each in delta["sessions"]] == [first]
            assert delta["sessions"][0]["lastEvent"]["eventTypeName"] == "TabSwitched"
            assert delta["number"] == whole["number"] + 1

            assert (await api.post(f"/api/proctor/session/{second}/end", "admin")).status == 200
            _, _, delta = await told.next("delta")
            assert [(each["proctorSessionId"], each["status"]) for each in delta["sessions"]] == [(second, 2)]

        async with streaming(api, headers={"Last-Event-ID": first_id}) as told:
            event, _, missed = await told.next("snapshot", "delta")
            assert event == "delta"
            assert [each["proctorSessionId"] for each in missed["sessions"]] == [second]
        async with streaming(api, params={"lastEventId": whole_id}) as told:
            event, _, missed = await told.next("snapshot", "delta")
            assert (event, len(missed["sessions"])) == ("delta", 2)
        counted = (await api.get("/metrics")).body.decode()
        assert re.search(r"^veritas_live_lag_recent_seconds \d", counted, re.MULTILINE)
        assert not re.search(r"^veritas_live_(lag_seconds_count|messages_total) 0\.0$", counted, re.MULTILINE)


@pytest.mark.parametrize(
    "given", ["", "7", "x" * 5000, "1-1:1:", "99999999999-5:4:", "99999999999-1:9:7,7", "99999999999-0:1:"]
)
async def test_an_id_that_is_none_of_ours_begins_with_the_whole(core: Core, given: str) -> None:
    async with core.school() as api, streaming(api, params={"lastEventId": given}) as told:
        assert (await told.next("snapshot", "delta"))[0] == "snapshot"


async def test_an_id_from_the_future_of_this_database_begins_with_the_whole(core: Core) -> None:
    async with core.school() as api:
        async with streaming(api) as told:
            _, at, _ = await told.next("snapshot")
        moment = at.partition("-")[0]
        async with streaming(api, params={"lastEventId": f"{moment}-{2**60 + 7}:{2**60 + 7}:"}) as told:
            assert (await told.next("snapshot", "delta"))[0] == "snapshot"


async def test_whoever_may_watch_no_longer_is_told_and_cut_off_in_whichever_way_a2_a4(core: Core) -> None:
    async with core.school() as api, AsyncExitStack() as open_streams:
        exam, users = f"/api/admin/exams/{api.exam_id}/permissions", "/api/admin/users"
        ids = {name: str(person.id) for name, person in api.people.items()}
        grant = {"user_id": ids["colleague"], "can_view": True}
        assert (await api.post(exam, "admin", json=grant)).status < 300
        token = {"Authorization": f"Bearer {api.token('admin')}"}
        told = {
            name: await open_streams.enter_async_context(streaming(api, name, **more))
            for name, more in (
                ("reviewer", {}), ("colleague", {}), ("teacher", {}), ("admin", {"headers": token}),
            )
        }  # fmt: skip
        for each in told.values():
            await each.next("snapshot")
        ways: dict[str, tuple[str, str, Any]] = {
            "reviewer": ("DELETE", f"{exam}/{ids['reviewer']}", {}),
            "colleague": (
                "PUT",
                f"{users}/{ids['colleague']}/role",
                {"json": {"role": "student"}},
            ),
            "teacher": ("POST", f"{users}/{ids['teacher']}/lock", {}),
            "admin": ("POST", "/api/auth/logout", {}),
        }
        for method, path, more in ways.values():
            done = await api.call(method, path, headers=token, **more)
            assert done.status < 300, (path, done.body)

        ends = {name: (await each.next("end"))[2]["code"] for name, each in told.items()}
        assert ends == dict.fromkeys(ways, "not_authenticated") | {"reviewer": "not_found"}


async def test_a_ticket_opens_the_stream_of_its_exam_and_nothing_else(core: Core) -> None:
    async with core.school() as api:
        path = f"/api/proctor/live/exam/{api.exam_id}"
        made = await api.post(f"{path}/ticket", "teacher")
        assert made.status == 200, made.body
        ticket = {"ticket": made.body["data"]["ticket"]}
        async with api.http.get(f"{api.url}{path}/stream", params=ticket) as response:
            assert response.status == 200
            assert (await Told(response).next("snapshot"))[0] == "snapshot"
        async with api.http.ws_connect(f"{api.url}{path}/socket", params=ticket) as ws:
            assert (await ws.receive_json(timeout=WITHIN_S))["event"] == "snapshot"
        for other in (path, f"/api/proctor/live/exam/{api.people['teacher'].id}/stream", "/api/me"):
            assert (await api.get(other, params=ticket)).status == 401
        bearer = {"Authorization": f"Bearer {ticket['ticket']}"}
        assert (await api.get("/api/me", headers=bearer)).status == 401
        wrong = await api.get(f"{path}/stream", params={"ticket": api.token("teacher")})
        assert (wrong.status, wrong.body["detail"]) == (
            401,
            "The ticket is not valid: `POST …/ticket` makes one.",
        )
        bare = await api.get(f"{path}/stream", headers={"Authorization": "Bearer x"})
        assert (bare.status, bare.body["detail"]) == (401, "The token is not valid.")


async def test_a_socket_tells_the_same_and_passes_over_what_watchers_say(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        headers = {"Authorization": f"Bearer {api.token('reviewer')}"}
        path = f"{api.url}/api/proctor/live/exam/{api.exam_id}/socket"
        async with api.http.ws_connect(path, headers=headers) as ws:
            whole = read(LiveMessage, await ws.receive_json(timeout=WITHIN_S))
            assert [each["proctorSessionId"] for each in whole["data"]["sessions"]] == [session_id]
            await ws.send_str("hello")
            await store_events(api, session_id, [(EventType.PasteAttempt, 3)])
            delta = read(LiveMessage, await ws.receive_json(timeout=WITHIN_S))
            assert (delta["event"], delta["data"]["number"]) == ("delta", whole["data"]["number"] + 1)
        refused = await api.get(f"/api/proctor/live/exam/{api.exam_id}/socket", "reviewer")
        assert (refused.status, refused.body["code"]) == (426, "upgrade_required")


async def test_a_page_of_another_origin_opens_no_socket(core: Core) -> None:
    async with core.school() as api:
        headers = {"Authorization": f"Bearer {api.token('teacher')}", "Origin": "https://elsewhere.example"}
        path = f"{api.url}/api/proctor/live/exam/{api.exam_id}/socket"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with api.http.ws_connect(path, headers=headers):
                pass
        assert refused.value.status == 403
        headers["Origin"] = api.url
        async with api.http.ws_connect(path, headers=headers) as ws:
            assert (await ws.receive_json(timeout=WITHIN_S))["event"] == "snapshot"


async def test_grave_events_and_rising_bands_alert_and_a_falling_score_does_not(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        async with streaming(api) as told:
            await told.next("snapshot")
            events = [(EventType.TabSwitched, 2), (EventType.DevToolsOpened, 4)]
            await store_events(api, session_id, events)
            await api.owner.execute(named("writer")["note_alerts"], [session_id], [event_id(session_id, 2)])
            alerts = await alerts_of(told)
            assert [(each["cause"], each["sequenceNumber"]) for each in alerts] == [("severity", 2)]

            await api.owner.execute(SCORE, session_id, 76, 76, "Critical")
            (alert,) = await alerts_of(told)
            assert (alert["cause"], alert["riskLevel"], alert["eventTypeName"]) == (
                "band", "Critical", "DevToolsOpened",
            )  # fmt: skip
            await api.owner.execute(
                "UPDATE reporting.session_risk SET risk_score = 10 WHERE session_id = $1", session_id
            )
            _, _, delta = await told.next("delta")
            assert (delta["alerts"], delta["sessions"][0]["riskScore"]) == ([], 10.0)


async def alerts_of(told: Told) -> list[Any]:
    """Return the alerts of the next change that has some; an event and what it alerts by may come apart."""
    while True:
        _, _, delta = await told.next("delta")
        if delta["alerts"]:
            alerts: list[Any] = delta["alerts"]
            return alerts


async def test_whoever_watches_is_on_the_ledger_once_v3(core: Core) -> None:
    async with core.school() as api:
        for _ in range(2):
            async with streaming(api, "reviewer") as told:
                await told.next("snapshot")
        headers = {"Authorization": f"Bearer {api.token('teacher')}"}
        path = f"{api.url}/api/proctor/live/exam/{api.exam_id}/socket"
        async with api.http.ws_connect(path, headers=headers) as ws:
            await ws.receive_json(timeout=WITHIN_S)
        views: list[Any] = []
        async with asyncio.timeout(WITHIN_S):
            while len(views) < 2:
                await asyncio.sleep(0.1)
                listed = (await api.get("/api/ledger/events", "admin")).body["events"]
                views = [each for each in listed if each["kind"] == "exam_live.viewed"]
        assert {each["actor_id"] for each in views} == {
            str(api.people[name].id) for name in ("reviewer", "teacher")
        }


async def test_an_account_watches_so_often_at_once_and_a_service_that_stops_says_so(
    database: str, database_as: DatabaseAs
) -> None:
    settings = settings_of(database_as, live_account_watches_max=1)
    runner = await serve(await build(settings), settings, port=0)
    async with school(url_of(runner), database) as api:
        path = f"/api/proctor/live/exam/{api.exam_id}/stream"
        async with streaming(api) as told:
            await told.next("snapshot")
            assert (await api.get(path, "teacher")).status == 429
            assert (await api.get(path, "reviewer")).status == 200
            stopped = asyncio.create_task(runner.cleanup())
            _, _, end = await told.next("end")
            assert end["code"] == "stopping"
            await stopped


async def test_a_watcher_who_takes_nothing_is_told_and_cut_off() -> None:
    cut = asyncio.Event()
    watcher = Watcher(ACTOR, CLAIMS, ACTOR.user_id, waiting_max=2, abort=cut.set)
    message = Message("delta", Position(1, "1:1:"), b"{}")
    for _ in range(2):
        watcher.put(message)
    assert not watcher.has_ended()
    watcher.put(message)

    assert watcher.ending is Ending.slow
    assert await watcher.next(WITHIN_S) is None
    watcher.put(message)
    assert await watcher.next(WITHIN_S) is None
    await asyncio.wait_for(cut.wait(), WITHIN_S)
