"""No column of the warehouse is null for want of wiring: in a rich world each speaks (spec.md W-1)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import polars as pl
import psycopg
import pytest
from psycopg.types.json import Jsonb

from core_api import seeding
from kernel.events import EventType
from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.publications import publish_marked
from tests.integration.pipeline.test_behavior import DECIDED, MOVED, tell
from tests.kits.handed_in import START, Class, compare, hand_in, make_class
from tests.kits.pipeline_child import fold_now, project_now
from tests.kits.pipeline_world import Sitting, end, event, rows_of, store
from tests.kits.warehouse import root_of
from warehouse.builds import part_addresses, read_manifest
from warehouse.datasets import DATASETS

PEOPLE, ITEMS, LATER, EXAMS = 31, 20, 11, 4  # a cohort for times; those who take the other exams too
SEATS = 62  # with those whom nobody watches: enough for two groups
# Without rows here, as they are written by what this world has not; each has a test of its own.
ELSEWHERE: Final = {
    "ledger_events": "test_durable.py",
    "collusion_clusters": "test_collusion.py",
}
SCORED: Final = (
    "INSERT INTO reporting.leaving_scores (attempt_id, cohort_id, cut_off, horizon_days, probability,"
    " reasons, model_version, scored_at)"
    " VALUES (%s, gen_random_uuid(), now(), 28, 0.5, '[]', 'left-1', now())"
)
# Null in every row here, and why.
NULL: Final = {
    "events.client": "a client that names itself: as ingest has stored it",
    "events.client_seq": "likewise",
    "events.effective_at": "a client that was offline: likewise",
    "events.event_name": "an event of type 0: likewise",
    "answer_similarity.same_address": "no address: nobody's client took a session up",
    "answer_similarity.same_device": "likewise",
}


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
    )


def watch(database: str, own: Class, numbers: list[int], dice: Random) -> list[Sitting]:
    """Watch attempts from beginning to end: each looks at every item, looks away, is heard of."""
    with seeding.connect(database) as conn:
        attempts = [own.attempts[number] for number in numbers]
        ids = seeding.open_sessions(conn, [each["attempt"] for each in attempts], now=START)
    sittings = [
        Sitting(session, str(each["attempt"]), str(each["exam"]), str(each["student"]), START)
        for session, each in zip(ids, attempts, strict=True)
    ]
    with psycopg.connect(database) as conn:
        for sitting in sittings:
            store(conn, sitting, _told(dice))
    return sittings


def _told(dice: Random) -> list[dict[str, Any]]:
    told = [
        event(START + timedelta(seconds=60 * n + dice.randrange(30)), EventType.QuestionViewed, skew_ms=5)
        | {"payload": Jsonb({"question": str(n)})}
        for n in range(1, ITEMS + 1)
    ]
    away = {"payload": Jsonb({"awayMs": dice.randrange(1_000, 9_000)})}
    told += [event(START + timedelta(seconds=30 * n), skew_ms=n) for n in range(30)]
    told += [event(START + timedelta(minutes=n), EventType.WindowFocus) | away for n in range(1, 9)]
    typed = {"payload": Jsonb({"inserted": 30, "deleted": 3, "pauses": 2, "duration_ms": 9_000})}
    told.append(event(START + timedelta(minutes=4), EventType.Keystroke) | typed)
    told += [event(START + timedelta(minutes=9, seconds=9), kind, severity=4) for kind in MOVED]
    return sorted(told, key=lambda each: each["occurred_at"])


def write(database: str, own: Class, numbers: list[int]) -> None:
    """Save two versions of a text in each attempt, pasted in the second."""
    first = "Cells are small. " + " ".join(f"word{n}" for n in range(60))
    with psycopg.connect(database) as conn:
        for number in numbers:
            attempt = own.attempts[number]["attempt"]
            texts = [first, f"{first} {' '.join(f'more{number}x{n}' for n in range(20 + number))}"]
            for seq, text in enumerate(texts, 1):
                conn.execute(
                    b"INSERT INTO attempt_drafts (attempt_id, question_id, client_seq, response, saved_at)"
                    b" VALUES (%s, %s, %s, %s, %s)",
                    (
                        attempt,
                        own.questions[0],
                        seq,
                        Jsonb({"text": text}),
                        START + timedelta(minutes=5 * seq),
                    ),
                )


@pytest.fixture
def world(settings: Settings, database: str) -> None:
    """Four exams: the first taken by all, the others by some, each watched; who knows more is faster."""
    dice = Random(7)
    own = make_class(database, exams=EXAMS, students=SEATS, items=ITEMS)
    compare(database, own, own.exam_ids[0])
    taken = [exam * SEATS + n for exam in range(EXAMS) for n in range(PEOPLE if not exam else LATER)]
    sittings = watch(database, own, taken, dice)
    write(database, own, taken[:PEOPLE])
    for number in [*taken, *range(PEOPLE, SEATS)]:
        able = 0.2 + 0.6 * (number % SEATS % PEOPLE) / PEOPLE
        sheet = "".join("b" if dice.random() < able else dice.choice("acd") for _ in range(ITEMS))
        hand_in(database, own, number, sheet, minutes=30 + 60 * (number // SEATS) + number % SEATS / 100)
    tell(database, DECIDED, sittings[0].session_id)
    tell(database, SCORED, sittings[0].attempt_id)
    for sitting in sittings:
        end(database, sitting, START + timedelta(minutes=30))
    fold_now(settings)
    project_now(settings)
    while archive_events(settings) is not None:
        pass
    publish_marked(settings)
    assert rows_of(database, "SELECT * FROM reporting.projection_marks") == []


@pytest.mark.usefixtures("world")
def test_every_column_of_every_dataset_says_something_somewhere(settings: Settings) -> None:
    root, empty, null = root_of(settings), set(), set()
    for name, dataset in DATASETS.items():
        manifest = read_manifest(root, dataset)
        found = pl.read_parquet(part_addresses(root, dataset, manifest)) if manifest else pl.DataFrame()
        if found.is_empty():
            empty.add(name)
        else:
            null |= {f"{name}.{column.name}" for column in found if column.null_count() == len(column)}

    assert empty == ELSEWHERE.keys()
    assert sorted(null) == sorted(NULL)
