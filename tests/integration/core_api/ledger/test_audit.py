"""
Every act of identity, authoring and administration is on the ledger, in its own transaction (spec.md L-1).

ACTS is the table: what is done, by whom, and the kinds it leaves. A route that changes something and has no
row fails the test.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, get_args, get_origin, get_type_hints
from urllib.parse import quote
from uuid import UUID

import msgspec
import pytest

from core_api.app import routes
from core_api.authoring.evaluations import Paper
from core_api.wire import Envelope, Paging
from kernel.http.web import NOBODY, OWN
from kernel.ledger.event import read_body
from kernel.ledger.kinds import VIEWED
from tests.integration.core_api.access.test_access import ask, snapshot
from tests.integration.core_api.identity.test_registration import registration
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import World, Worlds, furnish, review_twice
from tests.kits.claims import claimable, handle
from tests.kits.core import PASSWORD, Answer, Api, Core, DatabaseAs, core_api, put

Key = tuple[str, str]
Ask = Callable[[], Awaitable[Answer]]
Prepare = Callable[[Api], Awaitable[Ask]]


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Who does it, what has to be done before so that it changes something, and the kinds it leaves."""

    kinds: list[str]
    by: str = "admin"
    before: tuple[Key, ...] = ()
    prepare: Callable[[World], Awaitable[Any]] | None = None


async def _draft(world: World) -> None:
    items = [{"question_id": world.parameters["question_id"]}]
    path = f"/api/teacher/evaluations/{world.parameters['evaluation_id']}/draft"
    assert (await put(world.api, path, "teacher", title="Next", items=items)).status == 200


async def _open(world: World) -> None:
    """Let the claim that is open stand where the matrix names the one that is over."""
    world.parameters["over_claim_id"] = world.parameters["claim_id"]


async def _take_on(world: World) -> None:
    """Let the teacher acknowledge the claim."""
    await _open(world)
    assert (await handle(world.api, world.parameters["claim_id"], "acknowledge")).status == 200


async def _resolve(world: World) -> None:
    """Let the claim be resolved, for the first time."""
    await _take_on(world)
    assert (await handle(world.api, world.parameters["claim_id"], "resolve", "admin")).status == 200


async def _end_another(world: World) -> None:
    """Let the student hand in what a machine scores."""
    world.parameters["past_attempt_id"] = (await claimable(world.api)).attempt_id


async def _enrol(world: World) -> None:
    """Let the student be enrolled, anew where they were withdrawn."""
    given, student = world.parameters, world.api.people["student"].id
    path = f"/api/teacher/programmes/{given['programme_id']}/enrolments"
    assert (await world.api.post(path, "teacher", json={"user_ids": [str(student)]})).status == 200
    which = "programme_id = $1 AND user_id = $2 AND state <> 'withdrawn'"
    found = f"SELECT id::text FROM programme_enrolments WHERE {which}"
    given["enrolment_id"] = await world.api.owner.fetchval(found, given["programme_id"], student)


async def _complete(world: World) -> None:
    """Let the student have completed the programme."""
    await _enrol(world)
    done = "UPDATE programme_enrolments SET state = 'completed' WHERE id = $1 AND state <> 'completed'"
    await world.api.owner.execute(done, world.parameters["enrolment_id"])


async def _withdraw(world: World) -> None:
    """Let the student be enrolled no more."""
    await world.api.owner.execute("UPDATE programme_enrolments SET state = 'withdrawn', due_at = NULL")


ERASURE: Final = "/admin/users/{user_id}/erasure"
EXAM, USER, GROUP = "/teacher/exams/{exam_id}", "/admin/users/{user_id}", "/admin/groups/{group_id}"
ASSIGNED = f"{EXAM}/assignments/{{assignment_id}}"
SESSION = "/proctor/session/{id}"
CLAIM = "/proctor/session/{id}/claim"
QUESTION, PASSAGE = "/teacher/questions/{question_id}", "/teacher/passages/{passage_id}"
RULE = "/proctor/rules/{rule_id}"
REMEDIATION: Final = "/teacher/remediations/{remediation_id}"
PROGRAMME: Final = "/teacher/programmes/{programme_id}"
CLAIMED, OWN_CLAIM = "/teacher/claims/{claim_id}", "/student/claims/{claim_id}"
EVALUATION = "/teacher/evaluations/{evaluation_id}"

ACTS: Final[dict[Key, Act]] = {
    ("POST", "/admin/users"): Act(kinds=["user.created"]),
    ("POST", "/admin/users/import"): Act(kinds=["user.created"]),
    ("POST", "/admin/users/invitations"): Act(kinds=["invitations.created"]),
    ("POST", f"{USER}/lock"): Act(kinds=["user.locked"]),
    ("POST", f"{USER}/unlock"): Act(kinds=["user.unlocked"], before=(("POST", f"{USER}/lock"),)),
    ("POST", f"{USER}/erasure"): Act(kinds=["erasure.requested", "user.locked"]),
    ("PUT", f"{USER}/role"): Act(kinds=["user.role_changed"]),
    ("PUT", f"{USER}/student-profile"): Act(kinds=["student_profile.updated"]),
    ("PUT", "/admin/organisation"): Act(kinds=["organisation.updated"]),
    ("PUT", "/admin/allowed-origins"): Act(kinds=["allowed_origins.set"]),
    ("PUT", "/admin/retention"): Act(kinds=["retention_policy.set"]),
    ("POST", "/admin/legal-holds"): Act(kinds=["legal_hold.placed"]),
    ("POST", "/admin/legal-holds/{hold_id}/lift"): Act(kinds=["legal_hold.lifted"]),
    ("POST", "/admin/exams/{exam_id}/permissions"): Act(kinds=["permission.granted"]),
    ("DELETE", "/admin/exams/{exam_id}/permissions/{user_id}"): Act(kinds=["permission.revoked"]),
    ("POST", "/admin/groups"): Act(kinds=["group.created"]),
    ("PUT", GROUP): Act(kinds=["group.updated"]),
    ("DELETE", GROUP): Act(kinds=["group.deleted", "group.member_removed"]),
    ("POST", f"{GROUP}/members"): Act(kinds=["group.member_added"]),
    ("DELETE", f"{GROUP}/members/{{user_id}}"): Act(kinds=["group.member_removed"]),
    ("POST", "/proctor/decision"): Act(kinds=["decision.made"], by="teacher"),
    ("POST", "/proctor/decision/override"): Act(kinds=["decision.overridden"]),
    ("POST", "/proctor/session/{id}/review"): Act(kinds=["review.given"], by="teacher", prepare=review_twice),
    ("POST", "/proctor/pending-review/next"): Act(
        kinds=["review.claimed"], by="teacher", before=(("DELETE", CLAIM),)
    ),
    ("POST", CLAIM): Act(kinds=["review.claimed"], by="teacher", before=(("DELETE", CLAIM),)),
    ("DELETE", CLAIM): Act(kinds=["review.released"], by="teacher"),
    ("POST", "/proctor/session/{id}/cancel"): Act(kinds=["session.cancelled"]),
    ("POST", "/proctor/session/{id}/end"): Act(kinds=["session.ended"]),
    ("POST", f"{SESSION}/warn"): Act(kinds=["session.warned"], by="teacher"),
    ("POST", f"{SESSION}/flag"): Act(kinds=["session.flagged"], by="teacher"),
    ("POST", f"{SESSION}/unflag"): Act(
        kinds=["session.unflagged"], by="teacher", before=(("POST", f"{SESSION}/flag"),)
    ),
    ("POST", f"{SESSION}/pause"): Act(kinds=["attempt.paused", "session.paused"], by="teacher"),
    ("POST", f"{SESSION}/resume"): Act(
        kinds=["attempt.resumed", "session.resumed"], by="teacher", before=(("POST", f"{SESSION}/pause"),)
    ),
    ("POST", f"{SESSION}/extra-time"): Act(kinds=["attempt.extended", "session.extended"], by="teacher"),
    ("POST", "/proctor/exam/{examId}/announce"): Act(kinds=["session.announced"], by="teacher"),
    ("POST", "/proctor/exam/{examId}/act"): Act(kinds=["session.flagged"], by="teacher"),
    ("POST", "/teacher/exams"): Act(kinds=["exam.created"], by="teacher"),
    ("POST", "/teacher/exams/import"): Act(kinds=["exam.created", "exam.published"], by="teacher"),
    ("PATCH", EXAM): Act(kinds=["exam.updated"], by="teacher"),
    ("POST", f"{EXAM}/publish"): Act(
        kinds=["exam.published"], by="teacher", before=(("POST", f"{EXAM}/unpublish"),)
    ),
    ("POST", f"{EXAM}/unpublish"): Act(kinds=["exam.unpublished"], by="teacher"),
    ("POST", f"{EXAM}/archive"): Act(kinds=["exam.archived"], by="teacher"),
    ("POST", f"{EXAM}/launch-links"): Act(kinds=["launch_links.created"], by="teacher"),
    ("POST", f"{EXAM}/assignments"): Act(kinds=["assignment.created"], by="teacher"),
    ("POST", f"{ASSIGNED}/revoke"): Act(kinds=["assignment.revoked"], by="teacher"),
    ("PUT", f"{ASSIGNED}/overrides/{{user_id}}"): Act(
        kinds=["assignment_override.set", "attempt.extended", "session.extended"], by="teacher"
    ),
    ("DELETE", f"{ASSIGNED}/overrides/{{user_id}}"): Act(kinds=["assignment_override.removed"], by="teacher"),
    ("POST", "/teacher/terms"): Act(kinds=["term.created"], by="teacher"),
    ("POST", "/teacher/passages"): Act(kinds=["passage.saved"], by="teacher"),
    ("PUT", PASSAGE): Act(kinds=["passage.saved"], by="teacher"),
    ("POST", f"{PASSAGE}/archive"): Act(kinds=["passage.archived"], by="teacher"),
    ("POST", "/teacher/questions"): Act(kinds=["question.saved"], by="teacher"),
    ("PUT", QUESTION): Act(kinds=["question.saved"], by="teacher"),
    ("POST", f"{QUESTION}/archive"): Act(kinds=["question.archived"], by="teacher"),
    ("POST", "/teacher/evaluations"): Act(kinds=["evaluation.drafted"], by="teacher"),
    ("PUT", f"{EVALUATION}/draft"): Act(kinds=["evaluation.drafted"], by="teacher"),
    ("POST", f"{EVALUATION}/publish"): Act(kinds=["evaluation.published"], by="teacher", prepare=_draft),
    ("POST", "/teacher/submissions/{submission_id}/grades"): Act(kinds=["submission.scored"], by="teacher"),
    ("POST", "/teacher/remediations"): Act(kinds=["remediation.drafted"], by="teacher"),
    ("POST", f"{REMEDIATION}/cancel"): Act(kinds=["remediation.cancelled"], by="teacher"),
    ("POST", f"{REMEDIATION}/undo"): Act(kinds=["remediation.drafted"], by="teacher"),
    ("PUT", f"{EXAM}/claim-policy"): Act(kinds=["claim_policy.set"], by="teacher"),
    ("POST", "/teacher/programmes"): Act(kinds=["programme.created"], by="teacher"),
    ("POST", f"{PROGRAMME}/versions"): Act(kinds=["programme.drafted"], by="teacher"),
    ("POST", f"{PROGRAMME}/publish"): Act(kinds=["programme.published"], by="teacher"),
    ("POST", f"{PROGRAMME}/enrolments"): Act(
        kinds=["programme_enrolment.created"], by="teacher", prepare=_withdraw
    ),
    ("POST", f"{PROGRAMME}/enrolments/{{enrolment_id}}/withdraw"): Act(
        kinds=["programme_enrolment.withdrawn"], by="teacher", prepare=_enrol
    ),
    ("POST", "/student/programmes/{enrolment_id}/certificate"): Act(
        kinds=["programme_enrolment.certified"], by="student", prepare=_complete
    ),
    ("POST", f"{CLAIMED}/acknowledge"): Act(kinds=["claim.acknowledged"], by="teacher"),
    ("POST", f"{CLAIMED}/statements"): Act(kinds=["claim.stated"], by="teacher"),
    ("POST", f"{CLAIMED}/escalate"): Act(kinds=["claim.disputed"], by="teacher"),
    ("POST", f"{CLAIMED}/resolve"): Act(kinds=["claim.resolved"], prepare=_take_on),
    ("POST", "/student/attempts/{attempt_id}/claims"): Act(
        kinds=["claim.opened"], by="student", prepare=_end_another
    ),
    ("POST", f"{OWN_CLAIM}/statements"): Act(kinds=["claim.stated"], by="student"),
    ("POST", f"{OWN_CLAIM}/dispute"): Act(kinds=["claim.disputed"], by="student", prepare=_resolve),
    ("POST", f"{OWN_CLAIM}/bundle"): Act(kinds=["claim.bundled"], by="student"),
    ("POST", f"{OWN_CLAIM}/withdraw"): Act(kinds=["claim.withdrawn"], by="student", prepare=_open),
    ("POST", "/teacher/observations/{submission_id}/reviews"): Act(
        kinds=["observation.reviewed"], by="teacher"
    ),
    ("POST", "/admin/subjects"): Act(kinds=["subject.created"]),
    ("PUT", "/admin/subjects/{subject_id}"): Act(kinds=["subject.updated"]),
    ("POST", "/observer/observations/{submission_id}/amendments"): Act(
        kinds=["observation.finalised"], by="observer"
    ),
    ("POST", "/observer/observation-drafts/{draft_id}/finalise"): Act(
        kinds=["observation.finalised"], by="observer"
    ),
    # What people do about themselves, and candidates about their attempts.
    ("POST", "/auth/logout"): Act(kinds=["auth.signed_out"], by="student"),
    ("POST", "/proctor/session/{id}/risk/adjustments"): Act(kinds=["risk_adjustment.made"], by="teacher"),
    ("POST", "/proctor/rules"): Act(kinds=["risk_rule.saved"]),
    ("PUT", RULE): Act(kinds=["risk_rule.saved"]),
    ("DELETE", RULE): Act(kinds=["risk_rule.deleted"]),
    ("POST", f"{RULE}/toggle"): Act(kinds=["risk_rule.saved"]),
    ("PUT", "/me"): Act(kinds=["user.updated"], by="student"),
    ("PUT", "/me/password"): Act(kinds=["auth.password_changed"], by="student"),
    ("POST", "/proctor/evidence/request-upload"): Act(kinds=["evidence.requested"], by="student"),
    ("POST", "/student/attempts/{attempt_id}/submit"): Act(
        kinds=["session.ended", "submission.finalised"], by="student"
    ),
    ("POST", "/student/exams/{attempt_id}/submit"): Act(
        kinds=["session.ended", "submission.finalised"], by="student"
    ),
}
# What begins something of its own, which OTHERS and the tests named here look at.
ELSEWHERE = {
    ("POST", "/admin/results/import"): "test_importing",
    ("POST", "/teacher/attempts/{attempt_id}/alerts/acknowledge"): "test_alerts",
    ("POST", f"{REMEDIATION}/apply"): "test_remediations: the act is theirs, the steps are the system's",
    ("POST", "/auth/register"): "test_registration",
    ("POST", "/auth/login"): "OTHERS",
    ("POST", "/auth/invitation"): "OTHERS",
    ("POST", "/auth/launch"): "OTHERS",
    ("POST", "/auth/refresh"): "test_logins: an exchange is no act, a second use of a token is",
    ("POST", "/proctor/live/exam/{examId}/ticket"): "test_live_feed: what it opens is a view",
    ("POST", "/hubs/proctor/negotiate"): "test_live_hub: the same",
    ("POST", "/proctor/session/{id}/ticket"): "test_client_socket: it opens what is one's own",
    ("POST", f"{SESSION}/terminate"): "test_acting: that it was ended is theirs, the hand-in the system's",
    ("POST", f"{SESSION}/commands/{{commandId}}/confirm"): "test_acting: of the command, when it was heard",
    ("POST", "/student/exams/{exam_id}/start"): "OTHERS",
    ("POST", "/proctor/session"): "OTHERS",
    ("PUT", "/student/attempts/{attempt_id}/answers"): "what is saved is recorded when it is handed in",
    ("POST", "/observer/exams/{exam_id}/observations"): "test_observations",
    ("POST", "/observer/exams/{exam_id}/observation-drafts"): "a draft is no record until it is finalised",
    ("PUT", "/observer/observation-drafts/{draft_id}"): "the same",
    ("DELETE", "/observer/observation-drafts/{draft_id}"): "the same",
    ("POST", "/proctor/session/{id}/calculate-risk"): "computes, and stores nothing: a view",
    ("POST", "/proctor/rules/what-if"): "test_what_if: the same",
    ("PUT", "/proctor/evidence/{evidence_id}/upload"): "test_uploads",
    ("POST", "/proctor/evidence/{evidence_id}/chunks"): "what is announced is recorded when it arrives",
    ("POST", "/proctor/evidence/{evidence_id}/confirm"): "test_uploads",
}

REFUSE = """
CREATE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
CREATE CONSTRAINT TRIGGER refuse_commit AFTER INSERT ON public.ledger_events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse_commit();
"""
ALLOW = "DROP TRIGGER refuse_commit ON public.ledger_events; DROP FUNCTION refuse_commit()"


def test_every_route_that_changes_something_says_what_it_leaves_on_the_ledger_l1() -> None:
    """Whoever adds a route adds its row here."""
    writes = {(route.method, route.path) for route in routes() if route.method != "GET"}

    assert writes == ACTS.keys() | ELSEWHERE.keys()


async def events(api: Api) -> dict[str, Any]:
    rows = await api.owner.fetch("SELECT id, kind, actor_id, subject_id, body FROM ledger_events ORDER BY id")
    return {str(row["id"]): row for row in rows}


async def acts(api: Api) -> dict[str, Any]:
    """Return the events that a request writes itself; views come beside it, whenever they may."""
    return {each: row for each, row in (await events(api)).items() if not row["kind"].endswith(VIEWED)}


def personal_in(api: Api, body: bytes) -> list[str]:
    """Return what an event's bytes hold of anybody's address, name or network."""
    texts = [each for person in api.people.values() for each in (person.email, f"The {person.role}")]
    return [each for each in [*texts, api.address, "new@x.example"] if each.encode() in body]


async def check(api: Api, act: Callable[[], Awaitable[int]], kinds: list[str], actor: str | None) -> None:
    """Do something, first in vain and then for good, and look at what stands on the ledger."""
    before, world = await acts(api), World(api=api, parameters={})
    tables = await snapshot(world)
    await api.owner.execute(REFUSE)
    try:
        assert await act() == 500
    finally:
        await api.owner.execute(ALLOW)
    assert (await acts(api), await snapshot(world)) == (before, tables), "a rolled-back act leaves nothing"
    status = await act()

    added = [row for number, row in (await acts(api)).items() if number not in before]
    assert (sorted(row["kind"] for row in added), status < 500) == (kinds, True)
    assert {row["actor_id"] for row in added} == {None if actor is None else api.people[actor].id}
    for row in added:
        assert personal_in(api, row["body"]) == []
        assert read_body(row["body"]).kind == row["kind"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("key", ACTS, ids=" ".join)
async def test_an_act_is_on_the_ledger_exactly_when_it_was_done_l1(worlds: Worlds, key: Key) -> None:
    """In a world that earlier acts have changed, and in a new one where it cannot be done there any more."""
    with suppress(AssertionError):
        await do(await worlds.current(), key)
        return
    await do(await worlds.renewed(), key)


async def do(world: World, key: Key) -> None:
    """Do what has to be done before an act, then the act, as `check` does."""
    row = ACTS[key]
    for step in row.before:
        assert await ask(world, step, row.by) in {200, 201, 204}
    if row.prepare is not None:
        await row.prepare(world)

    await check(world.api, lambda: ask(world, key, row.by), row.kinds, row.by)


async def _sign_in(api: Api) -> Ask:
    body = {"email": api.people["teacher"].email, "password": PASSWORD}
    return lambda: api.post("/api/auth/login", json=body)


async def _sign_in_wrongly(api: Api) -> Ask:
    body = {"email": api.people["teacher"].email, "password": "wrong"}
    for _ in range(4):
        await api.post("/api/auth/login", json=body)
    return lambda: api.post("/api/auth/login", json=body)


async def _register(api: Api) -> Ask:
    await put(api, "/api/admin/organisation", "admin", registration_open=True)
    return lambda: api.post("/api/auth/register", json=registration(api, "new@x.example"))


async def _approve(api: Api) -> Ask:
    await (await _register(api))()
    new = await api.owner.fetchval("SELECT id FROM users WHERE email = 'new@x.example'")
    return lambda: api.post(f"/api/admin/users/{new}/unlock", "admin")


async def _use_a_token_twice(api: Api) -> Ask:
    body = {"email": api.people["student"].email, "password": PASSWORD}
    signed_in = await api.post("/api/auth/login", json=body)
    spent = {"refresh_token": signed_in.body["refresh_token"]}
    assert (await api.post("/api/auth/refresh", json=spent)).status == 200
    await api.owner.execute("UPDATE refresh_tokens SET used_at = used_at - interval '1 hour'")
    return lambda: api.post("/api/auth/refresh", json=spent)


async def _sign_out_everywhere(api: Api) -> Ask:
    return lambda: api.post("/api/auth/logout?everywhere=true", "student")


async def _launch(api: Api) -> Ask:
    body = {"student_ids": [str(api.people["student"].id)]}
    made = await api.post(f"/api/teacher/exams/{api.exam_id}/launch-links", "teacher", json=body)
    token = made.body["links"][0]["token"]
    return lambda: api.post("/api/auth/launch", json={"token": token})


async def _invite(api: Api) -> Ask:
    new = {"email": "new@x.example", "role": "student"}
    made = await api.post("/api/admin/users", "admin", json=new)
    api.people["new"] = msgspec.structs.replace(api.people["student"], id=UUID(made.body["id"]))
    body = {"user_ids": [made.body["id"]]}
    invited = await api.post("/api/admin/users/invitations", "admin", json=body)
    command = {"token": invited.body["invitations"][0]["token"], "password": PASSWORD}
    return lambda: api.post("/api/auth/invitation", json=command)


async def _start(api: Api) -> Ask:
    return lambda: api.post(f"/api/student/exams/{api.exam_id}/start", "student")


async def _start_session(api: Api) -> Ask:
    body = {"attemptId": await api.start_attempt(), "mode": 1}
    return lambda: api.post("/api/proctor/session", "student", json=body)


async def _say_more(api: Api) -> Ask:
    session = {"attemptId": await api.start_attempt(), "mode": 1}
    await api.post("/api/proctor/session", "student", json=session)
    return lambda: api.post("/api/proctor/session", "student", json={**session, "browserName": "Firefox"})


OTHERS: Final[dict[str, tuple[Prepare, list[str], str | None]]] = {
    "a sign-in": (_sign_in, ["auth.signed_in"], "teacher"),
    "the fifth failure within a minute": (_sign_in_wrongly, ["login.alert"], None),
    "an approval": (_approve, ["user.approved"], "admin"),
    "a stolen refresh token": (_use_a_token_twice, ["auth.tokens_revoked"], "student"),
    "signing out everywhere": (_sign_out_everywhere, ["auth.signed_out"], "student"),
    "a launch link": (_launch, ["attempt.started", "auth.launched"], "student"),
    "an invitation": (_invite, ["auth.invitation_accepted"], "new"),
    "an attempt": (_start, ["attempt.started"], "student"),
    "a proctor session": (_start_session, ["session.started"], "student"),
    "a client that says more of itself": (_say_more, ["session.updated"], "student"),
}


@pytest.mark.parametrize("what", OTHERS)
async def test_what_people_do_about_themselves_is_on_the_ledger_too_l1(
    database: str, database_as: DatabaseAs, what: str
) -> None:
    prepare, kinds, actor = OTHERS[what]
    async with core_api(database, database_as, registration="approval") as api:
        act = await prepare(api)

        async def status() -> int:
            return (await act()).status

        await check(api, status, kinds, actor)


async def test_a_registration_is_on_the_ledger_without_the_address_l1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, registration="approval") as api:
        assert (await (await _register(api))()).status == 202

        row = await api.owner.fetchrow("SELECT * FROM ledger_events WHERE kind = 'user.registered'")
        assert row["actor_id"] == row["subject_id"]
        assert personal_in(api, row["body"]) == []
        kept = await api.owner.fetchval("SELECT value FROM ledger_salts WHERE event_id = $1", row["id"])
        assert kept == "new@x.example"


async def test_where_somebody_signed_in_from_is_kept_beside_the_ledger_and_can_be_erased_l1(
    core: Core,
) -> None:
    async with core.school() as api:
        await (await _sign_in(api))()
        (event,) = (await api.get("/api/ledger/events?kind=auth.signed_in", "admin")).body["events"]
        assert event["personal"]["address"] == api.address
        assert event["personal"]["user_agent"].startswith("Python/")
        await api.owner.execute("DELETE FROM ledger_salts WHERE person_id = $1", api.people["teacher"].id)

        (event,) = (await api.get("/api/ledger/events?kind=auth.signed_in", "admin")).body["events"]
        assert event["personal"] == {"address": None, "user_agent": None}


async def test_the_audit_log_names_who_did_what_from_where_decision_14(core: Core) -> None:
    async with core.school() as api:
        teacher, student = api.people["teacher"].id, api.people["student"].id
        await (await _sign_in(api))()
        await api.start_session()
        await api.post(f"/api/admin/users/{student}/lock", "admin")

        async def listed(path: str, by: str = "admin") -> list[dict[str, Any]]:
            answer = await api.get(path, by)
            assert answer.status == 200, answer.body
            logs: list[dict[str, Any]] = answer.body["audit_logs"]
            return [each for each in logs if each["action"] != "audit_log.viewed"]  # that is us

        lock, sign_in = await listed("/api/admin/audit-logs")
        assert (lock["action"], lock["resource_type"], lock["resource_id"]) == (
            "user.locked",
            "user",
            str(student),
        )
        assert (sign_in["action"], sign_in["user_id"]) == ("auth.signed_in", str(teacher))
        assert (sign_in["ip_address"], sign_in["user_agent"][:7]) == (api.address, "Python/")
        assert (lock["ip_address"], lock["user_agent"][:7]) == (api.address, "Python/")
        assert await listed("/admin/audit-logs?action=user.locked") == [lock]
        assert await listed(f"/api/admin/audit-logs?user_id={teacher}") == [sign_in]
        assert await listed(f"/api/admin/audit-logs?resource_type=user&resource_id={student}") == [lock]
        assert await listed(f"/api/admin/audit-logs?from={quote(lock['created_at'])}") == [lock]
        assert await listed(f"/api/admin/audit-logs?to={quote(lock['created_at'])}") == [sign_in]
        first = (await api.get("/api/admin/audit-logs?limit=1&resource_type=user", "admin")).body
        assert await listed(
            f"/api/admin/audit-logs?limit=1&resource_type=user&cursor={first['next_cursor']}"
        ) == [sign_in]
        assert await listed("/api/admin/audit-logs", "boss") == []
        assert (await api.get("/api/admin/audit-logs?actor=x", "admin")).status == 422


LAST: Final = re.compile("revoke|role|cancel|override")  # what others need is ended after them
ENDED: Final = (f"{SESSION}/end", f"{SESSION}/terminate")  # which exclude a cancellation
TWICE: Final = f"{SESSION}/review"  # of what two review: test_blind says it again
RESOLVED: Final = f"{CLAIMED}/resolve"  # by nobody who had a hand in it: test_claims
SHOWING: Final = [route for route in routes() if route.shows not in {None, OWN, NOBODY}]
# What a socket shows is a view, too: test_live_feed opens one.
SHOWN: Final = [route for route in SHOWING if route.method == "GET" and route.status != 101]
GRANTS: Final = "/proctor/evidence/{evidence_id}/download-url"  # an act, which says itself who was given it
ABOUT: Final = {
    "/admin/users/{user_id}", "/admin/users/{user_id}/student-profile", "/admin/users/{user_id}/data",
    "/proctor/session/{id}",
    "/proctor/session/{id}/events", "/proctor/session/{id}/events/{type}",
    "/proctor/session/attempt/{attemptId}", "/teacher/attempts/{attempt_id}/monitoring",
    "/teacher/attempts/{attempt_id}/alerts/acknowledge",
    "/teacher/submissions/{submission_id}", "/teacher/observations/{submission_id}",
    "/observer/observations/{submission_id}", "/teacher/students/{student_id}", "/teacher/claims/{claim_id}",
    GRANTS,
}  # fmt: skip
# nothing is sealed here, so nothing is shown
UNSEALED: Final = {"/ledger/events/{event_id}/proof", "/proctor/session/{id}/evidence/custody"}


def test_every_route_that_reads_says_whose_data_it_shows_a6() -> None:
    reads = [route for route in routes() if route.method == "GET" and route.action is not None]

    assert [route.path for route in reads if route.shows is None] == []
    assert len(SHOWN) > 15


def structs(kind: Any) -> set[type]:
    """Return the structs that a reply is made of."""
    own = {
        each
        for each in (kind, get_origin(kind))
        if isinstance(each, type) and issubclass(each, msgspec.Struct)
    }
    parts = [*get_args(kind), *(part for each in own for part in get_type_hints(each).values())]
    return own.union(*(structs(part) for part in parts))


def test_an_act_that_answers_with_what_a_view_shows_says_whose_it_is_too_a6() -> None:
    shown = set().union(*(structs(route.reply) for route in SHOWN)) - {Envelope, Paging} - structs(Paper)
    acts_ = [route for route in routes() if route.method != "GET" and structs(route.reply) & shown]

    assert [route.path for route in acts_ if route.shows is None] == []
    assert len(acts_) > 10


async def test_an_act_that_changes_nothing_and_a_first_reply_leave_a_view_a6(core: Core) -> None:
    """Otherwise an empty change, or a key that is sent again, shows a person to somebody unseen."""
    async with core.school() as api:
        world, expected = await furnish(api), set()
        left_out = (*ENDED, TWICE, RESOLVED)
        acting = [route for route in SHOWING if route.method != "GET" and not route.path.endswith(left_out)]
        for n, route in enumerate(
            sorted(acting, key=lambda route: (LAST.search(route.path) is not None, route.path))
        ):
            row = MATRIX[route.method, route.path]
            # In the matrix's world there may be nothing to undo yet; here there is.
            by = next((name for name in ("admin", "teacher") if row.expected.get(name, 500) < 300), "teacher")
            names = world.parameters | {name: world.parameters[other] for name, other in row.path.items()}
            path = "/api" + route.path.format(**names)
            body, key = row.body(world), {"Idempotency-Key": f"key {n}"}
            for _ in range(2):
                last = await api.call(route.method, path, by, json=body, headers=key)
            assert last.status < 300, (route.path, last.body)
            assert route.shows is not None
            of = names.get(route.shows.by, str(api.people[by].organisation_id))
            expected.add((f"{route.shows.noun}.viewed", api.people[by].id, of))
        seen = "SELECT kind, actor_id, aggregate_id FROM ledger_events WHERE kind LIKE '%.viewed'"
        async with asyncio.timeout(20):
            while expected - {tuple(row) for row in await api.owner.fetch(seen)}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

        assert len(expected) > 5


async def test_a_view_names_what_was_seen_however_it_was_spelled_a6(core: Core) -> None:
    """Letters in another case, zeros in front, a query that nobody reads: the same view of the same thing."""
    async with core.school() as api:
        session = await api.start_session()
        student = str(api.people["student"].id)
        for spelled in (student.upper(), student, student.replace("-", "", 1).replace("-", "--", 1)):
            assert (await api.get(f"/api/admin/users/{spelled}?again={spelled}", "admin")).status == 200
        for spelled in (f"000{session}", f"{session}"):
            assert (await api.get(f"/api/proctor/session/{spelled}?x=1", "reviewer")).status == 200
        await api.get(f"/api/admin/users/{api.people['teacher'].id}", "admin")
        seen = "SELECT kind, aggregate_id FROM ledger_events WHERE kind LIKE '%.viewed' ORDER BY id"
        async with asyncio.timeout(20):
            while len(rows := await api.owner.fetch(seen)) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

        assert [tuple(row) for row in rows] == [
            ("user.viewed", student),
            ("session.viewed", str(session)),
            ("user.viewed", str(api.people["teacher"].id)),
        ]


async def test_every_sensitive_view_is_on_the_ledger_with_its_subject_and_origin_a6(core: Core) -> None:
    async with core.school() as api:
        world = await furnish(api)
        expected = []
        for route in SHOWN:
            expected_of = MATRIX[route.method, route.path].expected
            if route.path == ERASURE:  # nobody has asked for it yet
                assert await ask(world, ("POST", ERASURE), "admin") == 201
                expected_of = {"admin": 200}
            found = ("admin", "teacher", "observer", "student")
            person = next(name for name in found if expected_of.get(name) in {200, 409})
            status = await ask(world, (route.method, route.path), person)
            assert (status == 200) == (route.path not in UNSEALED), route.path
            if status == 200 and route.shows is not None:
                subject = api.people["student"].id if route.path in ABOUT else None
                subject = UUID(world.parameters["leaver_id"]) if route.path == ERASURE else subject
                done = "evidence.granted" if route.path == GRANTS else f"{route.shows.noun}.viewed"
                expected.append((done, api.people[person].id, subject))

        async def seen() -> dict[tuple[Any, ...], Any]:
            seen = (".viewed", ".granted")
            rows = [row for row in (await events(api)).values() if row["kind"].endswith(seen)]
            return {(row["kind"], row["actor_id"], row["subject_id"]): row for row in rows}

        async with asyncio.timeout(20):
            while set(expected) - (await seen()).keys():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for row in (await seen()).values():
            assert "origin" in read_body(row["body"]).commitments


async def test_what_changes_nothing_leaves_nothing_on_the_ledger_l1(core: Core) -> None:
    async with core.school() as api:
        user, group = api.people["student"].id, (await _group(api))
        for path in (f"/api/admin/users/{user}/lock", f"/api/admin/users/{user}/unlock"):
            assert (await api.post(path, "admin")).status == 200
        members = f"/api/admin/groups/{group}/members"
        await api.post(members, "admin", json={"user_ids": [str(user)]})
        before = await acts(api)
        await api.post(f"/api/admin/users/{user}/unlock", "admin")
        await put(api, f"/api/admin/users/{user}/role", "admin", role="student")
        await api.post(members, "admin", json={"user_ids": [str(user)]})
        await api.post("/api/admin/groups", "admin", json={"name": "4b"})

        assert await acts(api) == before


async def _group(api: Api) -> str:
    return str((await api.post("/api/admin/groups", "admin", json={"name": "4b"})).body["id"])
