"""Every ingest route against every role and every relation, from the route list itself (spec.md A-4, I-4)."""

from uuid import uuid4

import pytest

from ingest.routes import ROUTES
from kernel.access import ACCESS
from kernel.events import Role
from kernel.http.web import API_PREFIX
from tests.kits.core import Person
from tests.kits.forgeries import forgeries
from tests.kits.ingest.api import Api, assert_problem, body_for
from tests.kits.ingest.world import Seat

# Who posts about a candidate's session: the answer, for every role that has an entry in the access table.
# own: the candidate, or a service of their organisation; other: a classmate; foreign: of elsewhere.
SENDERS = {
    ("student", "own"): 202,
    ("student", "other"): 404,
    ("student", "foreign"): 404,
    ("student", "namesake"): 404,  # the same user id under another organisation's name
    ("service", "own"): 202,
    ("service", "foreign"): 404,
}
# How each route is answered where the table above says 202; a new route needs a row.
MATRIX = {
    ("POST", "/proctor/event"): 202,
    ("POST", "/proctor/events/bulk"): 202,
    ("POST", "/proctor/heartbeat"): 202,
    ("POST", "/monitor/events"): 202,
}
GUARDED = {(route.method, route.path): route for route in ROUTES}
KEYS = sorted(GUARDED)


def token_of(api: Api, seat: Seat, role: str, relation: str) -> str:
    world = api.world
    own = {"student": seat.user_id, "service": world.user(world.org, Role.service)}
    user = own[role] if relation in {"own", "namesake"} else uuid4()
    org = world.elsewhere if relation in {"foreign", "namesake"} else world.org
    return world.token(Role(role), user=user, org=org)


def test_every_ingest_route_has_a_row_and_asks_for_a_token() -> None:
    """Whoever adds a route adds its row."""
    assert set(MATRIX) == set(GUARDED)
    assert all(route.action is not None for route in ROUTES)


def test_the_senders_are_the_roles_with_an_entry() -> None:
    allowed = {role.value for route in ROUTES if route.action for role in ACCESS[route.action]}

    assert {role for role, _ in SENDERS} == allowed


@pytest.mark.parametrize("key", KEYS, ids=" ".join)
async def test_every_route_answers_each_sender_as_the_matrix_says_a4(api: Api, key: tuple[str, str]) -> None:
    path = API_PREFIX + key[1]
    for (role, relation), status in SENDERS.items():
        seat = api.world.seat()
        answer = await api.post(path, body_for(path, seat), token_of(api, seat, role, relation))

        assert (answer.status, role, relation) == (MATRIX[key] if status == 202 else status, role, relation)
        if status != 202:
            assert_problem(answer, 404, "not_found")
            assert str(seat.user_id) not in str(answer.body)
            assert api.world.sequences(seat.session_id) == []


@pytest.mark.parametrize("key", KEYS, ids=" ".join)
async def test_every_other_role_is_refused_before_anything_is_read_a4(api: Api, key: tuple[str, str]) -> None:
    action = GUARDED[key].action
    assert action is not None
    seat, path = api.world.seat(), API_PREFIX + key[1]
    for role in set(Role) - set(ACCESS[action]):
        for user in (seat.user_id, uuid4()):
            answer = await api.post(path, b"{ this is not JSON", api.world.token(role, user=user))

            assert_problem(answer, 403, "forbidden")
    assert api.world.sequences(seat.session_id) == []


@pytest.mark.parametrize("key", KEYS, ids=" ".join)
async def test_an_ended_session_is_not_told_apart_for_strangers_a4(api: Api, key: tuple[str, str]) -> None:
    """409 is for who may post there; whether a stranger's session runs is nobody else's business."""
    path = API_PREFIX + key[1]
    seat = api.world.seat()
    api.world.end(seat.session_id)
    for role, relation in (("student", "other"), ("student", "foreign"), ("service", "foreign")):
        answer = await api.post(path, body_for(path, seat), token_of(api, seat, role, relation))

        assert_problem(answer, 404, "not_found")


@pytest.mark.parametrize("role", [Role.student, Role.service])
@pytest.mark.parametrize("key", KEYS, ids=" ".join)
async def test_nothing_that_is_forged_or_altered_posts_anything_a1(
    api: Api, key: tuple[str, str], role: Role
) -> None:
    path = API_PREFIX + key[1]
    seat = api.world.seat()
    victim = Person(id=seat.user_id, organisation_id=api.world.org, email="a@b.example", role=role)
    for why, authorization in forgeries(api.world.keyring, victim, exam_id=str(uuid4())).items():
        answer = await api.post(path, body_for(path, seat), Authorization=authorization)

        assert (answer.status, why) == (401, why)
        assert str(seat.user_id) not in str(answer.body)
    assert api.world.sequences(seat.session_id) == []
