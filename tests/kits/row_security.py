"""
A world with rows in every table, and the core API's own pool in front of it: for the tests of row security.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from core_api import database as borrowing
from core_api.actors import Actor
from core_api.database import Pool
from kernel.access import Scope
from kernel.events import EventType, Role
from kernel.postgres import open_pool
from kernel.settings import load
from tests.kits.access_matrix_world import World, furnish, interrupt
from tests.kits.core import DatabaseAs, core_api, login, put, store_events
from tests.kits.reporting import put_row
from tests.kits.reviews import override
from warehouse.datasets import DATASETS

STEP = "INSERT INTO clock_steps (session_id, at, old_offset_us, new_offset_us) VALUES ($1, $2, 0, 20000000)"
GAP = "INSERT INTO heartbeat_gaps (session_id, started_at, state) VALUES ($1, $2, 'open')"
CLAIM = (
    "INSERT INTO review_claims (session_id, exam_id, organisation_id, claimed_by, claimed_at, expires_at)"
    " SELECT session_id, exam_id, organisation_id, decided_by, $2::timestamptz, $2 + interval '1 hour'"
    " FROM proctor_decisions WHERE session_id = $1::text::bigint"
)
REVIEW = (
    "INSERT INTO blind_reviews SELECT id, 1, attempt_id, exam_id, candidate_id, organisation_id, 3, 'Talks.',"
    " NULL, NULL, $2, now() FROM proctor_sessions WHERE id = $1::text::bigint"
)
WAITING = (
    "INSERT INTO pending_reviews SELECT id, attempt_id, exam_id, candidate_id, organisation_id, ended_at, 10"
    " FROM proctor_sessions WHERE id = $1::text::bigint"
)
EVIDENCE = "INSERT INTO submission_evidence (submission_id, evidence_id) VALUES ($1, $2)"
SNAPSHOT = (
    "INSERT INTO risk_snapshots (session_id, rule_set_id, as_of, risk_score, peak_risk_score, cause, trace,"
    " through_seq, judgements, adjustment_id) VALUES ($1, 1, $2, 10, 10, 'events', '[]', 3, 0, 0)"
)
RISK = (
    "INSERT INTO reporting.session_risk SELECT id, attempt_id, exam_id, organisation_id, rule_set_id, 10, 10,"
    " 'Low', $2, $2 FROM proctor_sessions WHERE id = $1"
)
FIRE = (
    "INSERT INTO reporting.session_rule_fires SELECT $1, r.id, 1, organisation_id, 1 FROM risk_rules r"
    " JOIN proctor_sessions s USING (organisation_id) WHERE s.id = $1 LIMIT 1"
)
ADJUSTMENT = (
    "INSERT INTO risk_adjustments (attempt_id, rule_id, percent, reason, created_by, created_at)"
    " SELECT $1, r.id, 0, 'They move', a.student_id, now() FROM exam_attempts a"
    " JOIN exams e ON e.id = a.exam_id JOIN risk_rules r USING (organisation_id) WHERE a.id = $1 LIMIT 1"
)
ACKNOWLEDGED = (
    "INSERT INTO alert_acknowledgements SELECT a.id, e.id, e.organisation_id, '{DROPOUT}', 'Seen.', $2, now()"
    " FROM exam_attempts a JOIN exams e ON e.id = a.exam_id WHERE a.id = $1"
)
ANSWERED = (
    "UPDATE claims SET state = 'acknowledged', acknowledged_by = $2 WHERE id = $1",
    "INSERT INTO resolutions VALUES ($1, 1, 'rejected', 'nothing', NULL, NULL, 'No.', NULL, $2, now())",
    "INSERT INTO disputes VALUES ($1, 'staff', $2, now())",
    "INSERT INTO appeal_bundles VALUES ($1, 1, '{}', '{}', $2, now())",
)
PROGRESS = "INSERT INTO remediation_progress (remediation_id, submissions, is_done) VALUES ($1, 1, true)"
REMEDIATED = "INSERT INTO remediated_submissions VALUES ($1, $2, 1, true)"
GONE = (
    "INSERT INTO gone_events SELECT $1, 3, 3, now(), now(), id FROM ledger_events"
    " WHERE kind = 'session.started' LIMIT 1"
)
CAUSE = "INSERT INTO programme_causes SELECT id, gen_random_uuid(), $1, now(), NULL FROM programme_enrolments"
JUDGED = (
    "INSERT INTO programme_enrolment_progress SELECT id, 1, 'finals', 'open', 0, 1, '{}', NULL, now()"
    " FROM programme_enrolments"
)
SALT = (
    "INSERT INTO ledger_salts (event_id, name, person_id, salt, value)"
    " SELECT id, 'name', subject_id, decode(repeat('00', 16), 'hex'), 'A name' FROM ledger_events"
    " WHERE subject_id = $1"
)
ERASED = (
    "INSERT INTO erasures (id, organisation_id, person_id, requested_by, requested_at, stepped_at)"
    " SELECT gen_random_uuid(), organisation_id, id, $2, now(), now() FROM users WHERE id = $1"
)
# Readable by whoever asks, and even when nobody does.
OPEN = {
    "ledger_leaves": "hashes of events, by the events' ids",
    "ledger_tiles": "hashes of hashes",
    "ledger_heads": "signed sizes and roots, which are published",
    "ingest_outages": "when the service took nothing; about no person",
    "restricted_exams": "ids of exams that were assigned to anybody; what closes them to the others",
}


class Wall(msgspec.Struct, frozen=True):
    """The world behind the wall, and the core API's own pool in front of it."""

    world: World
    pool: Pool

    @asynccontextmanager
    async def asking(self, person: str, scope: Scope, exam_id: UUID | None = None) -> AsyncIterator[Any]:
        """Borrow as somebody, as a handler does; with an exam, as a sign-in that is bound to it."""
        found = self.world.api.people[person]
        actor = Actor(
            user_id=found.id,
            organisation_id=found.organisation_id,
            email="",
            role=found.role,
            scope=scope,
            exam_id=exam_id,
        )
        async with borrowing.connection(self.pool, actor) as conn:
            yield conn

    async def readable(self) -> list[str]:
        """Return everything that the core API's role may read, in whole or in part."""
        rows = await self.world.api.owner.fetch(
            "SELECT CASE relnamespace WHEN 'public'::regnamespace THEN relname"
            " ELSE format('%I.%I', relnamespace::regnamespace, relname) END AS name"
            " FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm')"
            " AND relnamespace IN ('public'::regnamespace, 'reporting'::regnamespace)"
            " AND has_any_column_privilege('veritas_core', oid, 'SELECT')"
            " AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')"
        )
        return [row["name"] for row in rows if row["name"] not in OPEN]

    async def seen(self, conn: Any) -> dict[str, list[str]]:
        """Read everything readable without a filter, and return each row as text."""
        found = {}
        for name in await self.readable():
            rows = await conn.fetch(f"SELECT t::text AS row FROM {name} t")
            found[shown(name)] = [row["row"] for row in rows]
        return found

    async def seen_by(self, person: str, scope: Scope = Scope.granted) -> dict[str, list[str]]:
        async with self.asking(person, scope) as conn:
            return await self.seen(conn)


def shown(name: str) -> str:
    """Return what the tests call a table; one of reporting by its name alone, unless there are two of it."""
    return name if name in TWICE else name.removeprefix("reporting.")


TWICE = {"reporting.submissions", "reporting.submission_items"}
SCOPES = {Role.student: Scope.own, Role.admin: Scope.organisation, Role.observer: Scope.own}


@asynccontextmanager
async def wall(database: str, database_as: DatabaseAs) -> AsyncIterator[Wall]:
    """Fill every table with rows of the student and their exam, and open the wall's front side."""
    async with core_api(database, database_as) as api:
        world = await furnish(api)
        await _fill(world)
        await _sign_in(world, "student")
        settings = load({}, database_url=database_as("veritas_core"), pool_connections_max=1)
        async with await open_pool(settings) as pool:
            yield Wall(world, pool)


async def _fill(world: World) -> None:
    """Put rows into the tables that no request of the core API writes, and into those that `furnish` left."""
    api, given, now = world.api, world.parameters, datetime.now(UTC)
    student, session_id = api.people["student"].id, int(given["id"])
    await interrupt(world)
    await store_events(api, session_id, [(EventType.TabSwitched, 2)] * 3)
    await put(api, f"/api/admin/users/{student}/student-profile", "admin", cohort="2026")
    invited = {"user_ids": [str(api.people["assistant"].id)]}
    assert (await api.post("/api/admin/users/invitations", "admin", json=invited)).status == 201
    await put(api, "/api/me", "teacher", department="Mathematics")
    said = {"verdict": "returned", "reason": "Which bench?"}
    path = f"/api/teacher/observations/{given['observation_id']}/reviews"
    assert (await api.post(path, "teacher", json=said)).status == 201
    await put(api, "/api/admin/allowed-origins", "admin", origins=["https://exams.example.org"])
    await put(api, "/api/admin/retention", "admin", events_days=60)
    for name in ("student", "teacher"):
        await api.call("PUT", "/api/me", name, json={}, headers={"Idempotency-Key": "one"})
    await api.owner.execute(GAP, session_id, now)
    await override(api, int(given["decision_id"]), 4, decisionReasonEn="Seen.")
    await api.owner.execute(CLAIM, given["past_session_id"], now)
    await api.owner.execute(REVIEW, given["past_session_id"], api.people["teacher"].id)
    await api.owner.execute(WAITING, given["past_session_id"])
    await api.owner.execute(STEP, session_id, now)
    await _project(world)
    for statement in (SNAPSHOT, RISK):
        await api.owner.execute(statement, session_id, now)
    await api.owner.execute(FIRE, session_id)
    await api.owner.execute(GONE, session_id)
    await api.owner.execute(ADJUSTMENT, given["attempt_id"])
    await api.owner.execute(EVIDENCE, given["submission_id"], int(given["evidence_id"]))
    await api.owner.execute(PROGRESS, given["remediation_id"])
    await api.owner.execute(REMEDIATED, given["remediation_id"], given["submission_id"])
    await api.owner.execute(SALT, student)
    await api.owner.execute(ERASED, student, api.people["admin"].id)
    for statement in ANSWERED:
        await api.owner.execute(statement, given["claim_id"], api.people["reviewer"].id)
    await put(api, f"/api/teacher/exams/{api.exam_id}/claim-policy", "teacher", window_days=30)
    await api.owner.execute(JUDGED)
    await api.owner.execute(CAUSE, given["submission_id"])
    await api.owner.execute(ACKNOWLEDGED, given["attempt_id"], api.people["teacher"].id)


async def _project(world: World) -> None:
    """Put a row about the student's attempt into the table of each dataset that is projected."""
    api = world.api
    about = {
        "attempt_id": world.parameters["attempt_id"],
        "exam_id": str(api.exam_id),
        "student_id": str(api.people["student"].id),
        "organisation_id": str(api.people["student"].organisation_id),
    }
    for dataset in DATASETS:
        await put_row(api, dataset, **about)
    await api.owner.execute("UPDATE reporting.behavior_analysis SET dropout_label = 'copy'")


async def _sign_in(world: World, name: str) -> None:
    """Sign in, out, wrongly, and by launch link."""
    api, email = world.api, world.api.people[name].email
    assert await login(api, email) == 200
    assert await login(api, email, "wrong") == 401
    assert await login(api, "nobody@here.example", "wrong") == 401
    assert (await api.post("/api/auth/logout", name)).status == 200
    body = {"student_ids": [str(api.people[name].id)]}
    links = await api.post(f"/api/teacher/exams/{api.exam_id}/launch-links", "teacher", json=body)
    opened = await api.post("/api/auth/launch", json={"token": links.body["links"][0]["token"]})
    assert opened.status == 200, opened.body
