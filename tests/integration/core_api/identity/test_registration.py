"""Registration: closed unless opened twice, and telling nothing (spec.md A-1, A-3)."""

from collections import Counter
from uuid import uuid4

from tests.kits.core import Api, DatabaseAs, core_api, login, put


def registration(api: Api, email: str, name: str = "student") -> dict[str, str]:
    return {
        "organisation_id": str(api.people[name].organisation_id),
        "email": email,
        "password": "a password of my own",
    }


async def open_registration(api: Api) -> None:
    answer = await put(api, "/api/admin/organisation", "admin", registration_open=True)
    assert (answer.status, answer.body["registration_open"], answer.body["name"]) == (200, True, "Here")


async def test_registration_is_closed_unless_installation_and_organisation_open_it_a1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        await open_registration(api)
        answer = await api.post("/api/auth/register", json=registration(api, "new@x.example"))
        assert answer.status == 403
    async with core_api(database, database_as, registration="open") as api:
        bodies = [
            registration(api, "new@x.example", "stranger"),
            registration(api, "new@x.example") | {"organisation_id": str(uuid4())},
        ]
        answers = [await api.post("/api/auth/register", json=body) for body in bodies]

        assert [answer.status for answer in answers] == [403, 403]
        assert len({answer.body["detail"] for answer in answers}) == 1


async def test_somebody_registers_as_a_student_and_can_say_nothing_else_a1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, registration="open") as api:
        await open_registration(api)
        body = registration(api, "new@x.example")
        for more in ({"role": "admin"}, {"is_verified": True}):
            refused = await api.post("/auth/register", json=body | more)
            assert refused.status == 422
        answer = await api.post("/auth/register", json=body)
        kept = await api.owner.fetchrow("SELECT * FROM users WHERE email = 'new@x.example'")

        assert (answer.status, answer.body) == (202, {"status": "accepted"})
        assert (kept["role"], kept["is_verified"]) == ("student", False)
        assert kept["password_hash"].startswith("$2b$")
        assert await login(api, "new@x.example", body["password"]) == 200


async def test_registering_a_known_address_changes_nothing_and_tells_nothing_a1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, registration="approval") as api:
        await open_registration(api)
        known, fresh = api.people["teacher"].email, "new@x.example"
        answers = [
            await api.post("/api/auth/register", json=registration(api, email))
            for email in (known, known.upper(), api.people["stranger"].email, fresh, fresh)
        ]

        assert {(answer.status, str(answer.body)) for answer in answers} == {(202, "{'status': 'accepted'}")}
        assert await login(api, known) == 200
        # Not even a sign-in tells them apart, until an admin approves.
        own = "a password of my own"
        assert [await login(api, email, own) for email in (known, fresh)] == [401, 401]
        waiting = await api.get("/api/admin/users?is_active=false", "admin")
        assert [each["email"] for each in waiting.body["users"]] == [fresh]
        await api.post(f"/api/admin/users/{waiting.body['users'][0]['id']}/unlock", "admin")
        assert await login(api, fresh, own) == 200


async def test_many_registrations_from_one_address_are_throttled_a3(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, registration="open", registrations_max=5) as api:
        await open_registration(api)
        answers = [
            await api.post("/api/auth/register", json=registration(api, f"{n}@x.example")) for n in range(8)
        ]

        assert Counter(answer.status for answer in answers) == {202: 5, 429: 3}


async def test_a_password_that_is_short_or_too_long_to_be_hashed_is_refused(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, registration="open") as api:
        await open_registration(api)
        for password in ("short", "é" * 40, "x" * 73):
            body = registration(api, "new@x.example") | {"password": password}
            assert (await api.post("/api/auth/register", json=body)).status == 422
