"""Origins of pages that an organisation allows, as an admin lists and sets them (spec.md X-3)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kits.core import Api, Core, put

PATH = "/api/admin/allowed-origins"


@pytest.fixture
async def api(core: Core) -> AsyncIterator[Api]:
    async with core.school() as api:
        yield api


async def events(api: Api) -> list[Any]:
    told = "SELECT body FROM ledger_events WHERE kind = 'allowed_origins.set' ORDER BY id"
    return [row["body"] for row in await api.owner.fetch(told)]


async def test_an_admin_sets_all_origins_at_once_and_sees_them_in_normal_form(api: Api) -> None:
    assert (await api.get(PATH, "admin")).body == {"origins": []}

    given = ["https://Exams.Example.org:443", "http://localhost:3000", "https://exams.example.org"]
    answer = await put(api, PATH, "admin", origins=given)

    normal = {"origins": ["http://localhost:3000", "https://exams.example.org"]}
    assert (answer.status, answer.body) == (200, normal)
    assert (await api.get(PATH, "admin")).body == normal
    assert (await api.get(PATH, "boss")).body == {"origins": []}

    assert (await put(api, PATH, "admin", origins=given[1:])).body == normal
    assert len(await events(api)) == 1  # nothing has changed since
    assert (await put(api, PATH, "admin", origins=[])).body == {"origins": []}
    told = await events(api)
    assert [b"http://localhost:3000" in body for body in told] == [True, False]


async def test_every_origin_that_is_none_is_named_by_its_place_and_nothing_is_changed(api: Api) -> None:
    good = ["https://a.example"]
    assert (await put(api, PATH, "admin", origins=good)).status == 200

    given = ["https://b.example", "https://*.example", "null", "https://c.example/", "https://d.example"]
    answer = await put(api, PATH, "admin", origins=given)

    assert answer.status == 422
    assert [fault["path"] for fault in answer.body["errors"]] == ["origins[1]", "origins[2]", "origins[3]"]
    assert "Wildcards" in answer.body["errors"][0]["message"]
    assert (await api.get(PATH, "admin")).body == {"origins": good}


async def test_their_number_is_bounded(api: Api) -> None:
    answer = await put(api, PATH, "admin", origins=[f"https://{n}.example" for n in range(51)])
    assert (answer.status, answer.body["errors"][0]["path"]) == (422, "origins")

    answer = await put(api, PATH, "admin", origins=[f"https://a{n}.example" for n in range(50)])
    assert (answer.status, len(answer.body["origins"])) == (200, 50)


async def test_a_change_past_the_ledger_is_found(api: Api) -> None:
    """What an organisation allows is a record that its event commits to (spec.md L-1)."""
    await put(api, PATH, "admin", origins=["https://a.example"])
    organisation = api.people["admin"].organisation_id
    state = "SELECT state FROM record_rows('allowed_origins', $1, NULL)"
    before = await api.owner.fetchval(state, str(organisation))

    await api.owner.execute("UPDATE allowed_origins SET origins = '{https://evil.example}'")

    assert await api.owner.fetchval(state, str(organisation)) != before
