"""Datasets that come straight from durable tables (spec.md W-1, R-5)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from kernel.events import EventType
from kernel.settings import Settings
from pipeline.archive import ArchiveMismatchError
from pipeline.publications import publish, publish_marked
from sql import named
from sql.running import connect, run
from tests.kits.ledger import Log, make_log
from tests.kits.pipeline_child import fold_now
from tests.kits.pipeline_world import START, Sitting, event, make_sittings, rows_of, store_now
from tests.kits.warehouse import read, root_of
from warehouse.builds import list_parts, read_manifest
from warehouse.datasets.ledger_events import LEDGER_EVENTS
from warehouse.datasets.risk_snapshots import RISK_SNAPSHOTS
from warehouse.datasets.rule_precision import RULE_PRECISION
from warehouse.layout import Dataset

RULES = named("risk_rules")
DECIDED = """
INSERT INTO proctor_decisions (session_id, attempt_id, exam_id, candidate_id, organisation_id, status,
                               reason_en, decided_by, decided_at, is_finalized)
SELECT s.id, s.attempt_id, s.exam_id, s.candidate_id, s.organisation_id, %s, 'Seen.', x.creator_id, %s, true
FROM proctor_sessions s JOIN exams x ON x.id = s.exam_id WHERE s.id = %s
"""


@pytest.fixture
def log(database: str, database_as: Callable[[str], str], tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


@pytest.fixture
def settings(log: Log, tmp_path: Path) -> Settings:
    return msgspec.structs.replace(log.settings, warehouse=str(tmp_path / "warehouse"))


def files(settings: Settings, dataset: Dataset) -> set[str]:
    root = root_of(settings)
    manifest = read_manifest(root, dataset)
    assert manifest is not None
    return {part.file for part, _ in list_parts(root, dataset, manifest)}


def opens_tools(database: str, sitting: Sitting, at_s: int) -> None:
    """Let a rule count, at a time of its own."""
    moment = START.replace(minute=at_s // 60, second=at_s % 60)
    store_now(database, sitting, [event(moment, EventType.DevToolsOpened, severity=2)])


async def test_what_is_appended_is_published_once_and_a_rebuild_is_equal(
    settings: Settings, database: str, log: Log
) -> None:
    """spec.md W-2: marked by whoever writes, appended in proportion, the same when it is all read anew."""
    first, second = make_sittings(database)
    opens_tools(database, first, 5)
    fold_now(settings)
    await log.append(3)
    log.seal()
    publish_marked(settings)
    appended = (LEDGER_EVENTS, RISK_SNAPSHOTS)
    before = {each.name: files(settings, each) for each in appended}

    for sitting, at_s in ((first, 65), (second, 70), (first, 80)):
        opens_tools(database, sitting, at_s)
        fold_now(settings)
    await log.append(2)
    log.seal()
    assert {"ledger_events", "risk_snapshots"} <= set(publish_marked(settings))
    assert publish_marked(settings) == {}

    ledger = read(settings, LEDGER_EVENTS, "*", "log_position")
    snapshots = read(settings, RISK_SNAPSHOTS, "*", "session_id, snapshot_id")
    assert [row[:2] for row in ledger] == rows_of(
        database, "SELECT position, event_id::text FROM ledger_leaves ORDER BY 1"
    )
    assert [row[0] for row in snapshots] == [
        number for (number,) in rows_of(database, "SELECT id FROM risk_snapshots ORDER BY session_id, id")
    ]
    assert len({row[1] for row in snapshots}) == 2
    assert all(before[each.name] < files(settings, each) for each in appended)

    publish_marked(settings, whole=True)
    assert read(settings, LEDGER_EVENTS, "*", "log_position") == ledger
    assert read(settings, RISK_SNAPSHOTS, "*", "session_id, snapshot_id") == snapshots


async def test_a_ledger_that_is_behind_its_publication_is_refused(settings: Settings, log: Log) -> None:
    """A restored database is seen, not silently continued."""
    await log.append(3)
    log.seal()
    assert publish(settings, LEDGER_EVENTS) == 1
    log.tamper(
        "DELETE FROM ledger_leaves WHERE position > 0",
        "INSERT INTO reporting.partition_marks (dataset, partition) VALUES ('ledger_events', '0')",
    )

    with pytest.raises(ArchiveMismatchError, match="3 ledger events are published, the database has 1"):
        publish(settings, LEDGER_EVENTS)
    publish(settings, LEDGER_EVENTS, whole=True)
    assert read(settings, LEDGER_EVENTS, "log_position", "log_position") == [(0,)]


def test_what_is_decided_of_a_rule_is_published_as_it_is_answered(settings: Settings, database: str) -> None:
    """spec.md R-5: how often it fired, and how often reviewers upheld it; one definition."""
    sittings = make_sittings(database, attempts=3)
    for sitting in sittings:
        opens_tools(database, sitting, 5)
    fold_now(settings)
    publish_marked(settings)
    assert fared(settings) == [(3, 0, 0, 0, None)]

    with psycopg.connect(database) as conn:
        for status, sitting in zip((4, 2, 3), sittings, strict=True):
            conn.execute(DECIDED.encode(), (status, START, sitting.session_id))
    assert publish_marked(settings) == {"rule_precision": 1}
    assert fared(settings) == [(3, 2, 1, 0, 2 / 3)]
    every = read(settings, RULE_PRECISION, "rule_id, fired, upheld, cleared, overturned", "rule_id")
    with connect(database) as conn:
        answered = [(row[0], *run(conn, RULES["count_fires"], row[0]).fetchall()[0]) for row in every]
    assert every == answered


def fared(settings: Settings) -> list[tuple[Any, ...]]:
    """Return how rules that ever fired fared."""
    rows = read(settings, RULE_PRECISION, "fired, upheld, cleared, overturned, upheld_share", "rule_id")
    return [row for row in rows if row[0]]
