"""Nobody takes more than a share: of sign-ins, registrations and requests (spec.md A-1, A-3)."""

import asyncio
import gzip
import io
from collections import Counter
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any

import aiohttp
import pytest

from core_api.identity.passwords import PasswordChecker
from core_api.identity.throttle import Source, limits_of, source_of
from kernel.errors import RateLimitedError
from kernel.settings import load
from tests.kits.core import PASSWORD, Api, DatabaseAs, core_api

HAMMERS = 5


async def login(api: Api, email: str, http: aiohttp.ClientSession | None = None) -> int:
    body = {"email": email, "password": PASSWORD}
    async with (http or api.http).post(f"{api.url}/api/auth/login", json=body) as answer:
        await answer.read()
        return answer.status


async def test_five_accounts_that_sign_in_without_pause_leave_room_for_everybody_else_a3(
    database: str, database_as: DatabaseAs
) -> None:
    """Their passwords are right, so that nothing counts as failed; they share an address of their own."""
    async with core_api(database, database_as, bcrypt_rounds=8, login_queue_max=16) as api:
        loud = [api.people[name].email for name in ("teacher", "reviewer", "observer", "colleague", "rival")]
        assert len(loud) == HAMMERS
        connector = aiohttp.TCPConnector(limit=0, local_addr=("127.66.0.1", 0))
        async with aiohttp.ClientSession(connector=connector) as elsewhere:
            stop, full, counts = asyncio.Event(), asyncio.Event(), Counter[int]()

            async def hammer(email: str) -> None:
                while not stop.is_set():
                    counts[await login(api, email, elsewhere)] += 1
                    if counts[429] > 50:
                        full.set()
                        await asyncio.sleep(0.05)

            storm = [asyncio.create_task(hammer(email)) for email in loud for _ in range(10)]
            await full.wait()
            names = ("student", "other_student", "admin")
            quiet = [await login(api, api.people[name].email) for name in names]
            stop.set()
            await asyncio.gather(*storm)

        assert quiet == [200, 200, 200]
        assert set(counts) == {200, 429}


def places(queue: int = 64, **settings: Any) -> tuple[PasswordChecker, Any]:
    """Return a checker with room for so many, and how to name a source."""
    bounds = load({}, login_queue_max=queue, **settings)
    checker = PasswordChecker(
        rounds=4,
        waiting_max=queue - 1,
        pair_places=bounds.login_pair_places,
        account_share=bounds.login_account_share,
        network_share=bounds.login_network_share,
    )

    def source(address: str, account: str) -> Source:
        return source_of(ip_address(address), account, limits_of(bounds))

    return checker, source


def taken(checker: PasswordChecker, stack: ExitStack, sources: list[Source]) -> int:
    """Take a place for each and keep it; return how many were given."""
    given = 0
    for source in sources:
        try:
            stack.enter_context(checker.place(source))
        except RateLimitedError:
            continue
        given += 1
    return given


@pytest.mark.parametrize(
    ("addresses", "accounts", "most"),
    [
        (1, 1, 2),  # one account at one address
        (200, 1, 8),  # one account from everywhere: an eighth
        (1, 200, 33),  # one address: half of what there is
    ],
)
def test_nobody_holds_more_than_a_share_of_the_places_and_gives_all_back(
    addresses: int, accounts: int, most: int
) -> None:
    checker, source = places()
    sources = [source(f"10.0.{n % addresses}.1", f"{n % accounts}@x.example") for n in range(400)]
    for _ in range(2):
        with ExitStack() as stack:
            given = taken(checker, stack, sources)
            other = taken(checker, stack, [source("192.0.2.1", "somebody@else.example")])

            assert abs(given - most) <= 1
            assert other == 1
    checker.close()


def test_a_school_behind_one_exempt_address_may_take_every_place() -> None:
    checker, source = places(login_exempt_networks="10.0.0.0/8")
    with ExitStack() as stack:
        assert taken(checker, stack, [source("10.0.0.1", f"{n}@x.example") for n in range(400)]) >= 64
    checker.close()


async def test_registrations_close_neither_sign_in_nor_themselves_for_others_a3(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, registration="open", registrations_max=25) as api:
        student = api.people["student"]
        await api.owner.execute("UPDATE organisations SET registration_open = true")
        bodies = [
            {
                "organisation_id": str(student.organisation_id),
                "email": f"new{n}@x.example",
                "password": PASSWORD,
            }
            for n in range(27)
        ]
        answers = [(await api.post("/api/auth/register", json=body)).status for body in bodies]
        failed = await api.owner.fetchval("SELECT count(*) FROM login_attempts WHERE failed_at IS NOT NULL")

        assert Counter(answers) == {202: 25, 429: 2}
        assert (failed, await login(api, student.email)) == (0, 200)


async def test_one_account_does_not_use_up_what_the_others_may_ask(
    database: str, database_as: DatabaseAs
) -> None:
    """A service has numbers of its own; what is refused says when to come again."""
    bounds = {"account_requests_per_s": 0.5, "account_burst_requests": 10, "service_burst_requests": 20}
    async with core_api(database, database_as, **bounds) as api:
        answers = [await api.get("/api/me", "student") for _ in range(15)]
        others = [(await api.get("/api/me", name)).status for name in ("other_student", "admin")]
        service = [(await api.get("/api/me", "service")).status for _ in range(15)]
        late = await api.get("/api/student/dashboard", "student")

        assert Counter(answer.status for answer in answers) == {200: 10, 429: 5}
        assert all(1 <= int(answer.headers["Retry-After"]) <= 3 for answer in answers[10:])
        assert (others, Counter(service), late.status) == ([200, 200], {200: 15}, 429)


async def test_whoever_has_a_link_uses_up_nothing_of_the_persons_own(
    database: str, database_as: DatabaseAs
) -> None:
    """A-7: a teacher makes a bait exam and a link; the student's requests and keys stay theirs."""
    bounds = {
        "account_requests_per_s": 0.01, "account_burst_requests": 8, "account_idempotency_keys_max": 3,
    }  # fmt: skip
    async with core_api(database, database_as, **bounds) as api:
        path, by_link = (
            f"/api/student/exams/{api.exam_id}/start",
            api.token("student", exam_id=str(api.exam_id)),
        )

        async def start(number: int, token: str) -> int:
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"key-{number}"}
            return (await api.post(path, headers=headers)).status

        linked = [await start(n, by_link) for n in range(12)]
        own = [await start(n, api.token("student")) for n in range(3)]

        assert set(linked[:3]) <= {200, 201}
        assert set(linked[3:]) == {429}
        assert set(own) <= {200, 201}


@pytest.mark.parametrize("kind", ["too large", "with a key", "plain"])
async def test_large_bodies_count_as_many_requests(database: str, database_as: DatabaseAs, kind: str) -> None:
    """Four kilobytes on the wire unpack to megabytes: 20 ms of the loop that serves everybody."""
    bounds = {"account_requests_per_s": 0.01, "account_burst_requests": 200}
    async with core_api(database, database_as, **bounds) as api:
        size = (4 << 20) + (1 if kind == "too large" else -100)
        body = gzip.compress(b'{"bio": "' + b" " * (size - 11) + b'"}')

        async def send(by: str, number: int = 0) -> int:
            headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            if kind == "with a key":
                headers["Idempotency-Key"] = f"key-{number}"
            return (await api.call("PUT", "/api/me", by, data=io.BytesIO(body), headers=headers)).status

        statuses = [await send("student", number) for number in range(6)]

        assert statuses[0] == await send("other_student") == (413 if kind == "too large" else 422)
        assert statuses[:3] == statuses[:1] * 3
        assert statuses[3:] == [429] * 3
