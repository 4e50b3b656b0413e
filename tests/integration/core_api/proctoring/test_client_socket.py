"""A client on a socket of its own: time, end and commands, and nothing else (spec.md P-4, U-1)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from core_api.proctoring.client_socket import ClientMessage
from kernel.events import EventType
from tests.kits.core import Api, Core, store_events
from tests.kits.told import read

WITHIN_S = 30.0
KNOWN = {"serverTime", "endsAt", "status", "isPaused", "commands"}


@asynccontextmanager
async def talking(api: Api, session_id: int, **more: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = {"Authorization": f"Bearer {api.token('student')}"} | more.pop("headers", {})
    path = f"{api.url}/api/proctor/session/{session_id}/socket"
    async with api.http.ws_connect(path, headers=headers, **more) as ws:
        yield ws


async def told(ws: aiohttp.ClientWebSocketResponse, *events: str) -> Any:
    """Return what the next message of these kinds says."""
    while True:
        message = read(ClientMessage, await ws.receive_json(timeout=WITHIN_S))
        if message["event"] in events:
            return message["data"]


async def state_with(ws: aiohttp.ClientWebSocketResponse, commands: int) -> Any:
    """Return the next state that has so many commands."""
    while True:
        state = await told(ws, "state")
        if len(state["commands"]) == commands:
            return state


async def test_a_command_comes_and_stays_until_the_client_confirms_it_p4(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        async with talking(api, session_id, headers={"Accept-Language": "ar"}) as ws:
            first = await told(ws, "state")
            assert (set(first), first["commands"], first["status"]) == (KNOWN, [], 1)
            warned = await api.post(f"/api/proctor/session/{session_id}/warn", "teacher", json={})
            assert warned.status == 200, warned.body
            state = await state_with(ws, 1)
            (command,) = state["commands"]
            assert command["action"] == "warn"
            assert "يطلب" in command["text"]
            await ws.send_json({"confirm": command["id"] + 1})
            assert (await told(ws, "refused"))["code"] == "not_found"
            await ws.send_json({"confirm": command["id"]})
            assert (await told(ws, "confirmed"))["id"] == command["id"]
            assert (await state_with(ws, 0))["status"] == 1
            await ws.send_json({})
            assert (await told(ws, "state"))["commands"] == []
            await ws.send_str("[")
            assert (await told(ws, "refused"))["code"] == "malformed"


async def test_a_pause_and_extra_time_reach_the_client_and_the_end_closes_the_socket_p4(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        async with talking(api, session_id) as ws:
            first = await told(ws, "state")
            assert (
                await api.post(f"/api/proctor/session/{session_id}/pause", "teacher", json={})
            ).status == 200
            assert (await state_with(ws, 1))["isPaused"]
            resumed = await api.post(f"/api/proctor/session/{session_id}/resume", "teacher", json={})
            assert resumed.status == 200, resumed.body
            state = await state_with(ws, 2)
            assert not state["isPaused"]
            assert state["endsAt"] > first["endsAt"]
            assert (await api.post(f"/api/proctor/session/{session_id}/end", "admin")).status == 200
            while (state := await told(ws, "state"))["status"] == 1:
                pass
            assert (await ws.receive(timeout=WITHIN_S)).type is aiohttp.WSMsgType.CLOSE


async def test_a_socket_is_its_candidates_alone_and_says_nothing_of_events_or_risk_decision_6(
    core: Core,
) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        await store_events(api, session_id, [(EventType.TabSwitched, 2)] * 9)
        path = f"/api/proctor/session/{session_id}"
        ticket = (await api.post(f"{path}/ticket", "student")).body["data"]["ticket"]
        async with api.http.ws_connect(f"{api.url}{path}/socket", params={"ticket": ticket}) as ws:
            state = await told(ws, "state")
        assert set(state) == KNOWN
        assert "TabSwitched" not in json.dumps(state)
        for name, status in (("other_student", 404), ("teacher", 403), ("stranger", 404)):
            headers = {"Authorization": f"Bearer {api.token(name)}"}
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await api.http.ws_connect(f"{api.url}{path}/socket", headers=headers)
            assert (refused.value.status, name) == (status, name)


async def test_who_signs_out_is_told_and_cut_off_a2(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        headers = {"Authorization": f"Bearer {api.token('student')}"}
        async with talking(api, session_id, headers=headers) as ws:
            await told(ws, "state")
            assert (await api.call("POST", "/api/auth/logout", headers=headers)).status == 200
            assert (await told(ws, "end"))["code"] == "not_authenticated"
