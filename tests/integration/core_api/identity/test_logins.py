"""Refresh tokens, signing out, and stolen or forged tokens (spec.md A-1, A-2)."""

import asyncio
import base64
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import orjson
import pytest

from core_api.identity.logins import Verdict, judge
from tests.kits.core import JWT_KEYS, PASSWORD, Answer, Api, Core, DatabaseAs, core_api

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GRACE = timedelta(seconds=10)


async def sign_in(api: Api, name: str = "student") -> Any:
    answer = await api.post("/api/auth/login", json={"email": api.people[name].email, "password": PASSWORD})
    assert answer.status == 200
    return answer.body


async def refresh(api: Api, token: str) -> Answer:
    return await api.post("/api/auth/refresh", json={"refresh_token": token})


async def me(api: Api, access_token: str) -> int:
    return (await api.get("/api/me", headers={"Authorization": f"Bearer {access_token}"})).status


async def logout(api: Api, access_token: str, query: str = "") -> Answer:
    return await api.post(f"/api/auth/logout{query}", headers={"Authorization": f"Bearer {access_token}"})


async def test_a_refresh_token_gives_the_next_pair_and_is_spent_a1(core: Core) -> None:
    async with core.school() as api:
        first = await sign_in(api)
        assert first["refresh_expires_in"] == 7 * 86_400

        second = await refresh(api, first["refresh_token"])
        assert second.status == 200
        assert second.body["refresh_token"] != first["refresh_token"]
        assert second.body["user"]["id"] == str(api.people["student"].id)
        assert [await me(api, each["access_token"]) for each in (first, second.body)] == [200, 200]
        third = await refresh(api, second.body["refresh_token"])
        assert third.status == 200


async def test_the_database_holds_no_refresh_token_only_its_digest_a1(core: Core) -> None:
    async with core.school() as api:
        token = (await sign_in(api))["refresh_token"]
        rows = await api.owner.fetch("SELECT t::text AS text FROM refresh_tokens t")

        assert len(rows) == 1
        assert token not in rows[0]["text"]
        assert token.encode().hex() not in rows[0]["text"]


async def test_a_spent_token_that_comes_again_ends_the_whole_family_a1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, refresh_grace_s=0) as api:
        stolen = await sign_in(api)
        other_device = await sign_in(api)
        honest = (await refresh(api, stolen["refresh_token"])).body
        thief = await refresh(api, stolen["refresh_token"])

        assert thief.status == 401
        assert (await refresh(api, honest["refresh_token"])).status == 401
        assert await me(api, honest["access_token"]) == 401
        assert await me(api, stolen["access_token"]) == 401
        assert await me(api, other_device["access_token"]) == 200
        assert (await refresh(api, other_device["refresh_token"])).status == 200


@pytest.mark.parametrize("at_once", [2, 20])
async def test_of_refreshes_at_once_one_wins_and_nobody_is_signed_out_a1(core: Core, at_once: int) -> None:
    async with core.school() as api:
        token = (await sign_in(api))["refresh_token"]
        answers = await asyncio.gather(*(refresh(api, token) for _ in range(at_once)))
        won = [answer.body for answer in answers if answer.status == 200]

        assert Counter(answer.status for answer in answers) == {200: 1, 409: at_once - 1}
        assert await me(api, won[0]["access_token"]) == 200
        assert (await refresh(api, won[0]["refresh_token"])).status == 200


async def test_without_a_grace_refreshes_at_once_still_give_one_pair_at_most_a1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, refresh_grace_s=0) as api:
        token = (await sign_in(api))["refresh_token"]
        answers = await asyncio.gather(*(refresh(api, token) for _ in range(10)))
        unspent = await api.owner.fetchval(
            "SELECT count(*) FROM refresh_tokens r JOIN logins l ON l.id = r.login_id"
            " WHERE r.used_at IS NULL AND l.revoked_at IS NULL"
        )

        statuses = Counter(answer.status for answer in answers)
        # 409 gets who came before the first one and was served after it.
        assert statuses[200] == 1
        assert statuses[401] + statuses[409] == 9
        assert unspent == (0 if statuses[401] else 1)


async def test_a_family_that_falls_while_it_is_refreshed_leaves_no_living_token_a1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, refresh_grace_s=0) as api:
        for _ in range(10):
            spent = (await sign_in(api))["refresh_token"]
            current = (await refresh(api, spent)).body["refresh_token"]
            pair, _ = await asyncio.gather(refresh(api, current), refresh(api, spent))
            if pair.status == 200:
                assert (await refresh(api, pair.body["refresh_token"])).status == 401
                assert await me(api, pair.body["access_token"]) == 401


async def test_an_unknown_or_expired_refresh_token_is_a_401(core: Core) -> None:
    async with core.school() as api:
        signed_in = await sign_in(api)
        await api.owner.execute("UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")

        for token in (signed_in["refresh_token"], signed_in["access_token"][:200], "nobody's", "\u2603"):
            assert (await refresh(api, token)).status == 401
        assert (await api.post("/api/auth/refresh", json={})).status == 422


async def test_signing_out_ends_this_sign_in_and_no_other_a2(core: Core) -> None:
    async with core.school() as api:
        here, there = await sign_in(api), await sign_in(api)
        rotated = (await refresh(api, here["refresh_token"])).body
        answer = await logout(api, rotated["access_token"])

        assert (answer.status, answer.body) == (200, {"everywhere": False})
        assert [await me(api, each["access_token"]) for each in (here, rotated, there)] == [401, 401, 200]
        assert (await refresh(api, rotated["refresh_token"])).status == 401
        assert (await logout(api, rotated["access_token"])).status == 401


async def test_signing_out_everywhere_ends_every_sign_in_and_the_next_one_works_at_once_a2(
    core: Core,
) -> None:
    async with core.school() as api:
        pairs = [await sign_in(api) for _ in range(3)]
        assert (await logout(api, pairs[0]["access_token"], "?everywhere=true")).status == 200

        assert [await me(api, pair["access_token"]) for pair in pairs] == [401] * 3
        assert [(await refresh(api, pair["refresh_token"])).status for pair in pairs] == [401] * 3
        assert await me(api, (await sign_in(api))["access_token"]) == 200


async def test_a_launched_candidate_signs_out_too_a2(core: Core) -> None:
    async with core.school() as api:
        path = f"/api/teacher/exams/{api.exam_id}/launch-links"
        links = await api.post(path, "teacher", json={"emails": [api.people["student"].email]})
        link = links.body["links"][0]["token"]
        launched = (await api.post("/api/auth/launch", json={"token": link})).body
        assert "refresh_token" not in launched

        assert await me(api, launched["access_token"]) == 403
        assert (await logout(api, launched["access_token"])).status == 200
        assert await me(api, launched["access_token"]) == 401
        assert (await api.get("/api/me", "student")).status == 200


async def test_a_new_password_ends_every_sign_in_and_is_the_only_one_that_counts(core: Core) -> None:
    async with core.school() as api:
        before = await sign_in(api)
        headers = {"Authorization": f"Bearer {before['access_token']}"}
        body = {"current_password": PASSWORD, "new_password": "another horse entirely"}
        wrong = await api.call(
            "PUT", "/api/me/password", headers=headers, json=body | {"current_password": "wrong"}
        )
        long = await api.call(
            "PUT", "/api/me/password", headers=headers, json=body | {"new_password": "é" * 72}
        )
        changed = await api.call("PUT", "/api/me/password", headers=headers, json=body)

        assert (wrong.status, long.status, changed.status) == (403, 422, 200)
        assert await me(api, before["access_token"]) == 401
        assert (await refresh(api, before["refresh_token"])).status == 401
        email = api.people["student"].email
        statuses = [
            (await api.post("/api/auth/login", json={"email": email, "password": each})).status
            for each in (PASSWORD, body["new_password"])
        ]
        assert statuses == [401, 200]


async def test_a_sign_in_that_races_a_lock_leaves_no_living_token_a2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, bcrypt_rounds=8, login_attempts_max=1000) as api:
        student = api.people["student"]
        body = {"email": student.email, "password": PASSWORD}
        for _ in range(5):
            signing_in = [asyncio.create_task(api.post("/api/auth/login", json=body)) for _ in range(4)]
            await asyncio.sleep(0.005)
            await api.post(f"/api/admin/users/{student.id}/lock", "admin")
            pairs = [answer.body for answer in await asyncio.gather(*signing_in) if answer.status == 200]
            await api.post(f"/api/admin/users/{student.id}/unlock", "admin")

            assert {await me(api, pair["access_token"]) for pair in pairs} <= {401}
            assert {(await refresh(api, pair["refresh_token"])).status for pair in pairs} <= {401}


async def test_dead_sign_ins_are_deleted_at_the_next_one(core: Core) -> None:
    async with core.school() as api:
        await sign_in(api)
        await api.owner.execute("UPDATE logins SET expires_at = now() - interval '1 second'")
        await sign_in(api)

        assert await api.owner.fetchval("SELECT count(*) FROM logins") == 1
        assert await api.owner.fetchval("SELECT count(*) FROM refresh_tokens") == 1


async def test_sign_ins_and_refreshes_are_bounded(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as, logins_max=3, refreshes_max=2) as api:
        pairs = [await sign_in(api) for _ in range(4)]
        oldest, newest = [(await refresh(api, pair["refresh_token"])) for pair in (pairs[0], pairs[3])]
        again = await refresh(api, newest.body["refresh_token"])

        assert await api.owner.fetchval("SELECT count(*) FROM logins") == 3
        assert (oldest.status, newest.status, again.status) == (401, 200, 429)
        await api.owner.execute(
            "UPDATE refresh_tokens SET expires_at = now() - interval '1 second' WHERE used_at IS NOT NULL"
        )
        assert (await refresh(api, newest.body["refresh_token"])).status == 200


async def test_forged_tokens_open_nothing_a1(core: Core) -> None:
    async with core.school() as api:
        genuine = api.token("student")
        claims = jwt.decode(genuine, options={"verify_signature": False})
        header, _, signature = genuine.split(".")
        admin = claims | {"role": "admin", "user_id": str(api.people["admin"].id)}
        key = base64.b64decode(JWT_KEYS.split(":")[1])
        part = base64.urlsafe_b64encode(orjson.dumps(admin)).rstrip(b"=").decode()
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT","kid":"test"}').rstrip(b"=").decode()
        forged = {
            "payload swapped": f"{header}.{part}.{signature}",
            "alg none, no signature": f"{none}.{part}.",
            "alg none, a signature": f"{none}.{part}.{signature}",
            "another key under our kid": jwt.encode(admin, b"x" * 32, "HS256", headers={"kid": "test"}),
            "our key under an unknown kid": jwt.encode(admin, key, "HS256", headers={"kid": "other"}),
            "no kid": jwt.encode(admin, key, "HS256"),
            "another algorithm": jwt.encode(admin, key, "HS384", headers={"kid": "test"}),
            "another audience": jwt.encode(admin | {"aud": "launch"}, key, "HS256", headers={"kid": "test"}),
            "no audience": jwt.encode(
                {name: value for name, value in admin.items() if name != "aud"}, key, "HS256",
                headers={"kid": "test"},
            ),
            "expired": jwt.encode(admin | {"exp": 1}, key, "HS256", headers={"kid": "test"}),
            "no expiry": jwt.encode(
                {name: value for name, value in admin.items() if name != "exp"}, key, "HS256",
                headers={"kid": "test"},
            ),
            "an unknown role": jwt.encode(admin | {"role": "root"}, key, "HS256", headers={"kid": "test"}),
            "a login without id": jwt.encode(admin | {"login": "x"}, key, "HS256", headers={"kid": "test"}),
            "cut short": genuine[:-10],
            "nothing but dots": "..",
        }  # fmt: skip
        statuses = {
            name: (await api.get("/api/admin/users", headers={"Authorization": f"Bearer {token}"})).status
            for name, token in forged.items()
        }

        assert statuses == dict.fromkeys(forged, 401)


def row(**more: Any) -> dict[str, Any]:
    return {
        "revoked_at": None,
        "used_at": None,
        "token_expires_at": NOW + timedelta(days=1),
        "is_active": True,
    } | more


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (None, Verdict.void),
        (row(), Verdict.good),
        (row(token_expires_at=NOW), Verdict.void),
        (row(is_active=False), Verdict.void),
        (row(revoked_at=NOW), Verdict.void),
        (row(used_at=NOW - timedelta(seconds=9)), Verdict.race),
        (row(used_at=NOW - GRACE), Verdict.reuse),
        (row(used_at=NOW - timedelta(days=3), token_expires_at=NOW - timedelta(days=1)), Verdict.reuse),
        (row(used_at=NOW - timedelta(days=3), revoked_at=NOW), Verdict.void),
    ],
)
def test_what_a_presented_refresh_token_is_worth_a1(found: Any, verdict: Verdict) -> None:
    assert judge(found, grace=GRACE, now=NOW) is verdict
