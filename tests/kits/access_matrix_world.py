"""
What the access matrix is about: the people, the things that its rows name, and who sees which of them.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import msgspec

from kernel.events import Role
from tests.kits import evidence
from tests.kits.authoring import ITEMS, answer, make_evaluation, make_exam, save, submit
from tests.kits.core import Api, Core
from tests.kits.remediations import PATH, WORDS, sweep
from tests.kits.reporting import alerting, put_row
from tests.kits.reviews import reviewable

STUDENTS = ("student", "other_student", "stranger")
TEACHERS = ("teacher", "assistant", "colleague", "rival")
REVIEWERS = ("reviewer", "outsider")
OBSERVERS = ("observer", "watcher")
ADMINS = ("admin", "boss")
EVERYBODY = (*STUDENTS, *TEACHERS, *REVIEWERS, *OBSERVERS, *ADMINS, "service")
PEOPLE = tuple(name for name in EVERYBODY if name != "service")
FOREIGN = ("stranger", "rival", "boss")

# What is the student's, what only its author and the admin see, and what else belongs to the exam.
# Small ones, which stand in many others.
NUMBERS = (
    "id", "client_seq", "past_session_id", "doubled_session_id", "decision_id", "commandId", "rule_id",
    "evidence_id", "recording_id",
)  # fmt: skip
OWN = ("attempt_id", "past_attempt_id", "submission_id", "claim_id", "over_claim_id", "user_id")
CONTENT = ("passage_id", "evaluation_id")
MADE_FROM = ("evaluation_id",)  # the form shows what candidates see: passages too
OF_EXAM = (
    *OWN, *CONTENT, "exam_id", "question_id", "assignment_id", "observation_id", "draft_id", "remediation_id",
)  # fmt: skip
HIDDEN = {
    **dict.fromkeys(("assistant", "reviewer"), MADE_FROM),
    **dict.fromkeys(("other_student", "outsider", "watcher"), OF_EXAM),
    # a teacher finds every student of the organisation by name, to assign; nothing else of them
    "colleague": tuple(name for name in OF_EXAM if name != "user_id"),
    **dict.fromkeys(FOREIGN, (*OF_EXAM, "group_id", "term_id", "subject_id")),
}


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows are about, by the names of path parameters."""

    api: Api
    parameters: dict[str, str]

    def hidden_from(self, person: str) -> set[str]:
        """Return the ids that no answer to this person may hold, whatever they ask."""
        return {self.parameters[name] for name in HIDDEN.get(person, ())}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a route answers those whose role has an entry, and the body they send.

    `path` puts other parameters of the world into the path, `path_of` does so for one person: what the first
    has deleted, the second cannot. Whoever is refused is asked first; a snapshot shows that nothing changed.
    """

    expected: dict[str, int]
    body: Callable[[World], Any] = lambda _: None
    path: dict[str, str] = {}
    path_of: dict[str, dict[str, str]] = {}
    headers: dict[str, str] = {}


async def furnish(api: Api) -> World:
    """Make what the rows name, beside what `school` made."""
    domain = api.people["admin"].email.partition("@")[2]
    for name, role in (
        ("assistant", Role.teacher), ("outsider", Role.reviewer), ("watcher", Role.observer)
    ):  # fmt: skip
        body = {"email": f"{name}@{domain}", "role": role}
        made = (await api.post("/api/admin/users", "admin", json=body)).body
        api.people[name] = msgspec.structs.replace(
            api.people["colleague"], id=made["id"], email=body["email"], role=role
        )
    for name in ("assistant", "observer"):
        grant = {"user_id": str(api.people[name].id)}
        await api.post(f"/api/admin/exams/{api.exam_id}/permissions", "admin", json=grant)
    leaver = {"email": f"leaver@{domain}", "role": Role.student}
    leaver_id = (await _make(api, "POST", "/admin/users", "admin", leaver))["id"]
    group, student = await _group(api, "4b"), str(api.people["student"].id)
    parameters = await _author(api) | await _assign(api)
    parameters |= await _hand_in(api, parameters["question_id"])
    parameters["observation_id"] = await _observe(api, parameters["question_id"])
    parameters |= await _note(api)
    parameters |= await _decide(api, parameters["past_attempt_id"])
    parameters |= await _claim(api, parameters["submission_id"])
    parameters |= await _remediate(api, parameters["evaluation_version_id"])
    parameters |= await _enrol(api)
    await _import(api)
    attempt = await api.start_attempt()
    session_id = await api.start_session(attempt_id=attempt)
    warned = await _make(api, "POST", f"/proctor/session/{session_id}/warn", "teacher", {"reason": "Talks."})
    recording_id, _ = await evidence.asked(api, session_id, isChunked=True)
    evidence_id = await evidence.sent(api, session_id)
    await put_row(api, "behavior_analysis", **alerting(attempt, str(api.exam_id), student))
    return World(
        api=api,
        parameters={
            "evidence_id": str(evidence_id), "recording_id": str(recording_id),
            "exam_id": str(api.exam_id), "examId": str(api.exam_id), "attempt_id": attempt,
            "attemptId": attempt, "id": str(session_id), "client_seq": "1", "type": "TabSwitched",
            "commandId": str(warned["data"]["commandId"]),
            "user_id": student, "student_id": student, "group_id": group, "leaver_id": leaver_id,
            "reviewer_id": str(api.people["reviewer"].id),
            "hold_id": await _hold(api, student),
            "event_id": await _view(api, session_id), "rule_id": await _rule(api), **parameters,
        },
    )  # fmt: skip


class Worlds:
    """
    A world that tests share, one after another, until one needs another: what they do changes it, and most of
    them do not mind.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._kept = AsyncExitStack()
        self._world: World | None = None

    async def current(self) -> World:
        return self._world or await self.renewed()

    async def renewed(self) -> World:
        await self.close()
        self._world = await furnish(await self._kept.enter_async_context(self._core.school()))
        return self._world

    async def close(self) -> None:
        await self._kept.aclose()


async def _make(api: Api, method: str, path: str, by: str, body: Any) -> Any:
    made = await api.call(method, f"/api{path}", by, json=body)
    assert made.status in {200, 201}, made.body
    return made.body


async def _rule(api: Api) -> str:
    """Return the first of the school's risk rules."""
    found = (await api.get("/api/proctor/rules", "admin")).body["data"]
    return str(found[0]["id"])


async def _hold(api: Api, student: str) -> str:
    """Place a legal hold on the student."""
    body = {"kind": "person", "target_id": student, "reason": "A lawsuit."}
    held: str = (await _make(api, "POST", "/admin/legal-holds", "admin", body))["id"]
    return held


async def _group(api: Api, name: str) -> str:
    """Make a group with the student in it."""
    group: str = (await _make(api, "POST", "/admin/groups", "admin", {"name": name}))["id"]
    members = {"user_ids": [str(api.people["student"].id)]}
    await _make(api, "POST", f"/admin/groups/{group}/members", "admin", members)
    return group


async def _author(api: Api) -> dict[str, str]:
    """Let the teacher write a question with all it names, and give their exam an evaluation of it."""
    term = await _make(api, "POST", "/teacher/terms", "teacher", {"kind": "term", "name": "Cells"})
    passage = await _make(api, "POST", "/teacher/passages", "teacher", {"title": "A text", "body": "Cells."})
    body = {
        "item": {"kind": "essay", **ITEMS["essay"]},
        "passage_id": passage["passage_id"],
        "term_ids": [term["id"]],
    }
    question = await _make(api, "POST", "/teacher/questions", "teacher", body)
    version = await make_evaluation(api, [question["question_id"]])
    points_at = {"evaluation_version_id": version["evaluation_version_id"]}
    await _make(api, "PATCH", f"/teacher/exams/{api.exam_id}", "teacher", points_at)
    return {
        "term_id": term["id"],
        "passage_id": passage["passage_id"],
        "question_id": question["question_id"],
        "evaluation_id": version["evaluation_id"],
        "evaluation_version_id": version["evaluation_version_id"],
    }


async def _assign(api: Api) -> dict[str, str]:
    """Assign the exam to the student, and to a group of theirs, with an override of each assignment."""
    student, path = str(api.people["student"].id), f"/teacher/exams/{api.exam_id}/assignments"
    targets = {"user_ids": [student], "group_ids": [await _group(api, "4c")], "attempts_allowed": 2}
    made = (await _make(api, "POST", path, "teacher", targets))["assignments"]
    for assignment in made:
        await _make(
            api, "PUT", f"{path}/{assignment['id']}/overrides/{student}", "teacher", {"reason": "Agreed."}
        )
    return {"assignment_id": made[0]["id"], "group_assignment_id": made[1]["id"]}


async def _hand_in(api: Api, question_id: str) -> dict[str, str]:
    """Let the student hand in a first attempt."""
    attempt_id = await api.start_attempt()
    await save(api, attempt_id, answer(question_id, 1, text="It depends."))
    receipt = await submit(api, attempt_id)
    return {"past_attempt_id": attempt_id, "submission_id": receipt.body["submission_id"]}


async def _decide(api: Api, attempt_id: str) -> dict[str, str]:
    """Let the teacher begin to decide on the session of the first attempt, so that nobody else does."""
    session_id = await api.owner.fetchval("SELECT id FROM proctor_sessions WHERE attempt_id = $1", attempt_id)
    body = {"proctorSessionId": session_id, "status": 1}
    made = await _make(api, "POST", "/proctor/decision", "teacher", body)
    past = str(session_id)
    return {
        "past_session_id": past,
        "doubled_session_id": past,  # reviewed once, until `review_twice`
        "decision_id": str(made["data"]["id"]),
    }


CLAIMED = """
INSERT INTO claims (id, submission_id, attempt_id, exam_id, candidate_id, organisation_id, subject, state,
                    opened_at, state_at, deadline_at)
SELECT $2, id, attempt_id, exam_id, author_id, organisation_id, $3, 'opened', now(), now(),
       now() + interval '5 days'
FROM submissions WHERE id = $1
"""
SAID = (
    "INSERT INTO claim_statements SELECT id, 1, 'candidate', candidate_id, 'Wrong.', '{}', now() FROM claims"
)
OVER = "UPDATE claims SET state = 'withdrawn', deadline_at = NULL WHERE id = $1"


async def _claim(api: Api, submission_id: str) -> dict[str, str]:
    """Put two claims of the student against the first attempt there, one of which was withdrawn."""
    claim_id, over = str(uuid4()), str(uuid4())
    await api.owner.execute(CLAIMED, submission_id, claim_id, "result")
    await api.owner.execute(CLAIMED, submission_id, over, "decision")
    await api.owner.execute(SAID)
    await api.owner.execute(OVER, over)
    return {"claim_id": claim_id, "over_claim_id": over}


async def _enrol(api: Api) -> dict[str, str]:
    """Publish two programmes that ask for the exam, enrol the student in both, and draft a third."""
    asked = {"kind": "exam", "key": "finals", "exam_id": str(api.exam_id)}
    body = {"title": "Programming", "requirements": [asked]}
    made = [await _make(api, "POST", "/teacher/programmes", "teacher", body) for _ in range(3)]
    programme_id, other, draft = [each["programme_id"] for each in made]
    named = {"user_ids": [str(api.people["student"].id)]}
    for each in (programme_id, other):
        await _make(api, "POST", f"/teacher/programmes/{each}/publish", "teacher", None)
        await _make(api, "POST", f"/teacher/programmes/{each}/enrolments", "teacher", named)
    found = await api.owner.fetch("SELECT programme_id, id FROM programme_enrolments")
    enrolled = {str(row["programme_id"]): str(row["id"]) for row in found}
    return {
        "programme_id": programme_id, "other_programme_id": other, "draft_programme_id": draft,
        "enrolment_id": enrolled[programme_id], "other_enrolment_id": enrolled[other],
    }  # fmt: skip


async def review_twice(world: World) -> None:
    """Make a session that two people review, blind, and has no review yet."""
    ended = await reviewable(world.api, double_review=True)
    world.parameters["doubled_session_id"] = str(ended.session_id)


async def _remediate(api: Api, version_id: str) -> dict[str, str]:
    """Let the teacher draft two remediations of the exam's form, and apply one of a form that nobody met."""
    other = (await make_exam(api, "numeric", publish=False, title="Never held")).evaluation_version_id
    drafts = {
        "remediation_id": (version_id, 5), "put_away_remediation_id": (version_id, 6),
        "applied_remediation_id": (other, 7),
    }  # fmt: skip
    made = {}
    for name, (version, points) in drafts.items():
        change = {"kind": "reweight", "position": 1, "points": points}
        body = {"evaluation_version_id": version, "changes": [change], **WORDS}
        made[name] = (await _make(api, "POST", "/teacher/remediations", "teacher", body))["remediation_id"]
    begun = await api.post(f"{PATH}/{made['applied_remediation_id']}/apply", "teacher")
    assert begun.status == 202, begun.body
    await sweep(api)
    return made


async def _import(api: Api) -> None:
    """Bring a text of the student's in, with two versions, that was written elsewhere."""
    await _make(api, "POST", "/admin/results/import", "admin", imported(api.people["student"].email))


def imported(candidate: str, title: str = "Essays of 2015") -> dict[str, Any]:
    """Return an import of one candidate's text."""
    item = {"kind": "essay", "content": {"stem": "The essay"}, "key": {}}
    text = {
        "item": "The essay", "response": {"text": "Cells live."}, "seconds": 60.5,
        "drafts": [{"text": "Cells.", "at": "2015-01-20T09:00:00Z"}],
    }  # fmt: skip
    result = {"line": 2, "candidate": candidate, "finalised_at": "2015-01-20T10:00:00Z", "answers": [text]}
    return {
        "file_sha256": "ab" * 32,
        "exam": {"title": title, "items": [{"item": item}]},
        "results": [result],
    }


async def _observe(api: Api, question_id: str) -> str:
    """Let the observer finalise what they found about the student."""
    found = {"question_id": question_id, "response": {"text": "Works with care."}}
    made = await api.post(
        f"/api/observer/exams/{api.exam_id}/observations",
        "observer",
        json={"subject_ids": [str(api.people["student"].id)], "items": [found]},
        headers={"Idempotency-Key": "first"},
    )
    assert made.status == 201, made.body
    observation_id: str = made.body["submission_id"]
    return observation_id


async def _note(api: Api) -> dict[str, str]:
    """Make something to observe, and let the observer begin a draft about the student."""
    bench = {"name": "Bench 4", "category": "bench"}
    content = {"subject_ids": [str(api.people["student"].id)]}
    path = f"/observer/exams/{api.exam_id}/observation-drafts"
    return {
        "subject_id": (await _make(api, "POST", "/admin/subjects", "admin", bench))["id"],
        "draft_id": (await _make(api, "POST", path, "observer", {"content": content}))["id"],
    }


async def interrupt(world: World) -> None:
    """Let the student's attempt be paused, and get extra time."""
    session = f"/proctor/session/{world.parameters['id']}"
    await _make(world.api, "POST", f"{session}/extra-time", "teacher", {"minutes": 5, "reason": "An alarm."})
    for act in ("pause", "resume"):
        await _make(world.api, "POST", f"{session}/{act}", "teacher", {"reason": "An alarm."})


async def _view(api: Api, session_id: int) -> str:
    """Let the reviewer look at the session, and return the ledger event that says so."""
    await api.get(f"/api/proctor/session/{session_id}", "reviewer")
    for _ in range(200):
        listed = (await api.get("/api/ledger/events", "admin")).body["events"]
        found = [each["event_id"] for each in listed if each["kind"] == "session.viewed"]
        if found:
            return str(found[0])
        await asyncio.sleep(0.05)
    raise AssertionError("the view did not come onto the ledger")


def rows(status: int, *people: str, **others: int) -> dict[str, int]:
    """Return the status for each of the people, and others by name."""
    return dict.fromkeys(people, status) | others


VIEWED = rows(200, "teacher", "assistant", "reviewer", "admin") | rows(
    404, "colleague", "outsider", "rival", "boss"
)
EDITED = {"teacher": 200, "assistant": 403, "admin": 200} | rows(404, "colleague", "rival", "boss")
# What can be done once: the teacher does it, the others come to a session that has ended.
ONCE = VIEWED | dict.fromkeys(("assistant", "reviewer", "admin"), 409)
ENDED = {name: {"id": "past_session_id"} for name in ("assistant", "reviewer", "admin")}
OBSERVED = {"observer": 200, "watcher": 404}
ADMINISTERED = {"admin": 200, "boss": 404}
JUDGED = VIEWED | rows(403, "assistant") | rows(409, "reviewer", "admin")
LISTED = rows(200, *TEACHERS, *REVIEWERS, *ADMINS)
