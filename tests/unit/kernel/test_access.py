"""The access table and who an actor is (spec.md A-4). Pure."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from core_api.actors import actor_for
from core_api.app import routes
from kernel.access import ACCESS, Action, Scope, scope_of
from kernel.errors import ForbiddenError, NotAuthenticatedError
from kernel.events import Role
from kernel.tokens import Claims, new_claims


def claims(role: Role, *, user_id: str | None = None) -> Claims:
    return new_claims(
        user_id=user_id or str(uuid4()),
        email="a@b.example",
        org=str(uuid4()),
        role=role,
        now=datetime(2026, 1, 1, tzinfo=UTC),
        life_s=60,
    )


def test_every_action_has_somebody_who_may_do_it() -> None:
    assert set(ACCESS) == set(Action)
    assert all(ACCESS.values())


def test_a_role_without_an_entry_is_refused() -> None:
    for action in Action:
        for role in set(Role) - set(ACCESS[action]):
            with pytest.raises(ForbiddenError):
                scope_of(role, action)


def test_a_service_posts_events_reads_nothing_but_its_own_account_and_signs_out() -> None:
    assert {action for action, roles in ACCESS.items() if Role.service in roles} == {
        Action.event_post,
        Action.profile_read,
        Action.login_end,
    }


def test_only_admins_reach_the_whole_organisation_besides_services_that_post() -> None:
    wide = {
        (role, action)
        for action, roles in ACCESS.items()
        for role, scope in roles.items()
        if scope is Scope.organisation
    }

    assert {role for role, action in wide if action is not Action.event_post} == {Role.admin}


def test_every_action_but_those_of_ingest_is_asked_for_by_a_route() -> None:
    used = {route.action for route in routes() if route.action is not None}

    assert set(Action) - used == {Action.event_post}


def test_an_actor_carries_the_scope_of_the_action_it_was_made_for() -> None:
    assert actor_for(claims(Role.teacher), Action.session_read).sees_organisation is False
    assert actor_for(claims(Role.admin), Action.session_read).sees_organisation is True


def test_a_token_that_names_no_person_makes_no_actor() -> None:
    with pytest.raises(NotAuthenticatedError):
        actor_for(claims(Role.admin, user_id="root"), Action.session_read)
