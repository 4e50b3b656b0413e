"""Evidence moves to its cold tier whole, or not at all; what nobody knows goes (spec.md V-1, V-2, V-3)."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.commands.doctor import examine
from kernel.settings import Settings
from kernel.storage.local import LocalStore
from kernel.storage.opening import key_of, open_tiers
from pipeline.evidence_files import MARK, ForeignStoreError
from pipeline.jobs import EVIDENCE, ORPHANS, failing_jobs
from pipeline.ledger.verify import verify
from pipeline.sweeps.orphans import Walk, sweep_orphans
from pipeline.sweeps.sweeping import sweep_forever
from pipeline.sweeps.tiers import FAILURES_MAX, Moved, move_due
from sql.running import connect
from tests.integration.pipeline.test_process import wait_until
from tests.kits.evidence_kept import LONG_AGO, NOW, Piece, Seat, films, held, keep, seat, unreadable
from tests.kits.ledger import Log, make_log
from tests.kits.pipeline_world import rows_of

NEVER = threading.Event()
LATER = timedelta(minutes=10)
OLD = timedelta(days=8)


@pytest.fixture
def log(database: str, database_as: Callable[[str], str], tmp_path: Path) -> Log:
    places = {"evidence_store": str(tmp_path / "hot"), "evidence_cold_store": str(tmp_path / "cold")}
    return make_log(database, database_as, tmp_path, **places, evidence_sweep_s=0.05, evidence_swept_max=100)


@pytest.fixture
def whose(database: str) -> Seat:
    return seat(database)


def hot_of(log: Log) -> LocalStore:
    return LocalStore(Path(log.settings.evidence_store))


def cold_of(log: Log) -> LocalStore:
    return LocalStore(Path(log.settings.evidence_cold_store))


def move(log: Log, after: timedelta = timedelta(0)) -> Moved:
    with connect(log.settings.database_url) as conn:
        stores = open_tiers(log.settings)
        return move_due(conn, stores, log.settings, NEVER, now=datetime.now(UTC) + after)


def sweep(log: Log, after: timedelta = timedelta(0), walk: Walk | None = None) -> int:
    with connect(log.settings.database_url) as conn:
        now = datetime.now(UTC) + after
        return sweep_orphans(conn, open_tiers(log.settings), log.settings, walk or Walk(), now=now)


def told(url: str) -> list[tuple[Any, ...]]:
    return rows_of(
        url,
        "SELECT kind, aggregate_id::bigint, convert_from(body, 'UTF8')::json -> 'detail' FROM ledger_events"
        " WHERE aggregate_type = 'evidence' ORDER BY occurred_at, aggregate_id",
    )


def rows(url: str) -> list[tuple[Any, ...]]:
    return rows_of(
        url, "SELECT id, tier, moved_at IS NOT NULL, damaged_at IS NOT NULL FROM evidence ORDER BY id"
    )


def test_what_is_old_moves_once_and_what_it_leaves_goes_later_v2(log: Log, whose: Seat) -> None:
    hot, cold = hot_of(log), cold_of(log)
    old = keep(whose, hot, films(3, 300_000))
    young = keep(whose, hot, closed_at=datetime.now(UTC) - timedelta(days=364))
    first, again = move(log), move(log)
    both = (held(hot, old), held(cold, old))
    early = sweep(log)
    late = sweep(log, LATER)

    assert (first, again) == (Moved(moved=1), Moved())
    assert rows(whose.url) == [
        (old.evidence_id, "cold", True, False),
        (young.evidence_id, "hot", False, False),
    ]
    assert both == (old.chunks, old.chunks)
    assert (early, late) == (0, 3)
    assert (held(hot, old), held(cold, old), held(hot, young)) == ([], old.chunks, young.chunks)
    ((kind, evidence_id, detail),) = told(whose.url)
    assert (kind, evidence_id) == ("evidence.moved", old.evidence_id)
    assert (detail["from"], detail["to"], detail["size_bytes"]) == ("hot", "cold", sum(map(len, old.chunks)))
    log.seal()
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == []


def test_pieces_that_cannot_be_read_hold_up_no_other_v2(log: Log, whose: Seat) -> None:
    """However many they are, and the oldest of all: they come last the next time."""
    bad = [keep(whose, hot_of(log), films(1), closed_at=LONG_AGO - LATER) for _ in range(FAILURES_MAX)]
    good = keep(whose, hot_of(log), films(1))
    mended = [unreadable(log.settings, each) for each in bad]
    unable = set[int]()
    found = list[int]()
    with connect(log.settings.database_url) as conn:
        for _ in range(2):
            with pytest.raises(OSError, match="symbolic links"):
                move_due(conn, open_tiers(log.settings), log.settings, NEVER, now=NOW, unable=unable)
            found.append(len(rows_of(whose.url, "SELECT FROM evidence WHERE tier = 'cold'")))
        known = set(unable)
        for mend in mended:
            mend()
        done = move_due(conn, open_tiers(log.settings), log.settings, NEVER, now=NOW, unable=unable)

    assert (found, known) == ([0, 1], {each.evidence_id for each in bad})
    assert (held(cold_of(log), good), done, unable) == (good.chunks, Moved(moved=FAILURES_MAX), set())


def overwrite(log: Log, piece: Piece, some: bytes | None) -> None:
    path = Path(log.settings.evidence_store, piece.keys[1])
    path.unlink()
    if some is not None:
        path.write_bytes(some)


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [(None, "missing"), (films()[1][:-1], "size"), (films()[1][:-1] + b"\x01", "hash")],
    ids=["missing", "cut", "another"],
)
def test_what_is_not_what_was_stored_is_told_of_and_stays_v2(
    log: Log, whose: Seat, spoilt: bytes | None, why: str
) -> None:
    piece, other = keep(whose, hot_of(log)), keep(whose, hot_of(log))
    overwrite(log, piece, spoilt)
    found = [move(log), move(log), move(log, timedelta(days=2))]
    swept = sweep(log, OLD)
    there = held(hot_of(log), piece)
    (doctor,) = [each for each in examine(doctored(log)) if each.check == "evidence"]
    overwrite_again(log, piece)
    mended = move(log, timedelta(days=4))

    assert found == [Moved(moved=1, damaged=1), Moved(), Moved(damaged=1)]
    assert there == [piece.chunks[0], *([] if spoilt is None else [spoilt])]
    assert swept == len(other.keys)  # in the hot tier still; nothing of the damaged piece
    assert (doctor.ok, str(piece.evidence_id) in doctor.found) == (False, True)
    assert mended == Moved(moved=1)
    assert [(kind, number) for kind, number, _ in told(whose.url)] == [
        ("evidence.damaged", piece.evidence_id), ("evidence.moved", other.evidence_id),
        ("evidence.moved", piece.evidence_id),
    ]  # fmt: skip
    assert told(whose.url)[0][2] == {"chunk": 2, "why": why, "tier": "hot"}
    assert held(cold_of(log), piece) == piece.chunks
    assert [row[1:] for row in rows(whose.url)] == [("cold", True, False)] * 2


def overwrite_again(log: Log, piece: Piece) -> None:
    """Bring the file back, as from a backup."""
    Path(log.settings.evidence_store, piece.keys[1]).write_bytes(piece.chunks[1])


def doctored(log: Log) -> Settings:
    return Settings(owner_database_url=log.owner_url, state=str(log.witness.parent / "state"))


def aged(store: LocalStore, root: str, key: str) -> str:
    """Put something that has lain there for a month."""
    store.put(key, [b"something"])
    os.utime(Path(root, key), (0, 0))
    return key


def test_what_has_no_row_goes_when_it_is_old_and_nothing_else_does_v1(log: Log, whose: Seat) -> None:
    hot, root = hot_of(log), log.settings.evidence_store
    piece = keep(whose, hot)
    pending = keep(whose, hot)
    with psycopg.connect(whose.url) as conn:
        conn.execute("ALTER TABLE evidence DISABLE TRIGGER USER")
        conn.execute(
            "UPDATE evidence SET status = 1, closed_at = NULL, sha256 = NULL WHERE id = %s",
            (pending.evidence_id,),
        )
    gone = {
        aged(hot, root, key_of(piece.evidence_id, "00009-0123456789abcdef")),
        aged(hot, root, key_of(987_654_321, "00001-0123456789abcdef")),
        aged(hot, root, "incoming/" + "0123456789abcdef" * 2),
        aged(hot, root, f"incoming/{key_of(piece.evidence_id, '1')}"),
        aged(hot, root, f"incoming/{key_of(987_654_321, '1')}"),
    }
    kept = {
        aged(hot, root, f"incoming/{key_of(pending.evidence_id, '3')}"),
        aged(hot, root, "somebody's/file"),
        aged(hot, root, "evidence/readme.txt"),
        "incoming/" + "f" * 32,
        key_of(piece.evidence_id, "00010-0123456789abcdef"),
    }
    for young in list(kept)[:]:
        if not Path(root, young).exists():
            hot.put(young, [b"young"])
    before = {each.key for each in hot.after("", 1000)}
    swept = sweep(log)

    assert before == {*gone, *kept, *piece.keys, *pending.keys}
    assert {each.key for each in hot.after("", 1000)} == {*kept, *piece.keys, *pending.keys, MARK}
    assert swept == len(gone)


def test_a_sweep_looks_at_so_many_files_and_the_next_goes_on_there_v1(log: Log, whose: Seat) -> None:
    hot, root, walk = hot_of(log), log.settings.evidence_store, Walk()
    pieces = [keep(whose, hot, films(1, 10)) for _ in range(3)]
    for n in range(250):
        aged(hot, root, key_of(pieces[-1].evidence_id + n // 100, f"{n + 2:05d}-0123456789abcdef"))
    swept = [sweep(log, walk=walk) for _ in range(4)]

    assert (max(swept) <= 100, sum(swept)) == (True, 250)
    assert all(swept[:2])
    assert [held(hot, each) for each in pieces] == [each.chunks for each in pieces]


def test_a_store_of_another_database_is_left_alone_v1(log: Log, whose: Seat) -> None:
    hot, root = hot_of(log), log.settings.evidence_store
    orphan = aged(hot, root, key_of(987_654_321, "00001-0123456789abcdef"))
    unknown = sweep(log)
    keep(whose, hot)
    hot.put(MARK, [b"1 other"])
    with pytest.raises(ForeignStoreError, match="1 other"):
        sweep(log)
    hot.delete([MARK])

    assert unknown == 0
    assert (sweep(log), [each.key for each in hot.after("", 100) if each.key == orphan]) == (1, [])
    assert sweep(log) == 0


def test_the_loop_moves_and_says_what_fails_and_goes_on_v2(log: Log, whose: Seat) -> None:
    cold = Path(log.settings.evidence_cold_store)
    cold.write_text("where the folder would be")
    piece, stop = keep(whose, hot_of(log)), threading.Event()
    thread = threading.Thread(target=sweep_forever, args=(log.settings, open_tiers(log.settings), stop))
    thread.start()

    def failing() -> list[str]:
        with connect(log.settings.database_url) as conn:
            return [each.job for each in failing_jobs(conn)]

    try:
        wait_until(lambda: failing() == [EVIDENCE])
        cold.unlink()
        wait_until(lambda: rows(whose.url) == [(piece.evidence_id, "cold", True, False)])
        wait_until(lambda: failing() == [])
    finally:
        stop.set()
        thread.join()
    assert held(cold_of(log), piece) == piece.chunks


def test_the_loop_moves_what_is_old_though_a_folder_cannot_be_looked_into_v1(log: Log, whose: Seat) -> None:
    broken, stop = keep(whose, hot_of(log), closed_at=NOW), threading.Event()
    piece = keep(whose, hot_of(log))
    unreadable(log.settings, broken)
    thread = threading.Thread(target=sweep_forever, args=(log.settings, open_tiers(log.settings), stop))
    thread.start()
    try:
        wait_until(lambda: held(cold_of(log), piece) == piece.chunks)
        with connect(log.settings.database_url) as conn:
            wait_until(lambda: [each.job for each in failing_jobs(conn)] == [ORPHANS])
    finally:
        stop.set()
        thread.join()


def test_one_place_is_no_two_tiers_v2(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    for hot, cold in ((tmp_path, link), ("s3://bucket/a", "s3://bucket/a/")):
        with pytest.raises(ValueError, match="same place"):
            open_tiers(Settings(evidence_store=str(hot), evidence_cold_store=str(cold)))
