"""
What an account sees bloats the ledger no more than its limits allow (spec.md A-6, L-1, X-1): the same again
is counted, and what is different each time is bounded by the requests that the account may send.
"""

import asyncio
from collections import Counter
from time import monotonic
from typing import Any

from kernel.ledger.event import read_body
from tests.kits.core import Api, DatabaseAs, core_api

WINDOW_S = 6.0  # in which twenty requests are through, however busy the machine is
SEEN = "SELECT kind, body FROM ledger_events WHERE actor_id = $1 AND kind LIKE '%.viewed'"


async def seen_by(api: Api, person: str) -> list[Any]:
    """Return the details of somebody's views on the ledger."""
    rows = await api.owner.fetch(SEEN, api.people[person].id)
    return [read_body(row["body"]).detail for row in rows]


async def written(api: Api, person: str, count: int) -> list[Any]:
    """Wait until so many views of somebody stand on the ledger; return them."""
    for _ in range(400):
        details = await seen_by(api, person)
        if len(details) >= count:
            return details
        await asyncio.sleep(0.05)
    raise AssertionError(f"{len(details)} of {count} views came onto the ledger")


async def test_seeing_the_same_again_within_the_window_is_one_event_with_a_count_a6(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, ledger_view_window_s=WINDOW_S) as api:
        session_id = await api.start_session()
        began = monotonic()
        for _ in range(20):
            assert (await api.get(f"/api/proctor/session/{session_id}", "reviewer")).status == 200
        assert monotonic() - began < WINDOW_S, "all of them within one window"

        first, counted = await written(api, "reviewer", 2)
        assert "times" not in first
        assert counted["times"] == 19, "seen once, and nineteen times again"
        await asyncio.sleep(0.3)
        assert len(await seen_by(api, "reviewer")) == 2


async def test_views_that_differ_each_time_are_bounded_by_what_the_account_may_ask_a6(
    database: str, database_as: DatabaseAs
) -> None:
    bounds = {"account_requests_per_s": 2.0, "account_burst_requests": 10}
    async with core_api(database, database_as, **bounds) as api:
        began = monotonic()
        statuses = Counter(
            [(await api.get(f"/api/admin/users?limit={n}", "admin")).status for n in range(1, 61)]
        )
        most = bounds["account_burst_requests"] + bounds["account_requests_per_s"] * (monotonic() - began)
        other = (await api.get("/api/proctor/sessions", "teacher")).status

        assert statuses.keys() == {200, 429}
        assert statuses[200] <= most + 1
        assert len(await written(api, "admin", statuses[200])) == statuses[200], (
            "what is refused shows nothing"
        )
        assert other == 200
