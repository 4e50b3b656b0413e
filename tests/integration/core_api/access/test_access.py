"""Every route against every role and every relation, from the route list itself (spec.md A-4, decision 3)."""

import re
from contextlib import suppress
from uuid import uuid4

import orjson
import pytest

from core_api.app import routes
from kernel.access import ACCESS
from kernel.events import Role
from kernel.http.web import API_PREFIX, Route
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import EVERYBODY, World, Worlds, furnish
from tests.kits.core import Core


def addresses(route: Route) -> list[str]:
    """Return the route's paths with something well-formed in each parameter."""
    path = re.sub(r"\{(\w+)\}", lambda name: "1" if name[1] in {"id", "type"} else str(uuid4()), route.path)
    return [API_PREFIX + path, *([path] if route.also_bare else [])]


async def test_without_a_token_every_other_route_is_a_401(core: Core) -> None:
    async with core.school() as api:
        for route in routes():
            for address in addresses(route) if route.action is not None else []:
                answer = await api.call(route.method, address)

                assert (answer.status, address) == (401, address)
                assert answer.body["code"] == "not_authenticated"


async def test_a_role_without_an_entry_is_refused_before_anything_is_read(core: Core) -> None:
    async with core.school() as api:
        for route in routes():
            for role in Role if route.action is not None else []:
                assert route.action is not None
                if role in ACCESS[route.action]:
                    continue
                for address in addresses(route):
                    answer = await api.call(route.method, address, role.value, data=b"{ this is not JSON")

                    assert (answer.status, address, role) == (403, address, role)


async def test_a_role_with_an_entry_is_not_told_that_it_is_forbidden_or_unknown(core: Core) -> None:
    async with core.school() as api:
        for route in routes():
            for role in ACCESS[route.action] if route.action is not None else []:
                answer = await api.call(
                    route.method, addresses(route)[0], role.value, data=b"{ this is not JSON"
                )

                # The parameters name nothing, and the body is no JSON; a list of one's own is simply there.
                # An address that speaks WebSocket wants to be asked for it first.
                assert (answer.status in {200, 400, 404, 426}, route.path, role) == (True, route.path, role)


async def test_an_unknown_address_and_a_wrong_method_are_problems_too_decision_4(core: Core) -> None:
    async with core.school() as api:
        unknown = await api.get("/api/nowhere", "admin")
        wrong = await api.get("/api/auth/login")

        assert (unknown.status, unknown.body["code"]) == (404, "not_found")
        assert (wrong.status, wrong.body["code"]) == (405, "method_not_allowed")


GUARDED = {(route.method, route.path): route for route in routes() if route.action is not None}
READS = [key for key in GUARDED if key[0] == "GET"]
WRITES = [key for key in GUARDED if key[0] != "GET"]
# Whatever a refused request might have changed.
TABLES = (
    "organisations", "users", "student_profiles", "teacher_profiles", "groups", "group_members", "exams",
    "teacher_exam_permissions", "exam_attempts", "proctor_sessions", "launch_uses", "logins", "revocations",
    "taxonomy_terms", "passages", "passage_versions", "questions", "question_versions", "question_terms",
    "evaluations", "evaluation_versions", "evaluation_items", "assignments", "assignment_overrides",
    "attempt_answers", "attempt_drafts", "submissions", "submission_items", "submission_scores",
    "submission_subjects", "outbox", "invitations", "proctor_decisions", "decision_acts", "review_claims",
    "blind_reviews", "pending_reviews",
    "submission_results",
    "submission_subjects", "outbox", "invitations", "session_actions", "session_commands", "session_notices",
    "attempt_pauses", "time_grants",
    "evidence", "evidence_chunks", "submission_drafts", "remediations", "remediation_progress",
    "remediated_submissions", "claims", "claim_statements", "disputes", "resolutions", "claim_policies",
    "appeal_bundles",
    "programmes", "programme_versions", "programme_requirements", "programme_enrolments",
    "programme_enrolment_progress", "programme_causes",
)  # fmt: skip


def test_every_route_has_a_row_that_names_everybody_with_an_entry_and_nobody_else() -> None:
    """Whoever adds a route adds its row to the access matrix."""
    assert set(MATRIX) == set(GUARDED)
    wrong = {}
    for key, row in MATRIX.items():
        action = GUARDED[key].action
        assert action is not None
        entries = {name for name in EVERYBODY if ROLES[name] in ACCESS[action]}
        if set(row.expected) != entries:
            wrong[key] = set(row.expected) ^ entries

    assert wrong == {}


ROLES = {role.value: role for role in Role} | {
    "other_student": Role.student, "stranger": Role.student, "assistant": Role.teacher,
    "colleague": Role.teacher, "rival": Role.teacher, "outsider": Role.reviewer, "watcher": Role.observer,
    "boss": Role.admin,
}  # fmt: skip


async def snapshot(world: World) -> dict[str, str]:
    return {
        table: await world.api.owner.fetchval(
            f"SELECT coalesce(md5(string_agg(t::text, ' ' ORDER BY t::text)), '') FROM {table} t"
        )
        for table in TABLES
    }


async def ask(world: World, key: tuple[str, str], person: str) -> int:
    """Send the row's request as somebody; return the status, having seen that nothing hidden is shown."""
    row, (method, path) = MATRIX[key], key
    for name, value in world.parameters.items():
        other = (row.path | row.path_of.get(person, {})).get(name)
        path = path.replace(f"{{{name}}}", value if other is None else world.parameters[other])
    body = row.body(world)
    more = {} if body is None else {"json": body}
    answer = await world.api.call(method, API_PREFIX + path, person, headers=row.headers, **more)
    told = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
    shown = {hidden for hidden in world.hidden_from(person) if hidden.encode() in told}

    assert shown == set(), (key, person)
    return answer.status


async def answers(world: World, key: tuple[str, str]) -> dict[str, int]:
    """Ask as everybody: whoever is to be refused first, and together they change nothing."""
    refused = [name for name, status in wanted(key).items() if status >= 400]
    before = await snapshot(world)
    found = {name: await ask(world, key, name) for name in refused}
    assert await snapshot(world) == before, key
    for name in EVERYBODY:
        if name not in found:
            found[name] = await ask(world, key, name)
    return {name: found[name] for name in EVERYBODY}


def wanted(key: tuple[str, str]) -> dict[str, int]:
    return {name: MATRIX[key].expected.get(name, 403) for name in EVERYBODY}


async def test_every_read_answers_everybody_as_the_matrix_says_a4(core: Core) -> None:
    async with core.school() as api:
        world = await furnish(api)

        assert {key: await answers(world, key) for key in READS} == {key: wanted(key) for key in READS}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("key", WRITES, ids=" ".join)
async def test_every_write_answers_everybody_as_the_matrix_says_a4(
    worlds: Worlds, key: tuple[str, str]
) -> None:
    """
    In a world that earlier rows have changed, and in a new one where they took away what this one is about.

    Whoever may is asked after whoever may not: that they succeed shows that what the others were refused was
    there to be had.
    """
    with suppress(AssertionError):
        assert await answers(await worlds.current(), key) == wanted(key)
        return
    assert await answers(await worlds.renewed(), key) == wanted(key)
