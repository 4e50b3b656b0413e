"""Watchers of exams, each on a socket of its own, and how long what they are told took to come to them."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

import aiohttp
import msgspec
from msgspec import Struct

MESSAGE_BYTES_MAX: Final = 64 << 20


class _LastEvent(Struct, rename="camel"):
    occurred_at: datetime


class _Session(Struct, rename="camel"):
    proctor_session_id: int
    last_event: _LastEvent | None


class _Data(Struct):
    sessions: list[_Session] = []


class _Message(Struct):
    event: str
    data: _Data


class Heard(Struct):
    """
    What all watchers were told so far: of each change how long its event took from its acceptance, in ms;
    messages; watchers whose watch has begun; watches that ended from the other side.
    """

    took_ms: list[float]
    messages: int = 0
    begun: int = 0
    cut_off: int = 0


@asynccontextmanager
async def watching(port: int, watchers: Sequence[tuple[UUID, str]]) -> AsyncIterator[Heard]:
    """Watch exams, each with its token, while the block runs; it begins when all have the first message."""
    heard = Heard([])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        tasks = [asyncio.ensure_future(_watch(http, port, *each, heard)) for each in watchers]
        try:
            while heard.begun < len(watchers):
                done = [each for each in tasks if each.done()]
                for each in done:
                    each.result()
                await asyncio.sleep(0.05)
            yield heard
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(http: aiohttp.ClientSession, port: int, exam_id: UUID, token: str, heard: Heard) -> None:
    url = f"http://127.0.0.1:{port}/api/proctor/live/exam/{exam_id}/socket"
    headers = {"Authorization": f"Bearer {token}"}
    decoder = msgspec.json.Decoder(_Message)
    seen: dict[int, datetime] = {}
    async with http.ws_connect(url, headers=headers, max_msg_size=MESSAGE_BYTES_MAX) as ws:
        async for message in ws:
            now, told = time.time(), decoder.decode(message.data)
            heard.messages += 1
            heard.begun += told.event == "snapshot"
            for session in told.data.sessions:
                last, number = session.last_event, session.proctor_session_id
                if last is None or seen.get(number) == last.occurred_at:
                    continue
                seen[number] = last.occurred_at
                if told.event == "delta":
                    heard.took_ms.append((now - last.occurred_at.timestamp()) * 1000)
    heard.cut_off += 1
