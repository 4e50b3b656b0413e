"""Who may post, and for which sessions: 401, 403, 404 (spec.md I-4, A-4, decision 4)."""

import base64
import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from kernel.events import Role
from kernel.tokens import Audience, Keyring
from tests.kits.ingest.api import ROUTES, Api, answered, assert_problem, body_for
from tests.kits.ingest.world import Seat


def forged(claims: dict[str, Any], **header: Any) -> str:
    """Return a token with these claims that nobody signed."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'typ': 'JWT', **header})}.{part(claims)}."


@pytest.mark.parametrize("path", ROUTES)
async def test_nobody_posts_without_a_genuine_access_token(api: Api, path: str) -> None:
    """
    I-4 401: absent, malformed, expired, forged, unsigned, of an unknown key, or made for something else.
    """
    seat, world = api.world.seat(), api.world
    other_keys = Keyring({"test": b"another key of at least thirty-two bytes"})
    unknown_kid = Keyring({"elsewhere": b"a key that only the tests know, of 32 bytes or more"})
    genuine = world.token(Role.student, user=seat.user_id)
    claims = json.loads(base64.urlsafe_b64decode(genuine.split(".")[1] + "=="))
    tokens = [
        "",
        "nonsense",
        "a.b.c",
        genuine[:-3] + ("aaa" if genuine[-3:] != "aaa" else "bbb"),
        genuine.replace(".", "..", 1),
        world.token(Role.student, user=seat.user_id, life_s=-1),
        world.token(Role.student, user=seat.user_id, audience=Audience.launch),
        world.token(Role.student, user=seat.user_id, keyring=other_keys),
        world.token(Role.student, user=seat.user_id, keyring=unknown_kid),
        forged(claims, alg="none", kid="test"),
        forged(claims, alg="HS256", kid="test"),
        forged(claims, alg="HS256", kid=["test"]),
        forged(claims, alg="HS256"),
    ]

    answers = [await api.post(path, body_for(path, seat), token) for token in tokens]
    answers.append(await api.post(path, body_for(path, seat)))
    answers.append(await api.post(path, body_for(path, seat), Authorization=f"Basic {genuine}"))
    answers.append(await api.post(path, body_for(path, seat), Authorization=f"bearer{genuine}"))

    for answer in answers:
        assert_problem(answer, 401, "not_authenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert api.world.sequences(seat.session_id) == []


async def test_a_token_that_was_good_a_moment_ago_is_refused_once_it_expires(api: Api) -> None:
    """I-4 401: what is remembered of a token does not outlive it."""
    seat = api.world.seat()
    token = api.world.token(Role.student, user=seat.user_id, life_s=2)
    body = body_for(ROUTES[0], seat)
    assert (await api.post(ROUTES[0], body, token)).status == 202

    answer = await answered(lambda: api.post(ROUTES[0], body, token), 401, within_s=4)

    assert_problem(answer, 401, "not_authenticated")


@pytest.mark.parametrize("role", [Role.teacher, Role.reviewer, Role.observer, Role.admin])
async def test_only_candidates_and_services_post_events(api: Api, role: Role) -> None:
    """I-4 403, A-4."""
    seat = api.world.seat()

    for path in ROUTES:
        assert_problem(await api.post(path, body_for(path, seat), api.world.token(role)), 403, "forbidden")


@pytest.mark.parametrize("path", ROUTES)
async def test_what_is_unknown_and_what_is_somebody_elses_is_not_told_apart(api: Api, path: str) -> None:
    """I-4 404: an unknown session, a classmate's, another organisation's."""
    seat = api.world.seat()
    nobody = Seat(session_id=2**31 - 1, attempt_id=seat.user_id, user_id=seat.user_id, token=seat.token)
    classmate = api.world.seat()
    outsider = api.world.token(Role.service, org=api.world.elsewhere)
    namesake = api.world.token(Role.student, user=seat.user_id, org=api.world.elsewhere)

    answers = [
        await api.post(path, body_for(path, nobody), seat.token),
        await api.post(path, body_for(path, seat), classmate.token),
        await api.post(path, body_for(path, seat), outsider),
        await api.post(path, body_for(path, seat), namesake),
    ]

    for answer in answers:
        assert_problem(answer, 404, "not_found")
    assert len({(answer.body["title"]) for answer in answers}) == 1
    assert api.world.sequences(seat.session_id) == []


@pytest.mark.parametrize("path", ROUTES)
async def test_a_launched_sign_in_posts_for_its_exam_alone_a7(api: Api, path: str) -> None:
    """Whether Redis knows the session or not, and where there is none yet: it opens none elsewhere."""
    seat, fresh, world = api.world.seat(), api.world.seat(), api.world
    attempt, user = world.attempt()
    bare = Seat(session_id=2**31 - 1, attempt_id=attempt, user_id=user, token="")
    assert (await api.post(path, body_for(path, seat), seat.token)).status == 202

    def bound(to: Seat, exam: UUID) -> str:
        return world.token(Role.student, user=to.user_id, exam=exam)

    elsewhere = [await api.post(path, body_for(path, to), bound(to, uuid4())) for to in (seat, fresh, bare)]
    own = await api.post(path, body_for(path, fresh), bound(fresh, world.exams[world.org]))

    for answer in elsewhere:
        assert_problem(answer, 404, "not_found")
    assert own.status == 202
    assert world.rows("SELECT id FROM proctor_sessions WHERE attempt_id = %s", attempt) == []


async def test_a_service_posts_for_every_session_of_its_organisation(api: Api) -> None:
    """A-4: the proctor routes too."""
    seat = api.world.seat()

    answer = await api.post(ROUTES[0], body_for(ROUTES[0], seat), api.world.token(Role.service))

    assert answer.status == 202


async def test_unknown_addresses_and_methods_are_problems_too(api: Api) -> None:
    """Decision 4."""
    assert_problem(await api.post("/api/proctor/events", {}), 404, "not_found")
    assert_problem(await api.get("/api/proctor/event"), 405, "method_not_allowed")
