"""Invitations where two things happen at once: one token holds, and a lock of the issuer voids it (A-8)."""

import asyncio
from time import monotonic
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from tests.kits.core import PASSWORD, Answer, Api, Core

WITHIN_S = 30.0
WAITING = (
    "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND cardinality(pg_blocking_pids(pid)) > 0"
)


async def newcomer(api: Api) -> UUID:
    body = {"email": f"{uuid7()}@x.example", "role": "student"}
    made = await api.post("/api/admin/users", "admin", json=body)
    assert made.status == 201, made.body
    return UUID(made.body["id"])


async def invite(api: Api, user_id: UUID) -> Answer:
    return await api.post("/api/admin/users/invitations", "admin", json={"user_ids": [str(user_id)]})


async def accept(api: Api, token: str) -> Answer:
    return await api.post("/api/auth/invitation", json={"token": token, "password": PASSWORD})


async def until_they_wait(api: Api, *tasks: "asyncio.Task[Any]") -> None:
    """Wait until so many wait for a lock; they must not get by without it."""
    deadline = monotonic() + WITHIN_S
    while (waiting := await api.owner.fetchval(WAITING)) < len(tasks):
        assert not any(task.done() for task in tasks), "what is held must be waited for"
        assert monotonic() < deadline, f"{waiting} wait"
        await asyncio.sleep(0.01)


async def test_a_lock_of_the_issuer_that_comes_first_voids_an_acceptance_under_way_a8(core: Core) -> None:
    async with core.school() as api:
        token = (await invite(api, await newcomer(api))).body["invitations"][0]["token"]
        async with api.owner.transaction():
            locked = "UPDATE users SET is_active = false WHERE id = $1"
            await api.owner.execute(locked, api.people["admin"].id)
            accepting = asyncio.create_task(accept(api, token))
            await until_they_wait(api, accepting)

        assert (await accepting).status == 401


async def test_of_two_invitations_made_at_once_one_holds_a8(core: Core) -> None:
    async with core.school() as api:
        user_id = await newcomer(api)
        async with api.owner.transaction():
            await api.owner.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
            inviting = [asyncio.create_task(invite(api, user_id)) for _ in range(2)]
            await until_they_wait(api, *inviting)
        made = await asyncio.gather(*inviting)

        assert [each.status for each in made] == [201, 201]
        kept = await api.owner.fetchval("SELECT count(*) FROM invitations WHERE user_id = $1", user_id)
        assert kept == 1
        tokens = [each.body["invitations"][0]["token"] for each in made]
        assert sorted([(await accept(api, token)).status for token in tokens]) == [200, 401]
