"""
Every route that changes something, sent twice under one key, does it once and answers the same; another
request under that key is refused (spec.md S-1, I-2). The routes come from the route list.
"""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from core_api.app import routes
from core_api.identity import revoking
from kernel.http.web import Retry
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import furnish
from tests.kits.acts import act, acts
from tests.kits.authoring import answer
from tests.kits.core import PASSWORD, Core, DatabaseAs, core_api, settings_of

RETRIES = {(route.method, route.path): route.retry for route in routes()}


async def test_a_request_repeated_under_its_key_is_done_once_and_another_one_is_refused_i2(
    core: Core,
) -> None:
    async with core.school() as api:
        world, done = await furnish(api), 0
        keyed = [at for at in acts() if RETRIES[at] is not Retry.own_way]
        for n, at in enumerate(keyed):
            key, body = {"Idempotency-Key": f"key {n}"}, MATRIX[at].body(world)
            first = await act(world, at, body, key)
            if first.status >= 400:
                assert first.status in {404, 409}, (at, first.body)
                continue
            done += 1
            count = "SELECT count(*) FROM ledger_events WHERE kind NOT LIKE '%.viewed'"
            before = await api.owner.fetchval(count)
            again = await act(world, at, body, key)
            other = await act(world, at, {"other": 1}, key)
            assert await api.owner.fetchval(count) == before, at
            if RETRIES[at] is Retry.told:
                assert (again.status, again.body["code"]) == (409, "conflict"), at
            else:
                assert (again.status, again.body) == (first.status, first.body), at
            assert (other.status, other.body["code"]) == (409, "idempotency_key_reused"), at
        assert done >= 0.8 * len(keyed)


async def test_what_was_refused_holds_no_key_and_another_account_has_keys_of_its_own_i2(core: Core) -> None:
    async with core.school() as api:
        key = {"Idempotency-Key": "one"}
        wrong = await api.post("/api/teacher/exams", "teacher", json={"title": ""}, headers=key)
        right = {"title": "Mine", "duration_minutes": 60}
        made = await api.post("/api/teacher/exams", "teacher", json=right, headers=key)
        theirs = await api.post("/api/teacher/exams", "colleague", json=right, headers=key)

        assert (wrong.status, made.status, theirs.status) == (422, 201, 201)
        assert made.body["id"] != theirs.body["id"]


@pytest.mark.parametrize("key", ["", "x" * 201, "schlüssel", "a\tb"])
async def test_a_key_is_short_and_printable_wherever_it_is_sent_i2(core: Core, key: str) -> None:
    async with core.school() as api:
        attempt = f"/api/student/attempts/{await api.start_attempt()}/submit"
        for at, person in (("/api/teacher/exams", "teacher"), (attempt, "student")):
            refused = await api.post(at, person, json={}, headers={"Idempotency-Key": key})

            assert (refused.status, refused.body["errors"][0]["path"]) == (422, "Idempotency-Key"), at


async def test_a_key_that_is_first_seen_on_a_retry_of_a_hand_in_is_bound_to_its_body_i2(core: Core) -> None:
    async with core.school() as api:
        world = await furnish(api)
        path = f"/api/student/attempts/{world.parameters['past_attempt_id']}/submit"
        key, other = {"Idempotency-Key": "late"}, answer(world.parameters["question_id"], 9, text="Another.")
        first = await api.post(path, "student", json={"answers": []}, headers=key)
        again = await api.post(path, "student", json={"answers": []}, headers=key)
        changed = await api.post(path, "student", json={"answers": [other]}, headers=key)

        assert (first.status, again.status, changed.status) == (200, 200, 409)
        assert again.body["submission_id"] == first.body["submission_id"]
        assert changed.body["code"] == "idempotency_key_reused"


async def test_what_nobody_asks_for_any_more_is_swept_whoever_it_was_answered_s1(core: Core) -> None:
    """In statements of a bounded number of rows, until none is left; what a retry may ask for stays."""
    settings, many = settings_of(core.database_as), revoking.KEYS_MAX + 1
    async with (
        core.school() as api,
        asyncpg.create_pool(settings.database_url, min_size=1, max_size=1) as pool,
    ):
        keep = "INSERT INTO idempotency_keys (user_id, key, request, claimed_at, status, reply)"
        await api.owner.execute(
            f"{keep} SELECT $1, n::text, sha256(''), now() - $2 * interval '1 s', 200, 'old' FROM"
            " generate_series(1, $3::integer) AS n",
            api.people["student"].id, settings.idempotency_window_s + 1, many,
        )  # fmt: skip
        await api.owner.execute(
            f"{keep} SELECT $1, 'new', sha256(''), now() - $2 * interval '1 s', 200, 'new'",
            api.people["student"].id, settings.idempotency_window_s - 60,
        )  # fmt: skip
        await revoking.sweep(pool, settings, now=datetime.now(UTC))
        left = "SELECT key FROM idempotency_keys WHERE user_id = $1"
        keys = await api.owner.fetch(left, api.people["student"].id)

        assert [row["key"] for row in keys] == ["new"]


async def test_no_connection_is_held_while_a_password_is_hashed_under_a_key_a1(
    database: str, database_as: DatabaseAs
) -> None:
    """With one connection in all, everybody else is answered meanwhile."""
    async with core_api(database, database_as, pool_connections_max=1, bcrypt_rounds=13) as api:
        new = {"email": "new@here.example", "role": "student", "password": PASSWORD}
        key = {"Idempotency-Key": "new"}
        made = asyncio.create_task(api.post("/api/admin/users", "admin", json=new, headers=key))
        meanwhile = 0
        for _ in range(10):
            assert (await api.get("/api/me", "student")).status == 200
            meanwhile += not made.done()

        assert (await made).status == 201
        assert meanwhile >= 5


async def test_requests_at_the_same_moment_under_one_key_are_one_i2(core: Core) -> None:
    """Those who looked before the first one was done wait for it, and get its reply."""
    async with core.school() as api:
        new, key = {"name": "Made once"}, {"Idempotency-Key": "once"}
        answers = await asyncio.gather(
            *(api.post("/api/admin/groups", "admin", json=new, headers=key) for _ in range(8))
        )

        assert [answer.status for answer in answers] == [201] * 8
        assert len({answer.body["id"] for answer in answers}) == 1
