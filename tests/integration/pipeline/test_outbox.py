"""The outbox's reader: each row is handed over and goes, whoever reads or dies (spec.md S-1, W-3, X-1)."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Final
from uuid import UUID, uuid4

import psycopg
import pytest

from kernel.events import EventType
from kernel.settings import Settings
from pipeline.jobs import read_lags
from pipeline.outbox import WAKES, read_forever, read_outbox
from sql.running import connect
from tests.kits.authoring import answer, make_exam, save, start, submit
from tests.kits.core import Core, store_events
from tests.kits.pipeline_child import drain_outbox, fold_now, kill_at
from tests.kits.pipeline_world import Sitting, make_sittings, rows_of, some_events, store_now
from warehouse.publish import no_step

WAITING: Final = "SELECT count(*)::int FROM outbox"
DIRTY: Final = "SELECT session_id FROM dirty_sessions ORDER BY 1"
TELL: Final = (
    "INSERT INTO outbox (event_id, kind, organisation_id, resource_id, payload, occurred_at)"
    " VALUES (%s, %s, %s, %s, '{}', %s)"
)


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        outbox_batch_rows=4,
        fold_every_ms=20,
    )


def tell(url: str, kinds: Iterable[str], resources: Iterable[str]) -> None:
    rows = [
        (uuid4(), kind, uuid4(), resource, datetime.now(UTC))
        for kind, resource in zip(kinds, resources, strict=True)
    ]
    with psycopg.connect(url) as conn, conn.cursor() as cursor:
        cursor.executemany(TELL, rows)


def sat(url: str, attempts: int) -> list[Sitting]:
    """Return sittings with events that were projected, whose attempts the outbox calls abandoned."""
    sittings = make_sittings(url, attempts=attempts)
    for sitting in sittings:
        store_now(url, sitting, some_events(sitting, 2))
    with psycopg.connect(url) as conn:
        conn.execute("DELETE FROM dirty_sessions")
    tell(url, ["attempt.abandoned"] * attempts, [each.attempt_id for each in sittings])
    return sittings


def sessions_of(sittings: list[Sitting]) -> list[tuple[int]]:
    return [(each.session_id,) for each in sittings]


def test_two_readers_hand_each_row_over_once(settings: Settings, database: str) -> None:
    sittings = sat(database, 10)
    others: list[int] = []

    def overtake(step: str) -> None:
        if step == "claimed":
            with connect(settings.database_url) as second:
                while count := read_outbox(second, 4):
                    others.append(count)

    with connect(settings.database_url) as conn:
        assert read_outbox(conn, 4, overtake) == 4
    assert others == [4, 2]
    assert rows_of(database, WAITING) == [(0,)]
    assert rows_of(database, DIRTY) == sessions_of(sittings)


@pytest.mark.parametrize("at", ["claimed", "handed_over", "deleted"])
def test_rows_of_a_reader_that_was_killed_are_claimed_again(
    settings: Settings, database: str, at: str
) -> None:
    sittings = sat(database, 6)

    assert kill_at("outbox", settings, at)
    assert rows_of(database, WAITING) == [(6,)]
    assert rows_of(database, DIRTY) == []
    drain_outbox(settings, no_step)
    assert rows_of(database, WAITING) == [(0,)]
    assert rows_of(database, DIRTY) == sessions_of(sittings)


def test_rows_of_every_kind_are_trimmed_and_those_of_no_known_one_too(
    settings: Settings, database: str
) -> None:
    """Also what an older installation has gathered, while nobody read."""
    kinds = [*WAKES, "exam.renamed", *["exam.updated"] * 50]
    tell(database, kinds, [str(uuid4()) for _ in kinds])

    with connect(settings.database_url) as conn:
        assert read_lags(conn).outbox_rows == len(kinds)
    drain_outbox(settings, no_step)
    assert rows_of(database, WAITING) == [(0,)]
    assert rows_of(database, DIRTY) == []


def test_the_loop_outlives_a_cut_connection_and_ends_when_it_is_told_to(
    settings: Settings,
) -> None:
    stop, cut = Event(), Event()

    def read(_: object, rows_max: int) -> int:
        assert rows_max == settings.outbox_batch_rows
        if not cut.is_set():
            cut.set()
            raise psycopg.OperationalError
        stop.set()
        return 0

    loop = Thread(target=read_forever, args=(settings, stop, read))
    loop.start()
    loop.join(30)
    assert not loop.is_alive()
    assert cut.is_set()


def test_the_reader_sees_what_it_needs_of_the_outbox_and_changes_nothing(
    settings: Settings, database: str
) -> None:
    """design.md, "Durable core": roles of least privilege."""
    tell(database, ["exam.updated"], [str(UUID(int=1))])

    for statement in (
        "SELECT payload FROM outbox",
        "UPDATE outbox SET kind = 'x'",
        "UPDATE outbox SET id = 7",
        "SELECT content FROM submissions",
    ):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.GeneratedAlways)):
            rows_of(settings.database_url, statement)


async def test_what_is_projected_follows_a_hand_in_and_every_new_score_w3(core: Core) -> None:
    async with core.school() as api:
        settings = Settings(database_url=core.database_as("veritas_pipeline"))
        made = await make_exam(api, "essay")
        attempt_id = await start(api, made)
        session_id = await api.start_session(attempt_id=attempt_id)
        await store_events(api, session_id, [(EventType.Heartbeat, 0)] * 3)
        drain_outbox(settings, no_step)
        await api.owner.execute("DELETE FROM dirty_sessions")
        await save(api, attempt_id, answer(made.questions["essay"], 1, text="It depends."))
        receipt = (await submit(api, attempt_id)).body
        drain_outbox(settings, no_step)
        assert fold_now(settings) == 1
        assert fold_now(settings) == 0

        grades = {"grades": [{"position": 1, "points": 1}]}
        path = f"/api/teacher/submissions/{receipt['submission_id']}/grades"
        assert (await api.post(path, "teacher", json=grades)).status == 201
        drain_outbox(settings, no_step)
        assert fold_now(settings) == 1
        assert await api.owner.fetchval("SELECT count(*) FROM public.outbox") == 0
