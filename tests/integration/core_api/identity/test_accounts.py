"""Sign-in, launch links, one's own account (spec.md A-1, A-7)."""

import asyncio
from collections import Counter

from yarl import URL

from kernel.tokens import Audience
from tests.kits.core import PASSWORD, Api, Core, DatabaseAs, core_api


def login_of(api: Api, name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"email": api.people[name].email, "password": password}


async def raw_status(api: Api, *lines: bytes) -> int:
    """Send a request byte for byte, as no client library would, and return the status."""
    address = URL(api.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"\r\n".join([*lines, b"Host: x", b"Connection: close", b"", b""]))
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


async def test_the_right_password_gives_a_token_that_opens_ones_own_account_a1(core: Core) -> None:
    async with core.school() as api:
        answer = await api.post("/api/auth/login", json=login_of(api, "student"))
        assert answer.status == 200
        assert set(answer.body) == {
            "access_token", "token_type", "expires_in", "user", "refresh_token", "refresh_expires_in",
        }  # fmt: skip
        assert (answer.body["token_type"], answer.body["expires_in"]) == ("bearer", 86_400)
        assert answer.body["user"]["role"] == "student"

        headers = {"Authorization": f"Bearer {answer.body['access_token']}"}
        me = await api.get("/api/me", headers=headers)
        assert me.status == 200
        assert me.body["id"] == str(api.people["student"].id)
        assert me.body["last_login"] is not None


async def test_the_bare_path_and_another_case_of_the_address_sign_in_too(core: Core) -> None:
    async with core.school() as api:
        body = {"email": api.people["student"].email.upper(), "password": PASSWORD}

        assert (await api.post("/auth/login", json=body)).status == 200


async def test_a_refused_sign_in_never_says_what_was_wrong_a2(core: Core) -> None:
    async with core.school() as api:
        await api.owner.execute("UPDATE users SET is_active = false WHERE id = $1", api.people["observer"].id)
        await api.owner.execute(
            "UPDATE users SET password_hash = NULL WHERE id = $1", api.people["service"].id
        )
        bodies = [
            login_of(api, "student", "wrong"),
            login_of(api, "student", PASSWORD + "x" * 80),
            login_of(api, "observer"),
            login_of(api, "service"),
            {"email": "nobody@here.example", "password": PASSWORD},
        ]
        answers = [await api.post("/api/auth/login", json=body) for body in bodies]

        assert {answer.status for answer in answers} == {401}
        assert len({answer.body["detail"] for answer in answers}) == 1
        assert all(answer.headers["WWW-Authenticate"] == "Bearer" for answer in answers)


async def test_an_unreadable_sign_in_is_refused_with_its_path(core: Core) -> None:
    cases: list[tuple[bytes, int, str | None]] = [
        (b"{", 400, None),
        (b'{"email": "a@b.example"}', 422, "body"),
        (b'{"email": 5, "password": "x"}', 422, "email"),
        (b'{"email": "a\\u0000b@c.example", "password": "x"}', 422, "email"),
        (b'{"email": "a@b.example", "password": ""}', 422, "password"),
    ]
    async with core.school() as api:
        for body, status, path in cases:
            answer = await api.post(
                "/api/auth/login", data=body, headers={"Content-Type": "application/json"}
            )

            assert (answer.status, body) == (status, body)
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert answer.body["success"] is False
            assert answer.body["requestId"] == answer.headers["X-Request-Id"]
            assert [fault["path"] for fault in answer.body.get("errors", [])] == ([path] if path else [])


async def test_a_login_storm_is_bounded_and_the_rest_of_the_api_still_answers_a1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(
        database, database_as, login_queue_max=4, bcrypt_rounds=11, login_exempt_networks="127.0.0.0/8"
    ) as api:
        await api.owner.execute("UPDATE users SET password_hash = NULL")  # everybody costs the full 11 rounds
        storm = [
            asyncio.create_task(
                api.post("/api/auth/login", json={"email": f"{n}@here.example", "password": PASSWORD})
            )
            for n in range(500)
        ]
        await asyncio.sleep(0.05)
        for _ in range(20):
            async with asyncio.timeout(10):
                assert (await api.get("/api/me", "student")).status == 200
        answers = await asyncio.gather(*storm)
        statuses = Counter(answer.status for answer in answers)

        assert set(statuses) == {401, 429}
        assert statuses[429] >= 400
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status == 429)


async def test_a_missing_or_forged_token_is_a_401(core: Core) -> None:
    async with core.school() as api:
        assert (await api.get("/api/me")).status == 401
        for authorization in ("", "Bearer", "Bearer ", "Bearer x.y.z", "Basic dTpw", "Bearer " + "a" * 4000):
            answer = await api.get("/api/me", headers={"Authorization": authorization})

            assert (answer.status, authorization) == (401, authorization)
        assert (await raw_status(api, b"GET /api/me HTTP/1.1", b"Authorization: Bearer \xff.\xfe.x")) == 401


async def test_a_launch_link_is_no_access_token_and_an_expired_token_is_none_either(core: Core) -> None:
    async with core.school() as api:
        link = api.token("student", audience=Audience.launch, exam_id=str(api.exam_id))
        expired = api.token("student", life_s=-1)

        for token in (link, expired):
            assert (await api.get("/api/me", headers={"Authorization": f"Bearer {token}"})).status == 401
