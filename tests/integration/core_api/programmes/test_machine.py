"""The state machines of programmes and of enrolments, in the code and in the database (spec.md M-3)."""

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Any
from uuid import uuid4

import asyncpg
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core_api.programmes.states import (
    ENROLMENT_MOVES,
    VERSION_MOVES,
    EnrolmentState,
    Party,
    VersionState,
    judged,
)
from tests.kits.authoring import answer, make_exam, save, start, submit
from tests.kits.core import Answer, Api, Core
from tests.kits.programmes import asks, drafted, enrol, enrolments, follow, published

# As whom each party asks the database; a candidate is none of them.
VIEWS = {"staff": Party.staff, "organisation": Party.staff, "system": Party.system, "candidate": None}
PUT_VERSION = (
    "UPDATE public.programme_versions SET state = $2, published_at = CASE $2 WHEN 'draft' THEN NULL"
    " ELSE now() END WHERE programme_id = $1"
)
PUT_ENROLMENT = "UPDATE public.programme_enrolments SET state = $2, due_at = NULL WHERE programme_id = $1"


async def taken(api: Api, put: str, states: type[StrEnum], programme_id: str) -> set[tuple[str, str, str]]:
    """Return (before, after, view) of every move that the database takes of a programme's one row."""
    table, found = put.split()[1], set()
    for before, after, view in product(states, states, VIEWS):
        if before is after:
            continue
        change = api.owner.transaction()
        await change.start()
        try:
            await api.owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER moved")
            await api.owner.execute(put, programme_id, before)
            await api.owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER moved")
            await api.owner.execute("SELECT set_config('veritas.view', $1, true)", view)
            await api.owner.execute(put, programme_id, after)
            found.add((str(before), str(after), view))
        except asyncpg.InsufficientPrivilegeError:
            pass
        finally:
            await change.rollback()
    return found


def told(moves: Mapping[Any, Party]) -> set[tuple[str, str, str]]:
    """Return (before, after, view) of every move of a table."""
    return {
        (str(before), str(after), view)
        for (before, after), party in moves.items()
        for view, whose in VIEWS.items()
        if whose is party
    }


async def test_the_database_takes_the_tables_moves_by_their_parties_alone_m3(core: Core) -> None:
    """From every state to every other, as everybody."""
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        programme_id = await published(api, asks(made.exam_id))
        await enrol(api, programme_id, "student")

        assert await taken(api, PUT_VERSION, VersionState, programme_id) == told(VERSION_MOVES)
        assert await taken(api, PUT_ENROLMENT, EnrolmentState, programme_id) == told(ENROLMENT_MOVES)


STAFF = {"teacher", "admin"}  # the programme is the teacher's, in the admin's organisation
ACTS = ("draft", "publish", "enrol", "withdraw")
DOES = [
    *((who, act) for who in ("teacher", "admin", "colleague", "boss", "reviewer", "student") for act in ACTS),
    *(("teacher", act) for act in (*ACTS, "pass", "fail")),
    *[("nobody", "judge")] * 4,
]


class Model:
    """What a programme and the student's newest enrolment are expected to be."""

    def __init__(self) -> None:
        self.versions = [VersionState.draft]
        self.enrolment: EnrolmentState | None = None
        self.passes = False

    def expect(self, who: str, act: str) -> int:
        """Return the status of what somebody does now, and follow it."""
        if who in {"student", "reviewer"}:
            return 403
        if who not in STAFF:
            return 404
        return int(getattr(self, f"_{act}")())

    def judge(self) -> None:
        """Follow the orchestrator."""
        if self.enrolment not in {None, EnrolmentState.withdrawn}:
            self.enrolment = judged(EnrolmentState(self.enrolment or ""), is_complete=self.passes)

    def _draft(self) -> int:
        self.versions.append(VersionState.draft)
        return 201

    def _publish(self) -> int:
        if self.versions[-1] is not VersionState.draft:
            return 409
        self.versions = [VersionState.retired for _ in self.versions[1:]] + [VersionState.published]
        return 200

    def _enrol(self) -> int:
        if VersionState.published not in self.versions:
            return 409
        if self.enrolment in {None, EnrolmentState.withdrawn}:
            self.enrolment = EnrolmentState.active
        return 200

    def _withdraw(self) -> int:
        if self.enrolment is None:
            return 404
        if self.enrolment is EnrolmentState.withdrawn:
            return 409
        self.enrolment = EnrolmentState.withdrawn
        return 200

    def _pass(self) -> int:
        self.passes = True
        return 201

    def _fail(self) -> int:
        self.passes = False
        return 201


class Place:
    """A programme that asks for an exam, and the student's submission to it, which waits for a grader."""

    def __init__(self, api: Api, programme_id: str, exam_id: str, submission_id: str) -> None:
        self.api = api
        self.path = f"/api/teacher/programmes/{programme_id}"
        self.programme_id, self.exam_id, self.submission_id = programme_id, exam_id, submission_id

    async def do(self, who: str, act: str) -> Answer:
        """Do it through the API."""
        match act:
            case "draft":
                body = {"requirements": [asks(self.exam_id, must_pass=True)]}
                return await self.api.post(f"{self.path}/versions", who, json=body)
            case "publish":
                return await self.api.post(f"{self.path}/publish", who)
            case "enrol":
                named = {"user_ids": [str(self.api.people["student"].id)]}
                return await self.api.post(f"{self.path}/enrolments", who, json=named)
            case "withdraw":
                newest = (await self.newest() or {}).get("enrolment_id", uuid4())
                return await self.api.post(f"{self.path}/enrolments/{newest}/withdraw", who)
        grades = {"grades": [{"position": 1, "points": 1 if act == "pass" else 0}]}
        path = f"/api/teacher/submissions/{self.submission_id}/grades"
        return await self.api.post(path, who, json=grades)

    async def newest(self) -> dict[str, Any] | None:
        """Return the newest enrolment."""
        found = await enrolments(self.api, self.programme_id)
        return found[-1] if found else None

    async def stands(self) -> tuple[list[str], str | None]:
        """Return the states of the versions, oldest first, and of the newest enrolment."""
        shown = (await self.api.get(self.path, "teacher")).body["versions"]
        return [each["state"] for each in reversed(shown)], (await self.newest() or {}).get("state")


async def placed(api: Api) -> Place:
    made = await make_exam(api, "essay")
    attempt_id = await start(api, made)
    await save(api, attempt_id, answer(made.questions["essay"], 1, text="It depends."))
    submission_id = (await submit(api, attempt_id)).body["submission_id"]
    programme_id = await drafted(api, asks(made.exam_id, must_pass=True))
    return Place(api, programme_id, made.exam_id, submission_id)


@examples(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(DOES), min_size=8, max_size=16))
def test_any_acts_by_anybody_follow_the_tables_m3(core: Core, does: list[tuple[str, str]]) -> None:
    asyncio.run(_follow(core, does))


async def _follow(core: Core, does: list[tuple[str, str]]) -> None:
    async with core.school() as api:
        place, model = await placed(api), Model()
        for who, act in does:
            before = (list(model.versions), model.enrolment)
            if act == "judge":
                model.judge()
                await follow(core)
            else:
                expected, answered = model.expect(who, act), await place.do(who, act)
                assert (answered.status, who, act, before) == (expected, who, act, before), answered.body
            assert await place.stands() == (model.versions, model.enrolment), (who, act, before)
