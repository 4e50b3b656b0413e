"""
What the ledger records of rows: every column of every durable record, by every kind of event (spec.md L-1).

The tables and columns come from the database, the kinds from the code: a new one that no record covers fails.
"""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import core_api
import pipeline
from core_api.actors import Actor
from core_api.database import ask_as_system
from core_api.ledger.entries import by, forget_record, record
from kernel.access import Scope
from kernel.ledger.event import RECORD, LedgerEvent, body_of, event_id_at, new_salt
from kernel.ledger.kinds import KINDS, NUMBERED, RECORDS, Kind
from pipeline.ledger.verify import verify
from pipeline.outbox import WAKES
from tests.kits.access_matrix_world import World, furnish, interrupt
from tests.kits.claims import disputed
from tests.kits.core import DatabaseAs, put
from tests.kits.core import core_api as serving
from tests.kits.ledger import Log, make_log
from tests.kits.remediations import remediated
from tests.kits.reviews import override, review, reviewable

# Whose rows each record holds, and the way from a row to the record: its id, and whom it names too.
COVERED = {
    "submissions": ("submission", "id", "NULL"),
    "submission_items": ("submission", "submission_id", "NULL"),
    "submission_scores": ("submission", "submission_id", "NULL"),
    "submission_drafts": ("submission", "submission_id", "NULL"),
    "remediated_submissions": ("submission", "submission_id", "NULL"),
    "remediations": ("remediation", "id", "NULL"),
    "submission_subjects": ("submission", "submission_id", "NULL"),
    "allowed_origins": ("allowed_origins", "organisation_id", "NULL"),
    "retention_policies": ("retention_policy", "organisation_id", "NULL"),
    "legal_holds": ("legal_hold", "id", "NULL"),
    "erasures": ("erasure", "id", "NULL"),
    "exams": ("exam", "id", "NULL"),
    "teacher_exam_permissions": ("permission", "exam_id", "teacher_id"),
    "assignments": ("assignments", "exam_id", "NULL"),
    "assignment_overrides": ("assignment", "assignment_id", "NULL"),
    "questions": ("question", "id", "NULL"),
    "question_versions": ("question", "question_id", "NULL"),
    "question_terms": ("question", "question_id", "NULL"),
    "passages": ("passage", "id", "NULL"),
    "passage_versions": ("passage", "passage_id", "NULL"),
    "taxonomy_terms": ("term", "id", "NULL"),
    "evaluation_versions": ("evaluation_version", "id", "NULL"),
    "evaluation_items": ("evaluation_version", "evaluation_version_id", "NULL"),
    "users": ("user", "id", "NULL"),
    "teacher_profiles": ("user", "user_id", "NULL"),
    "student_profiles": ("student_profile", "user_id", "NULL"),
    "groups": ("group", "id", "NULL"),
    "group_members": ("group_member", "group_id", "user_id"),
    "organisations": ("organisation", "id", "NULL"),
    "exam_attempts": ("attempt", "id", "NULL"),
    "proctor_sessions": ("session", "id", "NULL"),
    "proctor_decisions": ("decision", "id", "NULL"),
    "decision_acts": ("decision", "decision_id", "NULL"),
    "blind_reviews": ("reviews", "session_id", "NULL"),
    "submission_results": ("result", "submission_id", "NULL"),
    "session_actions": ("session_actions", "session_id", "NULL"),
    "session_commands": ("session_actions", "session_id", "NULL"),
    "attempt_pauses": ("attempt", "attempt_id", "NULL"),
    "time_grants": ("attempt", "attempt_id", "NULL"),
    "risk_rules": ("risk_rule", "id", "NULL"),
    "risk_rule_versions": ("risk_rule", "rule_id", "NULL"),
    "risk_adjustments": ("risk_adjustment", "id", "NULL"),
    "claims": ("claim", "id", "NULL"),
    "claim_statements": ("claim", "claim_id", "NULL"),
    "disputes": ("claim", "claim_id", "NULL"),
    "resolutions": ("claim", "claim_id", "NULL"),
    "claim_policies": ("claim_policy", "exam_id", "NULL"),
    "programmes": ("programme", "id", "NULL"),
    "programme_versions": ("programme", "programme_id", "NULL"),
    "programme_requirements": ("programme", "programme_id", "NULL"),
    "programme_enrolments": ("programme_enrolment", "id", "NULL"),
    "evidence": ("evidence", "id", "NULL"),
    "evidence_chunks": ("evidence", "evidence_id", "NULL"),
    "subjects": ("subject", "id", "NULL"),
    "observation_reviews": ("observation_reviews", "submission_id", "NULL"),
}
# What no event records, and why.
UNCOVERED = {
    "created_at": "when the row was made: the event says when it happened",
    "granted_at": "as created_at",
    "allowed_origins.changed_at": "as created_at",
    "users.last_login": "of each sign-in, which is an event of its own",
    "users.last_login_ip": "as last_login",
    "users.token_generation": "what was taken back, an event of its own",
    "users.standing": "how often it was locked or given another role, which are events",
    "users.source_id": "where a row of the school's files belongs, not who somebody is",
    "groups.source_id": "as of users",
    "assignments.revoked_at": "in the record `assignment`",
    "student_profiles.id": "nothing names it",
    "submissions.amends": "in the content, whose hash is in the record",
    "teacher_profiles.id": "nothing names it",
    "exam_attempts.status": "in the record `submission`, and whether it was abandoned here",
    "exam_attempts.score": "in the record `submission`",
    "exam_attempts.percentage": "in the record `submission`",
    "exam_attempts.passed": "in the record `submission`",
    "exam_attempts.completed_at": "in the record `submission`",
    "exam_attempts.duration_seconds": "in the record `submission`",
    "exam_attempts.submission_data": "in the record `submission`",
    "exam_attempts.submitted_by": "in the record `submission`",
    "exam_attempts.metadata": "nothing writes it",
    "claims.is_open": "follows from the state",
    "programme_enrolments.due_at": "when it is judged next",
    "claims.remind_at": "until somebody is reminded, which is an event",
    "evidence.damaged_at": "what the sweep found of its file: an event of its own",
    "evidence.gone_at": "when its file went by policy: an event of its own",
    "evidence_chunks.stated_sha256": "what was announced, which has to be what arrived",
    "evidence_chunks.stated_bytes": "as stated_sha256",
    "session_commands.told_at": "when ingest was told",
    "session_commands.confirmed_at": "when the client said so",
    "proctor_sessions.rule_set_id": "a trigger's, and never changed: the newest when it began",
    "proctor_sessions.final_seq": "the stream's, counted by the writer",
    "proctor_sessions.silent_since": "the sweep's, of what the stream has told",
    "proctor_sessions.heartbeat_missed_count": "counted by the writer",
    "proctor_sessions.taken_up_at": "when the client said it",
    "proctor_sessions.device_fingerprint": "what the client says of itself",
    "proctor_sessions.user_agent": "what the client says of itself",
    "proctor_sessions.browser_name": "what the client says of itself",
    "proctor_sessions.browser_version": "what the client says of itself",
    "proctor_sessions.operating_system": "what the client says of itself",
    "proctor_sessions.screen_resolution": "what the client says of itself",
    "proctor_sessions.ip_address": "beside the ledger, with the event that started it",
}
# Tables that core_api writes and no record holds.
UNRECORDED = {
    "attempt_answers": "runtime state until it is handed in",
    "attempt_drafts": "runtime state",
    "observation_drafts": "runtime state",
    "submission_evidence": "in the record `submission`",
    "evaluations": "its columns stand in the record of each version",
    "logins": "sign-ins, which are events",
    "refresh_tokens": "of sign-ins",
    "revocations": "what was taken back, until tokens die",
    "login_attempts": "throttling",
    "login_networks": "throttling",
    "launch_uses": "of sign-ins by link, which are events",
    "invitations": "of first passwords, which are events",
    "ledger_events": "the ledger itself",
    "remediation_progress": "how far it is; each submission says so itself",
    "programme_enrolment_progress": "follows from the submissions; what comes of it is an event",
    "ledger_salts": "beside the ledger",
    "outbox": "for workers",
    "rule_sets": "the newest versions of rules, which are in the record `risk_rule`, by a function",
    "session_notices": "what the stream will say as events",
    "alert_acknowledgements": "in the event that says so",
    "appeal_bundles": "the event has the hash of the manifest, that has those of the parts",
    "review_claims": "leases, which end by themselves",
    "idempotency_keys": "what a retry is answered, for an hour",
}
OTHER = {
    "uuid": "gen_random_uuid()",
    "text": "'other'",
    "json": "'{\"other\": 1}'",
    "jsonb": "'{\"other\": 1}'",
    "bytea": "'\\x00'",
    "boolean": "NOT coalesce({0}, false)",
    "timestamptz": "coalesce({0}, now()) + interval '1 hour'",
    "smallint": "coalesce({0}, 0) + 1",
    "integer": "coalesce({0}, 0) + 1000",  # as below
    "bigint": "coalesce({0}, 0) + 1000",  # past the ids that the others have
    "numeric": "coalesce({0}, 0) + 1",
    "double precision": "coalesce({0}, 0) + 1",
    "inet": "'192.0.2.77'",
    "bigint[]": "'{7}'",
    "text[]": "'{other}'",
    "uuid[]": "ARRAY[gen_random_uuid()]",
}
COLUMNS = """
SELECT c.oid::regclass::text AS relation, a.attname AS name, format_type(a.atttypid, NULL) AS kind
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY 1, a.attnum
"""


@pytest.fixture
async def world(database: str, database_as: DatabaseAs) -> AsyncIterator[World]:
    """A world with a row in every table that a record covers."""
    async with serving(database, database_as) as api:
        made = await furnish(api)
        await put(
            api, f"/api/admin/users/{made.parameters['user_id']}/student-profile", "admin", cohort="2026"
        )
        await put(api, "/api/me", "teacher", department="Mathematics")
        await put(api, "/api/admin/allowed-origins", "admin", origins=["https://exams.example.org"])
        await put(api, "/api/admin/retention", "admin", events_days=60)
        await override(api, int(made.parameters["decision_id"]), 4, decisionReasonEn="Seen.")
        erased = f"/api/admin/users/{api.people['outsider'].id}/erasure"
        assert (await api.post(erased, "admin")).status == 201
        await interrupt(made)
        ended = await reviewable(api, double_review=True)
        assert (await review(api, ended.session_id, 3)).status == 200
        said = {"verdict": "returned", "reason": "Which bench?"}
        path = f"/api/teacher/observations/{made.parameters['observation_id']}/reviews"
        assert (await api.post(path, "teacher", json=said)).status == 201
        weight = {"ruleId": int(made.parameters["rule_id"]), "percent": 50, "reason": "Agreed."}
        path = f"/api/proctor/session/{made.parameters['id']}/risk/adjustments"
        assert (await api.post(path, "teacher", json=weight)).status == 201
        await disputed(api)
        await remediated(api)
        yield made


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Any]:
    """The owner's connection to the tables themselves."""
    conn = await asyncpg.connect(database)
    yield conn
    await conn.close()


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


def findings(log: Log) -> list[str]:
    return verify(log.owner_url, log.keys, witness=log.witness).findings


async def loosened(conn: Any) -> None:
    """Let this transaction change anything, as a superuser may."""
    await conn.execute("SET LOCAL session_replication_role = replica")
    for row in await conn.fetch(
        "SELECT attrelid::regclass::text AS relation, attname AS name FROM pg_attribute"
        " WHERE attidentity <> '' AND attrelid::regclass::text = ANY ($1)",
        list(COVERED),
    ):
        await conn.execute(f"ALTER TABLE {row['relation']} ALTER {row['name']} DROP IDENTITY")
    for table in COVERED:
        await conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await conn.execute("ALTER TABLE claims ALTER is_open DROP EXPRESSION")
    for row in await conn.fetch(
        "SELECT conrelid::regclass::text AS relation, conname AS name FROM pg_constraint"
        " WHERE contype IN ('c', 'f') AND conrelid::regclass::text = ANY ($1)",
        list(COVERED),
    ):
        await conn.execute(f'ALTER TABLE {row["relation"]} DROP CONSTRAINT "{row["name"]}"')
    for row in await conn.fetch(
        "SELECT indexrelid::regclass::text AS name FROM pg_index"
        " WHERE indisunique AND indrelid::regclass::text = ANY ($1)"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)",
        list(COVERED),
    ):
        await conn.execute(f"DROP INDEX {row['name']}")


@pytest.mark.usefixtures("world")
async def test_every_column_of_every_durable_row_is_in_what_its_record_hashes_l1(owner: Any) -> None:
    """A column that is new, and neither covered nor listed with a reason, fails here."""
    conn = owner
    missed, names = [], set()
    transaction = conn.transaction()
    await transaction.start()
    await loosened(conn)
    for relation, column, typed in await conn.fetch(COLUMNS):
        names.add(f"{relation}.{column}")
        if relation not in COVERED:
            continue
        record, id_of, subject_of = COVERED[relation]
        at = await conn.fetchrow(
            f"SELECT ctid, {id_of}::text AS id, {subject_of}::uuid AS subject"
            f" FROM {relation} ORDER BY {id_of} LIMIT 1"
        )
        assert at is not None, relation
        hashes = f"SELECT record_hashes('{record}', $1, $2, '\\x00')"
        before = await conn.fetchval(hashes, at["id"], at["subject"])
        assert before, relation
        kind = {"timestamp with time zone": "timestamptz"}.get(typed, typed)
        if kind not in OTHER:
            missed.append(f"{relation}.{column}: no other value of {kind} is known here")
            continue
        savepoint = conn.transaction()
        await savepoint.start()
        await conn.execute(
            f"UPDATE {relation} SET {column} = {OTHER[kind].replace('{0}', column)} WHERE ctid = $1",
            at["ctid"],
        )
        after = await conn.fetchval(hashes, at["id"], at["subject"])
        await savepoint.rollback()
        listed = column in UNCOVERED or f"{relation}.{column}" in UNCOVERED
        if (after == before) != listed:
            missed.append(f"{relation}.{column}: {'listed, and covered' if listed else 'not covered'}")
    await transaction.rollback()

    assert [each for each in missed if not each.endswith(".created_at: listed, and covered")] == []
    assert {each for each in UNCOVERED if "." in each} <= names


async def test_every_table_that_the_core_api_writes_is_some_records(owner: Any) -> None:
    rows = await owner.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND has_table_privilege('veritas_core', oid, 'INSERT')"
    )

    assert {row["name"] for row in rows} == COVERED.keys() | UNRECORDED.keys()


def test_every_kind_is_recorded_somewhere_and_no_kind_is_a_loose_string() -> None:
    """`submission.erased` and `claim.erased` are what retention has to record."""
    rooms = (Path(core_api.__file__).parent, Path(pipeline.__file__).parent)
    text = "\n".join(path.read_text() for room in rooms for path in room.rglob("*.py"))
    used = {kind for kind in Kind if re.search(rf"\bKind\.{kind.name}\b", text)}
    loose = {kind for kind in Kind if f'"{kind.value}"' in text}

    assert used == set(Kind) - {Kind.submission_erased, Kind.claim_erased}
    assert loose == set()


def test_workers_know_every_kind_that_they_are_told() -> None:
    assert WAKES.keys() == {kind for kind, about in KINDS.items() if about.is_told}


async def test_every_record_is_known_to_the_database(world: World, owner: Any) -> None:
    records = {each for each in RECORDS.values() if each is not None}
    for name in sorted(records):
        of_id = "1" if name in NUMBERED else world.parameters["exam_id"]
        await owner.fetchval("SELECT record_hashes($1, $2, $3, '\\x00')", name, of_id, world.api.exam_id)
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await owner.fetchval("SELECT record_hashes('other', '1', NULL, '\\x00')")
    functions = await owner.fetch(
        "SELECT substring(proname FROM 11) AS record, proacl::text AS acl, proowner::regrole::text AS owner"
        " FROM pg_proc WHERE proname LIKE 'record\\_of\\_%'"
    )
    assert {each["record"] for each in functions} == records
    for each in functions:
        assert each["acl"] == "{{{0}=X/{0}}}".format(each["owner"]), f"{each['record']}: REVOKE … FROM PUBLIC"


async def test_what_happened_holds_and_rows_changed_with_the_triggers_off_are_named(
    world: World, owner: Any, log: Log
) -> None:
    given = world.parameters
    path = f"/api/teacher/submissions/{given['submission_id']}/grades"
    graded = await world.api.post(path, "teacher", json={"grades": [{"position": 1, "points": 1}]})
    assert graded.status == 201, graded.body
    members = f"/api/admin/groups/{given['group_id']}"
    assert (await world.api.call("DELETE", members, "admin")).status == 204
    log.seal()
    assert findings(log) == []

    for statement, named in (
        ("UPDATE submission_scores SET points = points + 1 WHERE revision = 1", "its row score 1"),
        ("UPDATE submission_scores SET scored_at = now() WHERE revision = 2", "its row score 2"),
        ("UPDATE submission_items SET response = '{\"text\": \"Better.\"}'", "its row item 1"),
        ("UPDATE submissions SET content = '{}'", "its row submission"),
        ("UPDATE exam_attempts SET score = 55 WHERE status = 'completed'", "its row outcome"),
        ("DELETE FROM submission_scores WHERE revision = 2", "its row score 2 is not there"),
        ("UPDATE assignment_overrides SET extra_minutes = 600", "its row override"),
        ("UPDATE question_versions SET key = '{}'", "its row version 1"),
        ("UPDATE evaluation_versions SET key = '[]' WHERE status = 'published'", "row evaluation version"),
        ("UPDATE exams SET title = 'Another'", f"exam {given['exam_id']}"),
        ("UPDATE teacher_exam_permissions SET can_edit = NOT can_edit", f"permission {given['exam_id']} of "),
        ("UPDATE users SET role = 'admin' WHERE email LIKE 'assistant%'", "its row user"),
        ("DELETE FROM ledger_salts WHERE name = 'record:submission'", "event recorded of them is not"),
        ("UPDATE ledger_salts SET value = replace(value, ': ', ': 0') WHERE name = 'record:exam'",
         "what is kept of its exam does not fit its commitment"),
    ):  # fmt: skip
        copy = await _tampered(owner, log, statement)
        assert any(named in each for each in copy), (statement, copy)


async def _tampered(owner: Any, log: Log, statement: str) -> list[str]:
    """Return what the verifier finds after a statement with the triggers off; everything is put back."""
    table = re.findall(r"(?:UPDATE|FROM) (\w+)", statement)[0]
    kept = [dict(row) for row in await owner.fetch(f"SELECT * FROM {table}")]
    log.tamper(statement)
    found = findings(log)
    columns = list(kept[0])
    await owner.execute("SET session_replication_role = replica")
    values = ", ".join(f"${n + 1}" for n in range(len(columns)))
    generated = " OVERRIDING SYSTEM VALUE" if "id" in columns else ""
    async with owner.transaction():
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await owner.execute(f"DELETE FROM {table}")
        await owner.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}){generated} VALUES ({values})",
            [list(row.values()) for row in kept],
        )
    await owner.execute("SET session_replication_role = origin")
    log.tamper()
    assert findings(log) == [], "the rows are back"
    return found


KEPT = (
    "submission_scores", "submission_results", "submission_items", "submission_subjects", "submissions",
    "question_versions", "passage_versions", "evaluation_versions", "evaluation_items", "ledger_events",
    "ledger_leaves", "ledger_tiles", "ledger_heads",
)  # fmt: skip
ERASED = ("submission_scores", "submission_results", "submission_items", "submission_subjects", "submissions")


async def test_finalised_rows_go_only_with_the_event_that_says_so_and_the_ledger_still_holds(
    world: World, owner: Any, log: Log, database_as: DatabaseAs
) -> None:
    submission = world.parameters["submission_id"]
    for role in ("owner", "replica", "veritas_core", "veritas_pipeline"):
        is_owner = role in {"owner", "replica"}
        conn = await asyncpg.connect(log.owner_url if is_owner else database_as(role))
        if role == "replica":
            await conn.execute("SET session_replication_role = replica")
        for table in KEPT:
            delete = f"DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})"
            deletes = [] if table in {"evaluation_versions", "evaluation_items"} else [delete]
            for statement in (*deletes, f"TRUNCATE {table} CASCADE"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await conn.execute(statement)
        await conn.close()

    person = world.api.people["admin"]
    actor = Actor(user_id=person.id, organisation_id=person.organisation_id, email="", role=person.role,
                  scope=Scope.organisation)  # fmt: skip
    await ask_as_system(owner)
    observation = world.parameters["observation_id"]
    transaction = owner.transaction()
    await transaction.start()
    await record(owner, by(actor, Kind.submission_erased, observation, now=datetime.now(UTC)))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):  # another's erasure is none of this one
        await owner.execute("DELETE FROM submission_scores WHERE submission_id = $1", submission)
    await transaction.rollback()
    async with owner.transaction():
        erased = by(actor, Kind.submission_erased, submission, now=datetime.now(UTC))
        await record(owner, erased)
        for claim in await owner.fetch("SELECT id FROM claims WHERE submission_id = $1", submission):
            await record(owner, by(actor, Kind.claim_erased, claim["id"], now=datetime.now(UTC)))
            await owner.execute("DELETE FROM claims WHERE id = $1", claim["id"])
            await forget_record(owner, "claim", claim["id"])
        for table in ERASED:
            column = "id" if table == "submissions" else "submission_id"
            await owner.execute(f"DELETE FROM {table} WHERE {column} = $1", submission)
        for each in ("submission", "result"):
            await forget_record(owner, each, submission)
    log.seal()

    assert await owner.fetchval("SELECT count(*) FROM submissions WHERE id = $1", submission) == 0
    assert findings(log) == []


async def append_as_is(owner: Any, kind: str, aggregate_id: str, record: str | None) -> None:
    """Append an event past the use cases: as an older release did, or as whoever owns the database may."""
    organisation, now = uuid4(), datetime.now(UTC)
    commitments = {}
    event_id = event_id_at(now)
    if record is not None:
        salt = new_salt()
        row = await owner.fetchrow(
            "SELECT * FROM commit_to_record($1, $2, NULL, $3)", record, aggregate_id, salt
        )
        commitments = {RECORD + record: row["committed"]}
        await owner.execute(
            "INSERT INTO ledger_salts (event_id, name, salt, value) VALUES ($1, $2, $3, $4)",
            event_id, RECORD + record, salt, row["hashes"],
        )  # fmt: skip
    event = LedgerEvent(
        event_id=event_id,
        organisation_id=organisation,
        occurred_at=now,
        kind=kind,
        aggregate_type="submission",
        aggregate_id=aggregate_id,
        actor_id=None,
        actor_role="system",
        commitments=commitments,
    )
    await owner.execute(
        "INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_id, body,"
        " aggregate_type, actor_role) VALUES ($1, $2, $3, $4, $5, $6, 'submission', 'system')",
        event_id, organisation, now, kind, aggregate_id, body_of(event),
    )  # fmt: skip


async def test_an_event_about_something_else_does_not_cover_changed_rows(
    world: World, owner: Any, log: Log
) -> None:
    """Neither a view that commits to what was changed, nor an erasure of another kind of thing."""
    submission = world.parameters["submission_id"]
    log.tamper(f"UPDATE submission_scores SET points = points + 1 WHERE submission_id = '{submission}'")
    await append_as_is(owner, "submission.viewed", submission, "submission")
    await append_as_is(owner, "view.erased", submission, None)
    log.seal()
    changed = findings(log)
    log.tamper(
        f"DELETE FROM claims WHERE submission_id = '{submission}'",
        *(
            f"DELETE FROM submission_{table} WHERE submission_id = '{submission}'"
            for table in ("scores", "results", "items", "subjects")
        ),
    )
    log.tamper(f"DELETE FROM submissions WHERE id = '{submission}'", "DELETE FROM ledger_salts")
    gone = findings(log)

    assert any(f"submission {submission}" in each and "its row score 1" in each for each in changed)
    assert any(f"submission {submission}" in each and "no event says why" in each for each in gone)


async def test_a_release_that_records_no_rows_is_said_and_not_called_tampering(
    world: World, owner: Any, log: Log
) -> None:
    """As while tiers are restarted one by one: what an event of it changed is neither wrong nor proven."""
    submission = world.parameters["submission_id"]
    log.tamper(f"UPDATE submission_scores SET points = points + 1 WHERE submission_id = '{submission}'")
    await append_as_is(owner, "submission.scored", submission, None)
    await append_as_is(owner, "exam.updated", str(uuid4()), None)
    log.seal()
    report = verify(log.owner_url, log.keys, witness=log.witness)

    assert report.findings == []
    (sentence,) = report.unproven
    assert "its row score 1 is not what was recorded" in sentence
    assert sentence.endswith("is newer and records nothing")
    assert "1 records are not compared: their events record no rows" in report.remarks


@pytest.mark.usefixtures("world")
async def test_numbers_that_no_longer_order_the_changes_are_named(owner: Any, log: Log) -> None:
    """With the sequence set back, an older commitment would pass for the newest one."""
    log.seal()
    last = await owner.fetchval("SELECT last_value FROM ledger_record_numbers")
    await owner.execute("SELECT setval('ledger_record_numbers', 1)")
    back = findings(log)
    await log.append()
    await owner.execute("SELECT setval('ledger_record_numbers', $1)", last)
    log.seal()

    assert back == ["the sequence of commitment numbers was set back or changed"]
    assert findings(log) == ["commitment number 0000000000000002 was drawn 2 times"]


@pytest.mark.usefixtures("world")
async def test_rows_that_nobody_made_are_told(owner: Any, log: Log) -> None:
    """Seeding and replay write people and exams without events: a note, for others may have as well."""
    log.seal()
    told = verify(log.owner_url, log.keys, witness=log.witness).remarks
    count = "SELECT count(*) FROM teacher_exam_permissions"
    before = await owner.fetchval(count)
    await owner.execute(
        "INSERT INTO teacher_exam_permissions (teacher_id, exam_id, can_view, can_edit)"
        " SELECT u.id, e.id, true, true FROM users u, exams e WHERE u.email LIKE 'rival%' LIMIT 1"
    )
    now_told = verify(log.owner_url, log.keys, witness=log.witness).remarks
    more = await owner.fetchval(count) - before

    assert more == 1
    assert [each for each in now_told if each not in told] == [
        each for each in now_told if "rows of teacher_exam_permissions that no event speaks of" in each
    ]
    assert now_told != told
