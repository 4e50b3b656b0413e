"""Evidence of an exam that is long over, and what keeps it all the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from kernel.settings import Settings
from kernel.storage.opening import open_tiers
from pipeline.retention.evidence import Swept, sweep_evidence
from sql.running import connect
from tests.kits.evidence_kept import Piece, Seat, held
from tests.kits.pipeline_world import rows_of
from warehouse.publish import Step, no_step

END = """
WITH session AS (
    UPDATE proctor_sessions SET status = 2, started_at = %(at)s, ended_at = %(at)s, final_seq = 0
    WHERE id = %(session)s RETURNING attempt_id
)
UPDATE exam_attempts a SET status = 'abandoned', completed_at = %(at)s
FROM session s WHERE a.id = s.attempt_id
"""
HOLD = """
INSERT INTO legal_holds (id, organisation_id, kind, user_id, exam_id, reason, placed_by, placed_at)
VALUES (gen_random_uuid(), %(organisation)s, %(kind)s, %(user)s, %(exam)s, 'a lawsuit', %(by)s, now())
"""
LIFT = """
UPDATE legal_holds SET status = 'lifted', lifted_by = placed_by, lifted_at = now(), lift_reason = 'over'
WHERE status = 'placed' AND %(user)s IN (user_id, placed_by)
"""
# A claim as a candidate's hand-in would have let it come about; only what it is about is not there.
CLAIM = """
INSERT INTO claims (id, submission_id, attempt_id, exam_id, candidate_id, organisation_id, subject, state,
                    opened_at, state_at, deadline_at)
SELECT gen_random_uuid(), attempt_id, attempt_id, exam_id, candidate_id, organisation_id, 'result', 'opened',
       now(), now(), now() + interval '5 days'
FROM proctor_sessions s WHERE id = %(session)s
ON CONFLICT DO NOTHING
"""
CLOSE = """
UPDATE claims SET state = 'withdrawn', deadline_at = NULL, state_at = %(at)s
WHERE attempt_id = (SELECT attempt_id FROM proctor_sessions WHERE id = %(session)s)
"""
# A decision that is begun, and one that was made final.
REVIEW = """
INSERT INTO proctor_decisions (session_id, attempt_id, exam_id, candidate_id, organisation_id, status,
                               decided_by, decided_at, is_finalized)
SELECT s.id, s.attempt_id, s.exam_id, s.candidate_id, s.organisation_id, 1, e.creator_id, now(), false
FROM proctor_sessions s JOIN exams e ON e.id = s.exam_id WHERE s.id = %(session)s
ON CONFLICT (session_id) DO UPDATE SET is_finalized = false, status = 1
"""
DECIDE = """
WITH decision AS (
    UPDATE proctor_decisions SET is_finalized = true, status = 2 WHERE session_id = %(session)s RETURNING *
)
INSERT INTO decision_acts (decision_id, number, act, status, acted_by, acted_at)
SELECT d.id, 1 + (SELECT count(*) FROM decision_acts a WHERE a.decision_id = d.id), 'finalised', 2,
       d.decided_by, %(at)s
FROM decision d
"""
# What is over has been over since then.
AGE = """
WITH claimed AS (
    UPDATE claims SET state_at = %(at)s
    WHERE NOT is_open AND attempt_id = (SELECT attempt_id FROM proctor_sessions WHERE id = %(session)s)
)
UPDATE decision_acts SET acted_at = %(at)s
WHERE decision_id IN (SELECT id FROM proctor_decisions WHERE session_id = %(session)s)
"""
OLD = datetime.now(UTC).replace(microsecond=0) - timedelta(days=100)


def end(whose: Seat, at: datetime = OLD) -> None:
    """Let the session and its attempt have ended then."""
    write(whose, END, at=at)


def write(whose: Seat, statement: str, *, as_replica: bool = False, **more: Any) -> None:
    """Run one of the statements above for a candidate; as a replica without triggers and foreign keys."""
    given = {
        "session": whose.session_id, "organisation": whose.organisation_id, "user": whose.user_id,
        "exam": None, "by": whose.user_id, "kind": "person",
    }  # fmt: skip
    with psycopg.connect(whose.url) as conn:
        if as_replica:
            conn.execute("SET LOCAL session_replication_role = replica")
            conn.execute("ALTER TABLE decision_acts DISABLE TRIGGER append_only")
        conn.execute(statement.encode(), given | more)
        if as_replica:
            conn.execute("ALTER TABLE decision_acts ENABLE ALWAYS TRIGGER append_only")


def expire(settings: Settings, step: Step = no_step, *, now: datetime | None = None) -> Swept:
    """Sweep over evidence that is past its policy."""
    with connect(settings.database_url) as conn:
        return sweep_evidence(conn, open_tiers(settings), now=now or datetime.now(UTC), step=step)


def gone(url: str) -> set[int]:
    """Return the pieces of which it is said that their files are gone."""
    return {row[0] for row in rows_of(url, "SELECT id FROM evidence WHERE gone_at IS NOT NULL")}


def files(settings: Settings, piece: Piece) -> int:
    """Count a piece's files, in all stores."""
    return sum(len(held(store, piece)) for store in open_tiers(settings).values())


def policy(whose: Seat, days: int) -> None:
    """Let the candidate's organisation keep evidence for so many days."""
    rows_of(
        whose.url,
        "INSERT INTO retention_policies (organisation_id, evidence_days, set_by, set_at)"
        " VALUES (%s, %s, %s, now()) ON CONFLICT (organisation_id) DO UPDATE SET"
        " evidence_days = excluded.evidence_days RETURNING 1",
        whose.organisation_id, days, whose.user_id,
    )  # fmt: skip


def places(folder: Path) -> dict[str, str]:
    """Return the settings that name two stores in a folder of their own."""
    own = folder / str(uuid4())
    return {"evidence_store": str(own / "hot"), "evidence_cold_store": str(own / "cold")}
