"""Lost replies to a room of launch links: nobody is shut out, nobody sits twice (spec.md A-7, X-1)."""

import asyncio
from contextlib import ExitStack
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.faults.ingest_kit import Proxy, proxy
from tests.integration.core_api.attempts.test_launches import launch, login_of
from tests.kits.core import Answer, Api, Core

pytestmark = pytest.mark.faults

CANDIDATES = 30
TRIES_MAX = 5


async def room(api: Api) -> list[str]:
    """Fill the exam's school with candidates and return a launch link for each."""
    emails = [f"{n}-{api.exam_id.hex}@room.example" for n in range(CANDIDATES)]
    api.enrol(emails)
    path = f"/api/teacher/exams/{api.exam_id}/launch-links"
    made = await api.post(path, "teacher", json={"emails": emails})
    return [each["token"] for each in made.body["links"]]


async def sit_down(link: str, between: Proxy, losses: int) -> list[Answer]:
    """Launch through a network that loses the first replies; return the ones that came."""
    url = f"http://127.0.0.1:{between.port}/api/auth/launch"
    for _ in range(TRIES_MAX):
        if between.cuts < losses:
            between.cut_after = b"/auth/launch"
        async with aiohttp.ClientSession() as tab:
            try:
                async with tab.post(url, json={"token": link}) as reply:
                    return [Answer(reply.status, await reply.json(), reply.headers)]
            except aiohttp.ClientError:
                continue
    return []


async def test_lost_launch_replies_shut_nobody_out_and_give_each_one_attempt_a7(core: Core) -> None:
    async with core.school() as api:
        links = await room(api)
        losses = [n % 4 for n in range(CANDIDATES)]  # replies that never arrive, a candidate
        with ExitStack() as stack:
            port = urlsplit(api.url).port or 0
            network = [stack.enter_context(proxy(port)) for _ in links]
            seats = await asyncio.gather(*map(sit_down, links, network, losses))
        answers = [answer for some in seats for answer in some]
        attempts = await api.owner.fetchval(
            "SELECT count(*) FROM exam_attempts WHERE exam_id = $1", api.exam_id
        )
        logins = await api.owner.fetch("SELECT id FROM logins WHERE exam_id = $1", api.exam_id)
        replays = [(await launch(api, link)).status for link in links]  # from another address

        assert [between.cuts for between in network] == losses
        assert [answer.status for answer in answers] == [200] * CANDIDATES
        assert attempts == len({answer.body["attempt_id"] for answer in answers}) == CANDIDATES
        assert {str(row["id"]) for row in logins} == {login_of(answer) for answer in answers}
        assert len(logins) == CANDIDATES
        assert replays == [409] * CANDIDATES
        listed = await api.get("/api/ledger/events?kind=auth.launch_refused&limit=200", "admin")
        assert len(listed.body["events"]) == CANDIDATES
