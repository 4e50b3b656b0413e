"""Files of evidence go by policy, from whichever tier, and what they were stays (spec.md G-1, V-2)."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import msgspec
import psycopg
import pytest
from msgspec import Struct
from msgspec.structs import replace
from typer.testing import CliRunner

from deploy.commands.cli import app
from deploy.local.stack import LOCAL_FILE, PLACES, Local
from kernel.settings import Settings
from kernel.storage.local import LocalStore
from kernel.storage.opening import key_of, open_tiers
from kernel.storage.stores import INCOMING
from pipeline.evidence_files import MARK, ForeignStoreError, alone_at
from pipeline.jobs import CONTENTS, INACTIVE, RETENTION, failing_jobs
from pipeline.ledger.verify import verify
from pipeline.privacy.erasing import erase_due
from pipeline.retention.evidence import Swept
from pipeline.retention.forecast import forecast
from pipeline.sweeps.orphans import Walk, sweep_orphans
from pipeline.sweeps.sweeping import sweep_forever
from pipeline.sweeps.tiers import Moved, move_due
from sql import named
from sql.running import connect, rows
from tests.integration.pipeline.test_process import wait_until
from tests.kits.evidence_kept import Piece, Seat, films, keep, seat, unreadable
from tests.kits.evidence_kept import held as held_by
from tests.kits.evidence_old import (
    AGE,
    CLAIM,
    CLOSE,
    DECIDE,
    HOLD,
    LIFT,
    OLD,
    REVIEW,
    end,
    expire,
    files,
    gone,
    places,
    policy,
    write,
)
from tests.kits.ledger import Log, make_log
from tests.kits.pipeline_child import kill_at, kill_at_statement
from tests.kits.pipeline_world import rows_of

DEPLOY = named("deploy")
TOLD = """
SELECT kind, aggregate_id, convert_from(body, 'UTF8')::json -> 'detail' FROM ledger_events
WHERE kind IN ('evidence.expired', 'evidence.swept') ORDER BY kind, aggregate_id
"""
USED = """
INSERT INTO evidence_usage SELECT organisation_id, mod(id, 16), 1000000 FROM evidence
ON CONFLICT DO NOTHING RETURNING 1
"""
LEAVING = "SELECT evidence_id FROM leaving_evidence ORDER BY 1"


@pytest.fixture
def log(database: str, database_as: Callable[[str], str], tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path, evidence_hot_days=0, **places(tmp_path))


@pytest.fixture
def settings(log: Log) -> Settings:
    return log.settings


@pytest.fixture
def hot(settings: Settings) -> LocalStore:
    return LocalStore(Path(settings.evidence_store))


def over(url: str, at: datetime = OLD) -> Seat:
    """Return a candidate of a school of their own whose attempt was over then."""
    whose = seat(url)
    end(whose, at)
    return whose


def foreseen(settings: Settings) -> dict[str | None, tuple[int, int]]:
    with connect(settings.database_url) as conn:
        found = forecast(conn, now=datetime.now(UTC))
    return {each.why: (each.pieces, each.total) for each in found if each.what == "evidence"}


def move(settings: Settings) -> Moved:
    with connect(settings.database_url) as conn:
        return move_due(conn, open_tiers(settings), settings, threading.Event(), now=datetime.now(UTC))


def size_of(*pieces: Piece) -> int:
    return sum(len(some) for piece in pieces for some in piece.chunks)


def test_what_was_foreseen_goes_and_says_so_and_what_it_was_stays_g1(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    whose, young = over(database), over(database, datetime.now(UTC) - timedelta(days=80))
    old = [keep(whose, hot, closed_at=OLD) for _ in range(3)]
    kept = keep(young, hot, closed_at=OLD)
    hot.put(INCOMING + key_of(old[0].evidence_id, "1"), [b"left by its sender"])
    rows_of(database, USED)
    rows_of(database, "INSERT INTO detector_claims SELECT id, now() FROM evidence RETURNING 1")
    before = rows_of(database, "SELECT * FROM evidence_chunks ORDER BY 1, 2")
    assert foreseen(settings) == {None: (3, size_of(*old))}
    swept = expire(settings)

    assert swept == Swept(pieces=3, size_bytes=size_of(*old), steps=1, deleted=3)
    assert (foreseen(settings), expire(settings)) == ({}, Swept())
    assert gone(database) == {each.evidence_id for each in old}
    assert [files(settings, each) for each in (*old, kept)] == [0, 0, 0, len(kept.keys)]
    assert hot.found(INCOMING + key_of(old[0].evidence_id)) == []
    assert rows_of(database, "SELECT * FROM evidence_chunks ORDER BY 1, 2") == before
    assert rows_of(database, "SELECT evidence_id FROM detector_claims") == [(kept.evidence_id,)]
    used = rows_of(database, "SELECT sum(1000000 - size_bytes)::bigint FROM evidence_usage")
    assert used == [(size_of(*old),)]
    *each, (_, school, step) = rows_of(database, TOLD)
    assert [(kind, int(number)) for kind, number, _ in each] == [
        ("evidence.expired", piece.evidence_id) for piece in old
    ]
    assert (school, step["rule"], step["days"], step["pieces"], step["size_bytes"]) == (
        str(whose.organisation_id), "evidence_days", 90, 3, size_of(*old),
    )  # fmt: skip
    assert {detail["rule"] for _, _, detail in each} == {"evidence_days"}
    assert len({detail["swept"] for _, _, detail in each}) == 1


def test_each_organisation_has_its_own_days_and_longer_ones_keep_it_in_the_cold_tier_v2(
    settings: Settings, hot: LocalStore, database: str, log: Log
) -> None:
    """spec.md, decision 12: moved to cold storage where the policy keeps it longer than a year."""
    long, short = (over(database, OLD - timedelta(days=900)) for _ in range(2))
    policy(long, 3650)
    kept, old = keep(long, hot), keep(short, hot)
    moved = move(settings)
    with connect(settings.database_url) as conn:
        stores, later = open_tiers(settings), datetime.now(UTC) + timedelta(minutes=10)
        sweep_orphans(conn, stores, settings, Walk(), now=later)
    assert (moved.moved, expire(settings).pieces) == (2, 1)
    assert (gone(database), files(settings, old)) == ({old.evidence_id}, 0)
    assert rows_of(database, "SELECT tier FROM evidence ORDER BY id") == [("cold",), ("cold",)]
    assert len(kept.keys) == files(settings, kept)
    policy(long, 300)
    assert (expire(settings).pieces, files(settings, kept)) == (1, 0)
    log.seal()
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == []


class Keeper(Struct, frozen=True):
    """What keeps evidence: what is foreseen of it, how it comes about, how it is over."""

    why: str
    opens: str
    closes: str
    is_of_exam: bool = False


KEEPERS = {
    "a hold on the person": Keeper("legal_hold", HOLD, LIFT),
    "a hold on the exam": Keeper("legal_hold", HOLD, LIFT, is_of_exam=True),
    "a claim": Keeper("claim_open", CLAIM, CLOSE),
    "a review": Keeper("review_open", REVIEW, DECIDE),
}


@pytest.mark.parametrize("what", KEEPERS)
def test_what_is_held_stays_and_its_days_count_from_when_that_is_over_g1(
    settings: Settings, hot: LocalStore, database: str, what: str
) -> None:
    """spec.md, decision 12: after the attempt, or an open review or claim has closed, whichever is later."""
    keeper, whose, now = KEEPERS[what], over(database), datetime.now(UTC)
    piece = keep(whose, hot, closed_at=OLD)
    exam = {"kind": "exam", "user": None, "exam": whose.exam_id} if keeper.is_of_exam else {}
    write(whose, keeper.opens, as_replica=True, **exam)
    held = (foreseen(settings), expire(settings).pieces)
    write(whose, keeper.closes, as_replica=True, at=now)
    closed = expire(settings).pieces
    write(whose, AGE, as_replica=True, at=now - timedelta(days=89))
    almost = expire(settings).pieces
    write(whose, AGE, as_replica=True, at=now - timedelta(days=91))
    last = expire(settings).pieces

    assert held == ({keeper.why: (1, size_of(piece))}, 0)
    assert (closed, almost, last) == ((1, 0, 0) if keeper.why == "legal_hold" else (0, 0, 1))
    assert gone(database) == {piece.evidence_id}


def test_what_is_under_way_stays_g1(settings: Settings, hot: LocalStore, database: str) -> None:
    running, ended = seat(database), over(database)
    keep(running, hot, closed_at=OLD)
    pending = keep(ended, hot, closed_at=OLD)
    with psycopg.connect(database) as conn:
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute(
            "UPDATE evidence SET status = 1, closed_at = NULL, sha256 = NULL WHERE id = %s",
            (pending.evidence_id,),
        )
        conn.execute("UPDATE exam_attempts SET expires_at = %s", (OLD,))
        conn.execute("UPDATE proctor_sessions SET started_at = %s WHERE id = %s", (OLD, running.session_id))

    assert foreseen(settings).keys() == {"attempt_runs", "upload_open"}
    assert (expire(settings), gone(database)) == (Swept(), set())


def test_a_hold_that_comes_between_is_seen_and_nothing_goes_before_its_time_g1(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    """The database looks once more, in the transaction that takes; for what is to come it refuses."""
    held, free = over(database), over(database)
    pieces = [keep(whose, hot, closed_at=OLD) for whose in (held, free)]
    places_held = count()

    def between(name: str) -> None:
        if name == "deleted" and next(places_held) == 0:
            write(free, HOLD)
            write(held, HOLD)

    assert expire(settings, between).pieces == 1
    assert len(gone(database) & {each.evidence_id for each in pieces}) == 1
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        write_off(settings, database, datetime.now(UTC) + timedelta(days=90))


def test_the_ledger_is_told_of_the_days_that_held_g1(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    """A policy that comes between is what the next sweep goes by, and says."""
    schools = [over(database) for _ in range(2)]
    for whose in schools:
        keep(whose, hot, closed_at=OLD)
    first = count()

    def between(name: str) -> None:
        if name == "deleted" and next(first) == 0:
            for whose in schools:
                policy(whose, 60)

    swept = [expire(settings, between).pieces, expire(settings).pieces]
    told = rows_of(database, TOLD)
    assert swept == [1, 1]
    assert sorted((kind, detail["days"]) for kind, _, detail in told) == [
        (kind, days) for kind in ("evidence.expired", "evidence.swept") for days in (60, 90)
    ]


def test_who_is_at_a_piece_is_waited_for_and_what_they_have_done_counts_g1(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    """As somebody who attaches it to an observation at that moment."""
    whose = over(database)
    piece = keep(whose, hot, closed_at=OLD)
    sweeping = threading.Thread(target=expire, args=(settings,))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM evidence WHERE id = %s FOR KEY SHARE", (piece.evidence_id,))
        sweeping.start()
        wait_until(lambda: rows_of(database, waiting) != [])
        other.execute("UPDATE exam_attempts SET completed_at = now()")
    sweeping.join()

    assert (gone(database), files(settings, piece)) == (set(), len(piece.keys))


def write_off(settings: Settings, url: str, at: datetime) -> None:
    """Take all evidence, as of a moment."""
    pieces = [row[0] for row in rows_of(url, "SELECT id FROM evidence ORDER BY id")]
    with connect(settings.database_url) as conn:
        conn.execute(
            "SELECT take_evidence((SELECT organisation_id FROM evidence LIMIT 1), %s::bigint[], %s,"
            " gen_random_uuid(), '', '{}', '{}')",
            (pieces, at),
        )


def test_a_piece_that_is_being_moved_leaves_later_and_one_that_is_gone_is_not_moved_v2(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    piece = keep(over(database), hot, closed_at=OLD)
    with connect(settings.database_url) as mover, alone_at(mover, piece.evidence_id) as is_alone:
        swept = expire(settings)
        waiting = (files(settings, piece), rows_of(database, LEAVING))
        moved = move(settings)
    late = expire(settings)

    assert is_alone
    assert (swept.pieces, swept.deleted, waiting) == (1, 0, (len(piece.keys), [(piece.evidence_id,)]))
    assert (moved, late) == (Moved(), Swept(deleted=1))
    assert (files(settings, piece), rows_of(database, LEAVING), move(settings)) == (0, [], Moved())


def test_nothing_is_said_to_be_gone_where_the_stores_are_not_those_of_the_files_v2(
    settings: Settings, hot: LocalStore, database: str, tmp_path: Path
) -> None:
    """A store of another database, or an empty folder where the files should be."""
    piece = keep(over(database), hot, closed_at=OLD)
    hot.put(MARK, [b"1 other"])
    with pytest.raises(ForeignStoreError, match="1 other"):
        expire(settings)
    hot.delete([MARK])
    elsewhere = replace(settings, **places(tmp_path))
    with pytest.raises(ForeignStoreError, match="no mark"):
        expire(elsewhere)
    assert (gone(database), files(settings, piece)) == (set(), len(piece.keys))
    assert expire(settings).deleted == 1


def test_a_piece_that_cannot_be_deleted_holds_up_no_other_g1(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    """As on a disk of which some of it can be read no more."""
    keep(over(database), hot, closed_at=OLD)
    expire(settings)  # the store has its mark
    bad, good = (keep(over(database), hot, closed_at=OLD) for _ in range(2))
    mend = unreadable(settings, bad)
    with pytest.raises(OSError, match="symbolic links"):
        expire(settings)
    first = (rows_of(database, LEAVING), files_of(hot, good))
    later = keep(over(database), hot, closed_at=OLD)
    with pytest.raises(OSError, match="symbolic links"):
        expire(settings)
    second = (rows_of(database, LEAVING), files_of(hot, later))
    mend()

    assert first == second == ([(bad.evidence_id,)], 0)
    assert (expire(settings), rows_of(database, LEAVING)) == (Swept(deleted=1), [])
    assert files_of(hot, bad) == 0


def test_what_cannot_be_taken_holds_up_nothing_of_another_kind_g1(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    """Of what goes by policy some fails, as where a migration has broken it; the rest goes."""
    piece, stop = keep(over(database), hot, closed_at=OLD), threading.Event()
    broken = "inactive_people, submission_retention, event_retention"
    with psycopg.connect(database) as conn:
        conn.execute(f"REVOKE SELECT ON {broken} FROM veritas_pipeline".encode())
    sweeping = threading.Thread(target=sweep_forever, args=(settings, open_tiers(settings), stop))
    sweeping.start()
    try:
        with connect(settings.database_url) as conn:
            wait_until(
                lambda: (
                    {each.job for each in failing_jobs(conn)} == {INACTIVE, CONTENTS, RETENTION}
                    and gone(database) == {piece.evidence_id}
                    and rows_of(database, "SELECT FROM ended_attempts") == []
                )
            )
    finally:
        stop.set()
        sweeping.join()


def test_a_damaged_piece_that_is_gone_is_no_trouble_more_v2(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    """`veritas doctor` lists what is to be seen to, and nobody can see to what is gone."""
    for _ in range(2):
        keep(over(database), hot, closed_at=OLD)
    young = keep(over(database, datetime.now(UTC)), hot, closed_at=OLD)
    rows_of(database, "UPDATE evidence SET damaged_at = now() RETURNING 1")

    def listed() -> int:
        with connect(settings.database_url) as conn:
            return len(rows(conn, DEPLOY["list_damaged_evidence"], 10))

    assert (listed(), expire(settings).pieces, listed()) == (3, 2, 1)
    assert young.evidence_id not in gone(database)


def files_of(store: LocalStore, piece: Piece) -> int:
    return len(store.found(key_of(piece.evidence_id)))


def test_a_file_that_comes_back_to_a_store_goes_with_the_orphans_v1(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    """As from a backup of the store."""
    piece = keep(over(database), hot, closed_at=OLD)
    expire(settings)
    hot.put(piece.keys[0], [piece.chunks[0]])
    with connect(settings.database_url) as conn:
        later = datetime.now(UTC) + timedelta(days=8)
        assert sweep_orphans(conn, open_tiers(settings), settings, Walk(), now=later) == 1
    assert files(settings, piece) == 0


def test_the_command_says_what_goes_and_deletes_it_where_the_running_stack_keeps_it_g1(
    database: str, tmp_path: Path
) -> None:
    """`veritas retain`, for a stack whose state is in another folder than this one's."""
    stack = Local(
        url="", ingest_url="", database_url=database, redis_url="", warehouse=str(tmp_path / "warehouse"),
        accounts=[], metrics={},
    )  # fmt: skip
    (tmp_path / LOCAL_FILE).write_bytes(msgspec.json.encode(stack))
    store = LocalStore(tmp_path / PLACES["evidence_store"])
    whose, held = over(database), over(database)
    piece, kept = keep(whose, store, closed_at=OLD), keep(held, store, closed_at=OLD)
    write(held, HOLD)

    def said(*words: str) -> tuple[int, str]:
        command = ["retain", "--state", str(tmp_path), *words]
        done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
        return done.exit_code, done.stdout

    dry, there = said("--dry-run"), gone(database)
    done = said()
    assert (dry[0], there) == (0, set())
    assert all(f"{size_of(piece):,}" in text and "held by a legal hold" in text for _, text in (dry, done))
    assert (done[0], gone(database)) == (0, {piece.evidence_id})
    assert f"1 files of evidence went, {size_of(piece):,} bytes, in 1 steps; 1 are deleted." in done[1]
    assert [len(held_by(store, each)) for each in (piece, kept)] == [0, len(kept.keys)]


def test_a_person_whose_files_are_gone_is_erased_all_the_same_g2(
    settings: Settings, hot: LocalStore, database: str, tmp_path: Path
) -> None:
    """What the organisation has stored was less from when the file went; it is not taken off twice."""
    whose = over(database)
    went, left = keep(whose, hot, closed_at=OLD), keep(over(database), hot, closed_at=OLD)
    rows_of(database, USED)
    expire(settings)
    after = rows_of(database, "SELECT * FROM evidence_usage ORDER BY 1, 2")
    rows_of(
        database,
        "INSERT INTO erasures (id, organisation_id, person_id, requested_at, stepped_at)"
        " VALUES (gen_random_uuid(), %s, %s, now(), now()) RETURNING 1",
        whose.organisation_id, whose.user_id,
    )  # fmt: skip
    own = replace(settings, warehouse=str(tmp_path / "warehouse"), erasure_settled_s=0, build_grace_s=0)
    with connect(own.database_url) as conn:
        erase_due(conn, open_tiers(own), own, now=datetime.now(UTC))

    assert rows_of(database, "SELECT id FROM evidence") == [(left.evidence_id,)]
    assert rows_of(database, "SELECT * FROM evidence_usage ORDER BY 1, 2") == after
    assert went.evidence_id != left.evidence_id


@pytest.mark.slow("a process for each statement and step of a sweep")
def test_a_sweep_that_is_killed_anywhere_goes_on_g1(
    settings: Settings, hot: LocalStore, database: str
) -> None:
    """kill -9 in front of any statement, and in between files: said once, and deleted in the end."""
    schools = [over(database) for _ in range(2)]
    pieces = [keep(whose, hot, films(1, 50), closed_at=OLD) for whose in schools for _ in range(2)]

    def check() -> None:
        said = gone(database)
        for each in pieces:
            assert each.evidence_id in said or files(settings, each) == len(each.keys)

    assert kill_at("expire", settings, "taken")
    check()
    assert kill_at("expire", settings, "file_deleted")
    check()
    for at in count(1):
        if not kill_at_statement("expire", settings, at):
            break
        check()
    assert gone(database) == {each.evidence_id for each in pieces}
    assert [files(settings, each) for each in pieces] == [0] * len(pieces)
    assert rows_of(database, LEAVING) == []
    told = rows_of(database, TOLD)
    assert sorted(int(number) for kind, number, _ in told if kind == "evidence.expired") == sorted(
        gone(database)
    )
    assert sum(detail["pieces"] for kind, _, detail in told if kind == "evidence.swept") == len(pieces)
