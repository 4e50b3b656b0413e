"""
Whoever is told which addresses and usernames are taken, and gets no account for them, leaves a view: an admin
sees who tries out names (spec.md A-6, L-1).
"""

import asyncio
from typing import Any
from uuid import uuid4

from tests.kits.core import Api, Core, put

LOG = "/api/admin/audit-logs?action=account_names.viewed&limit=200"


async def looks(api: Api, count: int) -> list[Any]:
    """Wait until the audit log tells of so many looks; return who had them, and what they were told."""
    found: list[Any] = []
    for _ in range(400):
        found = (await api.get(LOG, "admin")).body["audit_logs"]
        if len(found) >= count:
            break
        await asyncio.sleep(0.05)
    return [(each["user_role"], each["details"]["looked_up"], each["details"]["taken"]) for each in found]


async def test_every_door_that_tells_which_names_are_taken_leaves_a_view_a6(core: Core) -> None:
    async with core.school() as api:
        elsewhere = api.people["stranger"].email
        name = f"name-{uuid4().hex}"
        new = [f"{uuid4()}@new.example" for _ in range(3)]
        bad = f"email,name\n{new[0]},A\n{new[1]},B\n{elsewhere},C\n"
        good = f"email,name\n{new[0]},A\n{new[1]},B\n"
        imports, key = "/api/admin/users/import", {"Idempotency-Key": "tried"}

        somebody = {"email": f"{name}@new.example", "role": "student", "username": name}
        assert (await api.post("/api/admin/users", "admin", json=somebody)).status == 201
        answers = [
            await api.post(imports, "admin", json={"users": bad}),
            await api.post(imports, "admin", json={"users": good, "dry_run": True}),
            await api.post(imports, "admin", json={"users": bad, "partial": True}),
            await api.post(
                "/api/admin/users", "admin", json={"email": elsewhere, "role": "student"}, headers=key
            ),
            await put(api, "/api/me", "teacher", username=name),
        ]
        told = [(2, 1), (2, 0), (0, 1), (0, 1), (0, 1)]
        assert [each.status for each in answers] == [422, 200, 200, 409, 409], answers

        expected = [("admin", free + taken, taken) for free, taken in told[:4]] + [("teacher", 1, 1)]
        # the third look and the fourth are the same: the second of the two is counted, and told later
        assert sorted(await looks(api, 4)) == sorted(set(expected))

        made = await api.post(imports, "admin", json={"users": f"email,name\n{new[2]},New"})
        assert (made.status, made.body["people"]["created"]) == (200, 1)
        assert len(await looks(api, 4)) == 4, "an account that was made is its own event"
