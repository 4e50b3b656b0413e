"""The core API as a stranger tries it: forged, altered, revoked and stolen tokens (spec.md A-1, A-2, A-4)."""

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from kernel.events import Role
from kernel.http.web import API_PREFIX, Route
from tests.integration.core_api.access.test_access import GUARDED, snapshot
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import NUMBERS, World, Worlds, furnish
from tests.kits.core import PASSWORD, Answer, Api, Core, signed_for
from tests.kits.forgeries import forgeries

AT_ONCE = 4  # each is a connection that plans all statements
ANSWERED = "It depends."  # what the student wrote
DIRECTORY = ("GET", "/teacher/groups/{group_id}/students")  # every teacher of the organisation may


def paths(world: World, route: Route) -> list[str]:
    """Return the route's addresses with the victim's ids in them."""
    path = route.path
    for name, value in world.parameters.items():
        path = path.replace(f"{{{name}}}", value)
    return [API_PREFIX + path, *([path] if route.also_bare else [])]


def names_somebody(world: World, key: tuple[str, str]) -> bool:
    """Tell whether a request of the route names something of the victim's, in its path or its body."""
    sent = orjson.dumps(MATRIX[key].body(world)).decode() + "".join(paths(world, GUARDED[key]))
    return any(value in sent for value in victims_ids(world))


def victims_ids(world: World) -> set[str]:
    return {value for name, value in world.parameters.items() if name not in {*NUMBERS, "type"}}


def secrets_of(world: World) -> set[str]:
    """Return what no answer to somebody else may hold."""
    victims = [world.api.people[name] for name in ("student", "teacher", "admin")]
    personal = {text for each in victims for text in (str(each.id), f'"{each.email}"', f'"The {each.role}"')}
    return victims_ids(world) | {ANSWERED} | personal


async def send(world: World, key: tuple[str, str], path: str, authorization: str | None) -> Answer:
    body = MATRIX[key].body(world)
    headers = MATRIX[key].headers | ({} if authorization is None else {"Authorization": authorization})
    raw = None if body is None else orjson.dumps(body)
    return await world.api.call(key[0], path, headers=headers, data=raw)


async def try_all(
    world: World, keys: Iterable[tuple[str, str]], authorization: str | None
) -> dict[tuple[str, str], Answer]:
    """Send every route's request with the victim's ids; return the answers by method and path."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(key: tuple[str, str], path: str) -> tuple[tuple[str, str], Answer]:
        async with gate:
            return (key[0], path), await send(world, key, path, authorization)

    return dict(
        await asyncio.gather(*(one(key, path) for key in keys for path in paths(world, GUARDED[key])))
    )


def shown(world: World, answer: Answer) -> set[str]:
    told = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
    return {secret for secret in secrets_of(world) if secret.encode() in told}


async def check_refused(world: World, authorization: str | None, why: str) -> None:
    """Every route answers 401, in one form, and shows nothing."""
    for at, answer in (await try_all(world, GUARDED, authorization)).items():
        assert (answer.status, answer.body["code"], why, at) == (401, "not_authenticated", why, at)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (shown(world, answer), why, at) == (set(), why, at)


@pytest.mark.slow("every forgery to every route")
async def test_nothing_that_is_forged_or_altered_opens_any_route_a1(core: Core) -> None:
    """Of an admin's token, which most routes would open to; whose one is, is read after it is believed."""
    async with core.school() as api:
        world = await furnish(api)
        before = await snapshot(world)
        await check_refused(world, None, "no token")
        forged = forgeries(api.keyring, api.people["admin"], exam_id=str(api.exam_id))
        for why, authorization in forged.items():
            await check_refused(world, authorization, why)

        assert await snapshot(world) == before


@pytest.mark.parametrize("victim", ["student", "teacher", "reviewer", "observer", "service"])
async def test_nothing_that_is_forged_of_anybody_elses_token_is_believed_either_a1(
    core: Core, victim: str
) -> None:
    async with core.school() as api:
        genuine = await api.get("/api/me", victim)
        for why, authorization in forgeries(
            api.keyring, api.people[victim], exam_id=str(api.exam_id)
        ).items():
            answer = await api.get("/api/me", headers={"Authorization": authorization})

            assert (answer.status, answer.body["code"], why) == (401, "not_authenticated", why)
        assert genuine.status == 200


async def signed_in(api: Api, name: str) -> dict[str, Any]:
    answer = await api.post("/api/auth/login", json={"email": api.people[name].email, "password": PASSWORD})
    assert answer.status == 200, answer.body
    tokens: dict[str, Any] = answer.body
    return tokens


async def take_back(api: Api, how: str, token: str) -> None:
    """Take the student's token back in one of the ways there are."""
    own: dict[str, Any] = {"headers": {"Authorization": f"Bearer {token}"}}
    if how == "locked":
        answer = await api.post(f"/api/admin/users/{api.people['student'].id}/lock", "admin")
    elif how == "role changed":
        path = f"/api/admin/users/{api.people['student'].id}/role"
        answer = await api.call("PUT", path, "admin", json={"role": Role.observer})
    elif how == "password changed":
        body = {"current_password": PASSWORD, "new_password": "another horse entirely"}
        answer = await api.call("PUT", "/api/me/password", json=body, **own)
    else:
        everywhere = "?everywhere=true" if how == "signed out everywhere" else ""
        answer = await api.post(f"/api/auth/logout{everywhere}", **own)
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    "how", ["signed out", "signed out everywhere", "locked", "role changed", "password changed"]
)
async def test_a_token_that_was_taken_back_opens_no_route_any_more_a2(core: Core, how: str) -> None:
    async with core.school() as api:
        world = await furnish(api)
        tokens = await signed_in(api, "student")
        stolen = tokens["access_token"]
        before = await api.get("/api/me", headers={"Authorization": f"Bearer {stolen}"})
        await take_back(api, how, stolen)

        assert before.status == 200
        await check_refused(world, f"Bearer {stolen}", how)
        await check_refused(world, f"Bearer {tokens['refresh_token']}", f"{how}: its refresh token")
        again = await api.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert again.status == 401


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "thief", ["other_student", "stranger", "rival", "boss", "colleague", "outsider", "watcher"]
)
async def test_a_genuine_token_of_somebody_else_gets_nothing_of_the_victims_on_any_route_a4(
    worlds: Worlds, thief: str
) -> None:
    """A stolen one of a classmate's, and those of another organisation, admins among them."""
    world = await worlds.current()
    api = world.api
    authorization = f"Bearer {signed_for(api.keyring, api.people[thief])}"
    named = [key for key in GUARDED if names_somebody(world, key) and key != DIRECTORY]
    others = [key for key in GUARDED if key not in named and key[0] == "GET"]
    # Terms and the directory belong to all teachers of the organisation.
    student = api.people["student"]
    shared = {world.parameters[name] for name in ("term_id", "group_id", "user_id", "leaver_id")}
    shared |= {f'"{student.email}"', f'"The {student.role}"'}
    common = shared if thief == "colleague" else set[str]()
    before = await snapshot(world)
    answers = await try_all(world, named, authorization)

    assert len(named) > 45
    for at, answer in answers.items():
        assert (answer.status in {401, 403, 404}, at) == (True, at), answer.body
        assert (shown(world, answer), at) == (set(), at)
    assert await snapshot(world) == before
    for at, answer in (await try_all(world, others, authorization)).items():
        assert (answer.status in {200, 403, 404, 426}, at) == (True, at), answer.body  # 426: a socket
        assert (shown(world, answer) - common, at) == (set(), at)
