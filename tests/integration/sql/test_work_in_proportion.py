"""
What runs every few seconds, or for each page of a list, costs what is new or on the page (spec.md X-1).

The tables are filled to 1, 10 and 100 times a size, all of it over and done with, and beside that stands the
same small amount of new work. Each statement is run as the process's own role with the same arguments, and
the blocks that it touched are compared: not times, which a busy machine spoils.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec import Struct

from sql import named, nouns
from sql.running import one, run

SQL: Final = Path(__file__).with_name("work_in_proportion.sql")
UNIT: Final = 60  # people with an attempt and a session each; an exam for every ten
SIZES: Final = (1, 10, 100)
NEW: Final = 5
NOW: Final = datetime(2026, 9, 1, 12, tzinfo=UTC)
LONG_AGO: Final = NOW - timedelta(days=300)
GROWTH_MAX: Final = 2.0  # from ten times the size to a hundred: an index may grow by a level
SLACK_BLOCKS: Final = 20  # a few rows, each found through an index where the small table was read whole
LIMIT: Final = 20
ROLES: Final = ("veritas_pipeline", "veritas_ingest", "veritas_core")
# Of the connection that fills the tables: triggers run for each of thousands of rows, and keep their plan.
PLANNED_ONCE: Final = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan"
DatabaseAs = Callable[[str], str]
# Statements of these files are run by hand.
BY_HAND: Final = {
    "bench",
    "bench_analytics",
    "bench_core",
    "bench_evidence",
    "bench_fold",
    "checker",
    "deploy",
    "ledger_audit",
    "migrations",
    "organisation",
    "word_search",
}
LOOKS: Final = (
    "list_",
    "search_",
    "count_",
    "sum_",
    "has_",
    "is_",
    "read_la",
    "delete_old",
    "delete_expired",
)
# What is looked at without being measured here, and what bounds it instead.
LEFT_OUT: Final = {
    "the pairs of reviews of a period": "blind_reviews.count_pairs",
    "a session has two reviews": "blind_reviews.list_reviews",
    "one session's score": "risk_scores.count_by_type risk_scores.is_blinded risk_scores.list_gaps"
    " risk_scores.list_kept_rules"
    " risk_scores.list_snapshots risk_adjustments.list_adjustments"
    " replays.list_judged replays.list_snapshots_back",
    "rules, of which an organisation has only so many": "risk_rules.count_rules risk_rules.list_rules"
    " risk_rules.list_versions",
    "sessions in which one rule fired": "risk_rules.count_fires",
    "one session's evidence, of which it may have only so much": "evidence.count_pieces"
    " evidence.list_of_session evidence.list_custody_evidence evidence.list_custody_chunks"
    " evidence.list_custody_events",
    "one piece of evidence": "evidence.list_chunks evidence.list_stored evidence.list_announced"
    " evidence.list_missing evidence.sum_announced appeals.is_of_attempt"
    " evidence_tiers.is_kept",
    "sixteen rows a school": "evidence.sum_usage",
    "one group, or all groups' ids, by a command": "leaving.list_cohorts leaving.list_cohort_progress",
    "one claim, of so many statements and bundles": "claim_moves.list_statements"
    " claim_moves.list_resolutions appeals.count_bundles",
    "one programme, and one version of it": "programmes.list_versions enrolments.list_asked",
    "one enrolment, of so many certificates": "enrolments.count_certificates",
    "a page of enrolments, of so many requirements each": "enrolments.list_progress",
    "one decision": "decisions.list_acts claims.is_final",
    "one session, an act of staff a row": "actions.list_actions",
    "one attempt": "acts.list_active_sessions acts.sum_grants_of_overrides"
    " answers.list_drafts answers.list_answers_to answers.list_answers submissions.list_saved"
    " monitoring.count_timeline decisions.is_invalidated staff_claims.list_decisions"
    " attempts.list_corrections"
    " staff_claims.has_decision appeals.list_evidence appeals.list_chunks appeals.list_timeline"
    " appeals.list_views appeals.list_verdicts appeals.list_traces",
    "one submission": "appeals.list_revisions"
    " grading.list_graded_items grading.list_scores observation_views.list_observed_items"
    " observation_views.list_observed_subjects observation_views.list_evidence_links"
    " observation_views.list_observation_reviews",
    "one exam": "exported.list_results_of_exam"
    " interventions.list_room durable.list_snapshots exam_sums.list_sums"
    " tallies.list_counted tallies.list_forms tallies.list_tallies"
    " assignments.list_overrides grading.list_submissions reporting.count_attempts"
    " reporting.sum_activity reporting.sum_activity_counts"
    " reporting.list_tests item_tables.list_items similarity.list_clusters"
    " live.count_dashboard live.count_live live.list_top_violations exams.has_begun launches.list_candidates"
    " observation_views.list_observations_of_exam",
    "all of the caller's exams: test_pages_in_order.py": "flagged.list_flagged teaching.count_attention"
    " staff_claims.list_claims",
    "one version of an evaluation": "evaluations.list_draft_items evaluations.list_items"
    " remediations.list_acts rescoring.list_batch rescoring.list_exams rescoring.is_applying"
    " rescoring.list_claimed",
    "one remediation": "rescoring.list_remediated",
    "remediations that are being applied, by their index": "rescoring.list_open",
    "erasures that are not done, by their index": "erasures.list_open inactive_people.count_asked"
    " watermarks.list_erased_sessions",
    "one person, and what waits for its turn": "erasures.has_marks erasures.has_older_marks"
    " erasures.has_unarchived erasures.list_archived users.is_erased",
    "one person": "own_claims.list_own_claims enrolments.list_facts held_about.list_own held_about.list_held"
    " held_about.list_files"
    " own_results.list_own_results own_results.list_own_marks"
    " observation_views.list_own_observations forms.list_observable"
    " observation_drafts.count_drafts observation_drafts.list_drafts"
    " logins.delete_old_logins logins.delete_expired_refresh_tokens logins.count_refresh_tokens",
    "sessions that ended longest ago, as many as a step takes": "retention.list_takable",
    "evidence that is kept, as much as a step takes, and what leaves": "retention.list_expired"
    " retention.list_leaving",
    "submissions that are past their policy, as many as a step takes": "submission_contents.list_due",
    "attempts that ended longest ago, as many as a step takes": "runtime_state.list_over",
    "candidates of schools that erase the inactive, once an hour": "inactive_people.list_inactive",
    "the sessions of one batch": "retention.list_gone_of_batch",
    "ids that the caller names": "claim_moves.list_unknown_evidence"
    " programmes.list_closed_exams enrolments.find_enrollable"
    " retention.list_gone retention.list_gone_of_attempts gone_events.list_gone gone_events.list_analyses"
    " imported.list_known exam_sums.list_known_sums"
    " calibrations.list_calibrations actions.list_open_commands"
    " assignments.list_reached assignments.count_groups assignments.list_grants exams.list_compared"
    " content.count_terms sessions.list_decisions_of queue.list_fired"
    " queue.list_grounds"
    " evaluations.count_usable_questions evaluations.list_newest_passages observations.list_subject_kinds"
    " invitations.list_invitable ledger.list_tiles throttle.count_failure writer.count_letters"
    " live.list_alerting live.list_lost live.list_client_states"
    " writer.read_latest_epoch"
    " risk_drafts.list_rules_known risk_drafts.list_versions_named what_if.list_sets",
    "what one school wrote": "exam_files.list_versions_titled content.list_terms content.list_passages"
    " evaluations.list_evaluations subjects.list_subjects subjects.find_entities"
    " questions.list_questions remediations.list_remediations legal_holds.list_holds"
    " users.count_other_admins",
    "past sessions, as many as are computed anew at once": "what_if.list_past_sessions",
    "attempts that wait to be folded": "jobs.list_put_aside",
    "what has changed and waits for its turn": "turns.list_due_layers turns.list_key_marks"
    " watermarks.list_marked",
    "one school's rules, and the sessions in which they fired": "durable.list_rule_precision",
    "as many rows as one part of a dataset takes": "durable.list_sealed",
    "a command that somebody runs": "texts.list_unwritten watermarks.list_told_archive"
    " retention.list_gone_between",
    "one look into an index": "watermarks.is_archive_told",
    "rebuilding": "durable.list_scored_exams turns.list_layer_keys folds.list_archived_sessions"
    " watermarks.list_batch_by_day",
    "restarts of Redis": "ingest.list_epochs",
    "the last minutes": "throttle.delete_old_networks launches.delete_expired_uses"
    " invitations.delete_expired_invitations live.delete_old_changes",
    "numbered pages, at most 10,000 rows in": "sessions.list_sessions_sorted live.list_live_sorted",
}


class Case(Struct, frozen=True):
    """A statement: who runs it, for whom, with what. `view` is row security's, for veritas_core."""

    noun: str
    name: str
    arguments: tuple[Any, ...] = ()  # in the order of `$n`, or one mapping by name
    role: str = "veritas_pipeline"
    view: str = "system"

    @property
    def title(self) -> str:
        return f"{self.noun}.{self.name} as {self.view}: {self.arguments}"

    @property
    def call(self) -> tuple[Any, ...]:
        """The statement's text and its arguments."""
        statements, (first, *_) = named(self.noun), self.arguments or (None,)
        if isinstance(first, dict):
            return statements.bind(self.name, **first)
        return statements[self.name], *self.arguments


class World(Struct):
    """The ids that the cases ask about; `old` is the school that all the other rows belong to."""

    school: UUID
    old: UUID
    teacher: UUID
    admin: UUID
    student: UUID
    exam: UUID
    attempt: UUID
    group: UUID
    sessions: list[int]


def lay(conn: "psycopg.Connection[Any]", block: str, **given: Any) -> None:
    """Run a block of work_in_proportion.sql."""
    _, _, rest = SQL.read_text().partition(f"-- name: {block}\n")
    with psycopg.ClientCursor(conn) as cursor:
        cursor.execute(rest.partition("-- name:")[0].encode(), given)


def make_world(conn: "psycopg.Connection[Any]", old: UUID | None) -> World:
    """Make the small, new school, and the one that the old rows belong to unless they are its own."""
    school, teacher, admin, exam, group = (UUID(f"00000000-0000-7000-8000-{n:012x}") for n in range(5))
    students = [UUID(f"00000000-0000-7009-8000-{n:012x}") for n in range(NEW)]
    attempts = [UUID(f"00000000-0000-7003-8000-{n:012x}") for n in range(NEW)]
    made = {"school": school, "teacher": teacher, "admin": admin, "exam": exam, "group": group}
    lay(conn, "begin", **made, students=students, attempts=attempts, old=old or school, now=NOW)
    sessions = [row[0] for row in conn.execute("SELECT id FROM proctor_sessions ORDER BY id")]
    return World(**made, old=old or school, student=students[0], attempt=attempts[0], sessions=sessions)


def cases(world: World) -> Iterator[Case]:
    """Yield what runs every few seconds, then what runs for each page."""
    yield from periodic(world)
    yield from pages(world)


def periodic(world: World) -> Iterator[Case]:
    """Yield what the scheduler, the sealer, the sweeps and readiness run without being asked."""
    yield from of_pipeline(world)
    yield from of_ingest(world)
    yield from of_core()


def of_pipeline(world: World) -> Iterator[Case]:
    since, before = NOW, NOW + timedelta(days=1)
    arguments: list[Any]
    each = len(world.sessions)
    slices = {
        "sessions": world.sessions, "after": [0] * each, "through": [100] * each,
        "since": [since] * each, "until": [before] * each, "first": since, "last": before,
    }  # fmt: skip
    for noun, name, *arguments in (
        ("watermarks", "has_unarchived"),
        ("watermarks", "is_marked", ["attempt_activity"]),
        ("watermarks", "list_marks", "attempt_activity"),
        ("watermarks", "read_open_batch"),
        ("watermarks", "read_last_confirmed"),
        ("watermarks", "read_last_batch"),
        ("watermarks", "insert_ranges", 10**9),
        ("watermarks", "move_archived", 10**9),
        ("watermarks", "read_extent", 10**9),
        ("watermarks", "list_owners", 10**9),
        ("watermarks", "list_batch_by_session", 10**9, since, before),
        ("folds", "gather_touched", 20_000, 60.0),
        ("folds", "gather_woken"),
        ("folds", "read_due", 20_000),
        ("folds", "claim_attempts", 200),
        ("folds", "list_claimed", [str(world.attempt)]),
        ("folds", "read_slices", slices),
        ("sealer", "seal_pending", 10**9, 1000),
        ("sealer", "read_size"),
        ("sealer", "read_last_head"),
        ("jobs", "list_failing"),
        ("jobs", "read_lags", 10_000),
        ("detections", "has_due"),
        ("detections", "claim_piece", 60.0),
        ("detections", "count_waiting", 10_000),
        ("detections", "read_piece", 1),
        ("risk", "read_facts", world.sessions),
        ("replays", "list_weights", world.attempt, [1, 2]),
        ("outbox", "claim_facts", 1_000),
        ("evidence_tiers", "list_due", LONG_AGO, LONG_AGO, 100),
        ("evidence_tiers", "list_files", 1),
        ("evidence_tiers", "list_known", [1], ["evidence/0/1/00001-0123456789abcdef"]),
        ("evidence_tiers", "list_pending", [1]),
        ("outbox", "mark_abandoned", [str(world.attempt)]),
        ("outbox", "mark_submitted", [str(world.attempt)]),
        ("outbox", "mark_enrolments", [world.attempt], [str(world.attempt)]),
    ):
        yield Case(str(noun), str(name), tuple(arguments))


def of_ingest(world: World) -> Iterator[Case]:
    owned = {"shards": 4, "owned": [0, 1, 2, 3], "limit": 500}
    for noun, name, *arguments in (
        ("writer", "list_closing", 4, [0, 1, 2, 3], 500),
        ("gaps", "list_silent", {**owned, "taken": [NOW + timedelta(minutes=1)] * 4, "silence_s": 45.0}),
        ("gaps", "list_due", {**owned, "taken": [NOW] * 4, "now": NOW}),
        ("gaps", "has_gap", world.sessions[0], NOW),
        ("gaps", "list_marks", world.sessions[0], NOW, NOW),
        ("outages", "list_outages", 0, NOW, NOW + timedelta(minutes=1)),
        ("outages", "insert_outages", [0], [NOW], [NOW + timedelta(minutes=1)], 10.0),
        ("gaps", "list_filled", world.sessions[0], NOW, NOW),
        ("origins", "list_changed", NOW),
        ("ingest", "read_sessions", world.sessions[:1]),
        ("gaps", "list_notices", 4, [0, 1, 2, 3], 500),
        ("commands", "take_untold", 4, [0, 1, 2, 3], 500),
        ("ingest", "find_sessions_of_attempts", [world.attempt], None, None, False),
    ):
        yield Case(str(noun), str(name), tuple(arguments), "veritas_ingest")


def of_core() -> Iterator[Case]:
    for noun, name, *arguments in (
        ("submissions", "list_expired", NOW + timedelta(days=9), LONG_AGO, UUID(int=0), 200),
        ("acts", "list_lapsed", NOW, LONG_AGO, UUID(int=0), 200),
        ("claim_moves", "list_due", NOW, LONG_AGO, UUID(int=0), 200),
        ("claim_moves", "list_lapsed", NOW, LONG_AGO, UUID(int=0), 200),
        ("enrolments", "list_due", {"now": NOW, "after_due": None, "after": None, "limit": 200}),
        ("evidence", "list_unclosed", NOW, NOW, 0, 200),
        ("logins", "list_revocations", NOW - timedelta(days=1), NOW),
        ("logins", "delete_expired_revocations", NOW),
        ("origins", "list_changed", NOW),
        ("throttle", "delete_old_attempts", NOW),
        ("idempotency", "delete_old_keys", LONG_AGO, 500),
    ):
        yield Case(str(noun), str(name), tuple(arguments), "veritas_core")


FIRST: Final[dict[str, Any]] = {"cursor": None, "limit": LIMIT}


def pages(world: World) -> Iterator[Case]:
    """Yield what a page of each list reads, as those who ask see it."""
    yield from of_staff(world)
    yield from of_admins(world)
    yield from of_candidates(world)


def of_staff(world: World) -> Iterator[Case]:
    school, since, before, first = world.school, NOW, NOW + timedelta(days=1), FIRST
    all_of = dict.fromkeys(("candidate_id", "status", "mode", "risk_level"))
    events = {"session_id": world.sessions[0], "since": since, "before": before, "after": 50, "limit": LIMIT}
    any_event = dict.fromkeys(("event_type", "severity", "severity_min", "is_violation"))
    waiting = {"now": NOW, "after": 0, "to_decide": True, "limit": LIMIT} | dict.fromkeys(
        ("rank_above", "rank_max", "ended_before", "claimed", "rank", "session_id")
    )
    alerts = {"limit": LIMIT} | dict.fromkeys(
        ("exam_id", "code", "acknowledged", "rank", "ended_at", "attempt_id")
    )
    pairs = {"exam_id": world.exam, "limit": LIMIT} | dict.fromkeys(
        ("second_factor", "q", "attempt_a", "attempt_b")
    )
    enrolled = {"programme_id": world.exam, "state": None, "user_id": None}
    any_live = {"status": 1, "online_since": since, **dict.fromkeys(("level", "online", "q"))}
    for view, person, is_whole in (("staff", world.teacher, False), ("organisation", world.admin, True)):
        sight = {"organisation": school, "user_id": person, "sees_organisation": is_whole}
        listed = "list_sessions" if is_whole else "list_granted_sessions"
        sessions = first | all_of | {"organisation": school} | ({} if is_whole else {"user_id": person})
        for noun, name, *arguments in (
            ("sessions", listed, {**sessions, "exam_id": None}),
            ("sessions", listed, {**sessions, "exam_id": world.exam}),
            ("sessions", "count_sessions", {**sight, **all_of, "exam_id": world.exam}),
            ("sessions", "list_sessions_of_attempt", world.attempt),
            ("queue", "list_pending", {**waiting, **sight, "exam_id": None}),
            ("queue", "list_pending", {**waiting, **sight, "exam_id": world.exam}),
            ("queue", "list_pending", {**waiting, **sight, "exam_id": None, "rank": 50.0}),
            ("queue", "list_exempt", world.sessions),
            ("risk_scores", "list_percents", world.sessions),
            ("live", "list_live", {**first, **any_live, "exam_id": world.exam}),
            ("sessions", "list_recent_events", world.sessions[0], since, before, LIMIT),
            ("sessions", "list_events", {**events, **any_event}),
            ("monitoring", "list_monitoring_events", events),
            ("monitoring", "read_projected_counts", world.attempt),
            ("monitoring", "list_gaps", world.sessions, 200),
            ("monitoring", "list_clock_steps", world.sessions, 200),
            ("monitoring", "list_session_outages", world.sessions, 4, 200),
            ("reporting", "list_students", world.exam, None, LIMIT),
            ("alerts", "list_alerts", alerts),
            ("similarity", "list_pairs", pairs),
            ("teaching", "list_taught", first),
            ("student_numbers", "list_attempts", {**first, "student_id": world.student}),
            ("student_numbers", "sum_standing", world.student),
            ("exams", "list_exams", {**first, **sight, "archived": False}),
            ("programmes", "list_programmes", {**first, **sight, "limit": NEW}),
            ("enrolments", "list_enrolments", {**first, **enrolled}),
            ("assignments", "list_assignments", {**first, "exam_id": world.exam}),
            ("permissions", "list_permissions", {**first, "exam_id": world.exam}),
            ("submissions", "fetch_receipt", world.attempt, None),
            ("ledger", "find_head", None),
            ("directory", "list_students", {**first, "organisation": school}),
            ("directory", "list_students", {**first, "organisation": school, "cursor": world.student}),
            ("directory", "list_students_of_group", {**first, "organisation": school, "group": world.group}),
            (
                "directory",
                "search_students",
                {**first, "organisation": school, "q": "new pu", "group": world.group},
            ),
            ("directory", "list_groups_to_assign", {**first, "organisation": school, "q": None}),
        ):
            yield Case(str(noun), str(name), tuple(arguments), "veritas_core", view)


def of_admins(world: World) -> Iterator[Case]:
    school, first = world.school, FIRST
    everybody = dict.fromkeys(("role", "is_active", "group", "q"))
    bounds = (
        "actor_id",
        "aggregate_type",
        "aggregate_id",
        "since",
        "before",
        "since_id",
        "before_id",
        "cursor",
    )
    log = {"organisation": school, "limit": NEW, **dict.fromkeys(bounds)}
    for noun, name, *arguments in (
        ("users", "list_users", {**first, **everybody, "organisation": school}),
        ("groups", "list_groups", {**first, "organisation": school}),
        ("groups", "list_members", {**first, "group_id": world.group}),
        ("ledger", "list_audit_log", {**log, "kind": None, "routine": False}),
        ("ledger", "list_audit_log", {**log, "kind": "user.changed", "routine": True}),
    ):
        yield Case(str(noun), str(name), tuple(arguments), "veritas_core", "organisation")


def of_candidates(world: World) -> Iterator[Case]:
    school, first = world.school, FIRST
    for noun, name, *arguments in (
        ("exams", "list_available", {**first, "organisation": school, "student": world.student}),
        ("attempts", "list_own_attempts", {**first, "student": world.student}),
        ("attempts", "list_own_running", world.student),
        ("enrolments", "list_own_enrolments", {**first, "user_id": world.student}),
        ("attempts", "read_own_standing", world.student),
    ):
        yield Case(str(noun), str(name), tuple(arguments), "veritas_core", "candidate")


def asker_of(world: World, case: Case) -> UUID:
    return {"staff": world.teacher, "organisation": world.admin, "candidate": world.student}.get(
        case.view, world.admin
    )


def blocks_of(conn: "psycopg.Connection[Any]", world: World, case: Case) -> int:
    """Run a statement, take it back, and return the blocks that it touched."""
    statement, *arguments = case.call
    asking = (case.view, str(asker_of(world, case)), str(world.school), "")
    for _ in range(2):  # the first run reads the catalogues
        if case.role == "veritas_core":
            run(conn, named("asking")["ask_as"], *asking)
        plans = one(conn, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
        conn.rollback()
    plan = plans[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.parametrize("old", [uuid4(), None], ids=["of another school", "of the same school"])
@pytest.mark.slow("years of a school before it is measured")
def test_what_runs_every_few_seconds_or_per_page_costs_what_is_new(
    database: str, database_as: DatabaseAs, old: UUID | None
) -> None:
    costs: dict[str, list[int]] = {}
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(PLANNED_ONCE)
        world = make_world(conn, old)
        low = 0
        for size in SIZES:
            lay(conn, "fill", org=world.old, low=low, high=UNIT * size, at=LONG_AGO, now=NOW)
            low = UNIT * size
            lay(conn, "renew", sessions=world.sessions, exam=str(world.exam), school=world.school,
                teacher=world.teacher, size=size, now=NOW)  # fmt: skip
            conn.execute("VACUUM ANALYZE")
            with ExitStack() as opened:
                as_role = {
                    role: opened.enter_context(psycopg.connect(database_as(role), prepare_threshold=None))
                    for role in ROLES
                }
                for case in cases(world):
                    costs.setdefault(case.title, []).append(blocks_of(as_role[case.role], world, case))
    grown = {
        title: blocks
        for title, blocks in costs.items()
        if blocks[2] > max(blocks[:2]) * GROWTH_MAX + SLACK_BLOCKS
    }

    assert grown == {}


def test_every_look_at_a_table_is_measured_or_says_what_bounds_it() -> None:
    """Whoever adds a list or a sweep adds it to `periodic` or `pages`, or to LEFT_OUT with its bound."""
    nobody = UUID(int=0)
    world = World(
        school=nobody, old=nobody, teacher=nobody, admin=nobody, student=nobody,
        exam=nobody, attempt=nobody, group=nobody, sessions=[0],
    )  # fmt: skip
    measured = {f"{case.noun}.{case.name}" for case in cases(world)}
    named_ones = {name for names in LEFT_OUT.values() for name in names.split()}
    looks = {
        f"{noun}.{name}"
        for noun in set(nouns()) - BY_HAND
        for name in named(noun).texts
        if name.startswith(LOOKS)
    }

    assert sorted(looks - measured - named_ones) == []
    assert sorted(measured & named_ones) == []
