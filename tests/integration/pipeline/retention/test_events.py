"""Events leave the table by policy, archived before, and come back (spec.md G-1, W-2, I-7)."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import msgspec
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.archive_told import ForeignArchiveError, open_archive
from pipeline.rebuild import rebuild
from pipeline.retention.archived import bring_back, list_gone, list_gone_between
from pipeline.retention.events import Taken, sweep_events
from pipeline.retention.forecast import forecast
from sql.running import connect
from tests.kits.pipeline_child import fold_now, kill_at_statement, project_now, sweep_now
from tests.kits.pipeline_world import Sitting, end, make_sittings, rows_of, some_events, store_now
from tests.kits.warehouse import read, root_of
from warehouse.datasets.events import EVENTS

NOW = datetime.now(UTC).replace(microsecond=0)
OLD = NOW - timedelta(days=100)
KEYS = "SELECT session_id, seq FROM events ORDER BY 1, 2"
SAID = """
SELECT convert_from(body, 'UTF8')::json #>> '{detail,days}' FROM ledger_events WHERE kind = 'events.archived'
"""
ALL = "SELECT * FROM events ORDER BY session_id, seq"


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"), warehouse=str(tmp_path / "warehouse"), build_grace_s=0
    )


def over(url: str, sitting: Sitting) -> None:
    """Let a sitting and its attempt be over a minute after its last event."""
    at = sitting.started_at + timedelta(hours=1)
    end(url, sitting, at)
    with psycopg.connect(url) as conn:
        conn.execute(
            "UPDATE exam_attempts SET status = 'abandoned', completed_at = %s WHERE id = %s",
            (at, sitting.attempt_id),
        )


def sat(url: str, started_at: datetime, *, attempts: int = 2, events: int = 20) -> list[Sitting]:
    """Let some sit an exam of an organisation of their own, to its end."""
    sittings = make_sittings(url, attempts=attempts, started_at=started_at)
    for sitting in sittings:
        store_now(url, sitting, some_events(sitting, events))
        over(url, sitting)
    return sittings


def settle(settings: Settings) -> None:
    """Let the pipeline have nothing left to do."""
    fold_now(settings)
    while project_now(settings):
        pass
    archive_events(settings)


def sweep(settings: Settings) -> Taken:
    return sweep_now(settings, NOW)


def foreseen(settings: Settings) -> dict[str | None, tuple[int, int]]:
    with connect(settings.database_url) as conn:
        found = forecast(conn, now=NOW)
        return {each.why: (each.pieces, each.total) for each in found if each.what == "events"}


def test_what_was_foreseen_is_what_goes(settings: Settings, database: str) -> None:
    """spec.md G-1: the dry run and the act are one statement; days that are empty are dropped."""
    old, young = sat(database, OLD), sat(database, NOW - timedelta(days=50))
    settle(settings)
    assert foreseen(settings) == {None: (2, 40)}

    taken = sweep(settings)
    assert (taken.sessions, taken.events, taken.differing) == (2, 40, [])
    assert taken.days >= 1
    assert {row[0] for row in rows_of(database, KEYS)} == {each.session_id for each in young}
    assert len(read(settings, EVENTS, "session_id, seq", "session_id, seq")) == 80
    assert foreseen(settings) == {}
    [(body,)] = rows_of(
        database, "SELECT convert_from(body, 'UTF8') FROM ledger_events WHERE kind LIKE 'events.%'"
    )
    assert '"events":40' in body
    assert '"rule":"events_days"' in body
    assert old[0].student_id not in body


def test_each_organisation_has_its_own_days_and_a_shared_day_goes_in_parts(
    settings: Settings, database: str
) -> None:
    """spec.md, decision 12: 30 to 90 days, by organisation; a rebuild keeps what the archive alone has."""
    at = NOW - timedelta(days=45)
    short, long = sat(database, at), sat(database, at)
    [(organisation, admin)] = rows_of(
        database,
        "SELECT s.organisation_id, s.candidate_id FROM proctor_sessions s WHERE id = %s",
        short[0].session_id,
    )
    rows_of(
        database,
        "INSERT INTO retention_policies (organisation_id, events_days, set_by, set_at)"
        " VALUES (%s, 30, %s, now()) RETURNING 1",
        organisation, admin,
    )  # fmt: skip
    settle(settings)
    archived = read(settings, EVENTS, "*", "session_id, seq")
    activity = rows_of(database, "SELECT * FROM reporting.attempt_activity ORDER BY attempt_id")

    assert sweep(settings).sessions == 2
    assert {row[0] for row in rows_of(database, KEYS)} == {each.session_id for each in long}
    assert rebuild(settings).events == 80
    assert read(settings, EVENTS, "*", "session_id, seq") == archived
    assert rows_of(database, "SELECT * FROM reporting.attempt_activity ORDER BY attempt_id") == activity
    assert sweep(settings).sessions == 0


def test_the_ledger_is_told_of_the_days_that_held(settings: Settings, database: str) -> None:
    """spec.md, decision 12: a policy that comes between is what the next sweep goes by, and says."""
    sat(database, OLD)
    settle(settings)
    setting = (
        "INSERT INTO retention_policies (organisation_id, events_days, set_by, set_at)"
        " SELECT organisation_id, 60, candidate_id, now() FROM proctor_sessions LIMIT 1 RETURNING 1"
    )

    def between(name: str) -> None:
        if name == "compared":
            rows_of(database, setting)

    with connect(settings.database_url) as conn:
        first = sweep_events(conn, settings, now=NOW, step=between)
    assert (first.events, sweep(settings).events) == (0, 40)
    assert rows_of(database, SAID) == [("60",)]


def test_nothing_goes_that_is_not_archived_or_not_projected_or_runs(
    settings: Settings, database: str
) -> None:
    """spec.md G-1: neither what a watermark needs nor what the archive has not."""
    running, waiting = make_sittings(database, started_at=OLD)
    store_now(database, running, some_events(running, 5))
    store_now(database, waiting, some_events(waiting, 5))
    over(database, waiting)
    assert foreseen(settings) == {"not_archived": (1, 5)}
    assert sweep(settings).events == 0
    archive_events(settings)
    assert foreseen(settings) == {"not_projected": (1, 5)}
    assert sweep(settings).events == 0
    settle(settings)
    assert sweep(settings).events == 5
    assert {row[0] for row in rows_of(database, KEYS)} == {running.session_id}


def test_what_is_held_stays_until_the_hold_is_lifted(settings: Settings, database: str) -> None:
    """spec.md G-1: a legal hold on a person or an exam."""
    held, free = sat(database, OLD)
    settle(settings)
    [(organisation,)] = rows_of(
        database, "SELECT organisation_id FROM proctor_sessions WHERE id = %s", held.session_id
    )
    rows_of(
        database,
        "INSERT INTO legal_holds (id, organisation_id, kind, user_id, reason, placed_by, placed_at)"
        " VALUES (gen_random_uuid(), %s, 'person', %s, 'a lawsuit', %s, now()) RETURNING 1",
        organisation, held.student_id, held.student_id,
    )  # fmt: skip
    assert foreseen(settings) == {None: (1, 20), "legal_hold": (1, 20)}
    assert sweep(settings).sessions == 1
    assert {row[0] for row in rows_of(database, KEYS)} == {held.session_id}
    rows_of(
        database,
        "UPDATE legal_holds SET status = 'lifted', lifted_by = %s, lifted_at = now(), lift_reason = 'over'"
        " RETURNING 1",
        held.student_id,
    )
    assert sweep(settings).sessions == 1
    assert rows_of(database, KEYS) == []
    assert free.session_id != held.session_id


def test_an_archive_that_is_not_what_the_ledger_says_takes_nothing(
    settings: Settings, database: str, tmp_path: Path
) -> None:
    """spec.md W-2: before events are dropped, the archive is held against the ledger."""
    sat(database, OLD)
    settle(settings)
    [file, *_] = (tmp_path / "warehouse" / "events" / "groups").glob("*/*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(ForeignArchiveError):
        sweep(settings)
    assert len(rows_of(database, KEYS)) == 40


def test_events_come_back_as_they_were_and_stay_for_a_while(settings: Settings, database: str) -> None:
    """spec.md W-2: a restore command."""
    sittings = sat(database, OLD)
    settle(settings)
    before = rows_of(database, ALL)
    sweep(settings)
    assert rows_of(database, ALL) == []

    with connect(settings.database_url) as conn:
        gone = list_gone(conn, [each.session_id for each in sittings])
        until, archive = NOW + timedelta(days=7), open_archive(conn, root_of(settings))
        for each in gone:
            assert bring_back(conn, archive, each, until=until, now=NOW) == 20
            assert bring_back(conn, archive, each, until=until, now=NOW) is None
    assert rows_of(database, ALL) == before
    assert sweep(settings).sessions == 0
    rows_of(database, "UPDATE gone_events SET back_until = %s RETURNING 1", NOW)
    assert sweep(settings).sessions == 2


def test_what_was_altered_in_the_archive_does_not_come_back(
    settings: Settings, database: str, tmp_path: Path
) -> None:
    """spec.md W-2, L-2: not even where whoever altered it has changed the archive's own list with it."""
    sat(database, OLD, attempts=1)
    settle(settings)
    sweep(settings)
    [file] = (tmp_path / "warehouse" / "events" / "groups").glob("*/*.parquet")
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    table = pq.ParquetFile(file).read()
    place = table.schema.get_field_index("severity")
    milder = pa.array([0] * table.num_rows, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), milder), file)
    parts = file.parent / "parts.json"
    after = hashlib.sha256(file.read_bytes()).hexdigest()
    parts.write_text(parts.read_text().replace(before, after))

    with connect(settings.database_url) as conn:
        [gone] = list_gone_between(conn)
        with pytest.raises(ForeignArchiveError):
            bring_back(conn, open_archive(conn, root_of(settings)), gone, until=NOW, now=NOW)
    assert rows_of(database, KEYS) == []


def test_who_is_folded_and_projected_again_reads_the_archive(settings: Settings, database: str) -> None:
    """spec.md W-2: what is computed anew after retention is what it was."""
    sittings = sat(database, OLD)
    settle(settings)
    tables = ("attempt_activity", "session_risk", "session_cells")
    before = {each: rows_of(database, f"SELECT * FROM reporting.{each} ORDER BY 1, 2") for each in tables}
    sweep(settings)
    with psycopg.connect(database) as conn:
        conn.execute("DELETE FROM reporting.session_folds")
        for sitting in sittings:
            conn.execute("INSERT INTO dirty_sessions (session_id) VALUES (%s)", (sitting.session_id,))
    settle(settings)

    after = {each: rows_of(database, f"SELECT * FROM reporting.{each} ORDER BY 1, 2") for each in tables}
    assert after == before


def test_the_pipeline_itself_may_not_delete_events(settings: Settings, database: str) -> None:
    """spec.md I-7: only retention, by its one function."""
    sat(database, OLD)
    with connect(settings.database_url) as conn:
        for statement in ("DELETE FROM events", "SELECT delete_events('{1}', '{1}', now(), now())"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement.encode())


@pytest.mark.slow("a process for each statement of a sweep")
def test_a_sweep_that_is_killed_anywhere_goes_on(settings: Settings, database: str) -> None:
    """spec.md G-1: kill -9 in front of any statement; nothing twice, nothing lost, one event a step."""
    sat(database, OLD), sat(database, OLD)
    settle(settings)
    archived = read(settings, EVENTS, "session_id, seq", "session_id, seq")
    small = msgspec.structs.replace(settings, retention_step_rows=30)
    for at in count(1):
        if not kill_at_statement("retain", small, at):
            break
        kept = rows_of(database, KEYS)
        gone = rows_of(database, "SELECT session_id FROM gone_events")
        assert len(kept) + 20 * len(gone) == 80
    assert rows_of(database, KEYS) == []
    assert read(settings, EVENTS, "session_id, seq", "session_id, seq") == archived
    [(events, steps)] = rows_of(
        database,
        "SELECT sum((convert_from(body, 'UTF8')::json -> 'detail' ->> 'events')::int), count(*)"
        " FROM ledger_events WHERE kind = 'events.archived'",
    )
    assert (events, steps) == (80, 4)


def test_a_session_of_which_the_table_has_other_events_holds_up_no_other(
    settings: Settings, database: str
) -> None:
    """spec.md G-1: what differs stays, and is named."""
    broken, sound = sat(database, OLD)
    settle(settings)
    rows_of(database, "DELETE FROM events WHERE session_id = %s AND seq = 3 RETURNING 1", broken.session_id)

    taken = sweep(settings)
    assert (taken.sessions, taken.differing) == (1, [broken.session_id])
    assert {row[0] for row in rows_of(database, KEYS)} == {broken.session_id}
    assert sound.session_id != broken.session_id
