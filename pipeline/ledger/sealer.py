"""
The sealer: gives committed ledger events their positions, signs the tree's head, shows it to the witnesses.

One leads at a time, by advisory lock; a second one is stopped by the positions' primary key. The order makes
a crash harmless at any point: positions and tiles are one transaction; a head is signed for what is stored,
and published after it is stored. Whoever leads next signs and publishes what the last one had not.

Before the first seal the stored tree is compared with the newest head that the database and the witness know.
A tree that does not extend them is a fork (a restored backup, a rewritten row): nothing is sealed on top of
it.
Source: design.md, "Ledger without a global lock"; spec.md L-2.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec
import psycopg
import structlog

from kernel.ledger.checkpoints import CheckpointError, Head, Keys, open_head, read_keys, sign_head
from kernel.ledger.event import EPOCH, MILLISECOND
from kernel.ledger.merkle import EMPTY_ROOT, TileId, extend, root_at, tiles_under
from kernel.ledger.witness import append_note, last_note, post_note
from kernel.running.runtime import LEDGER_SEAL_LAG, LEDGER_SEALED, LEDGER_WITNESS_LAG
from kernel.settings import Settings
from pipeline.scheduler import Pulse
from sql import named
from sql.running import Connection, connect, one, run

log = structlog.get_logger(__name__, process="pipeline")

LEDGER: Final = named("ledger")
SEALER: Final = named("sealer")
BACK_OFF_S: Final = 1.0
Step = Callable[[str], None]
Clock = Callable[[], datetime]


class ForkError(Exception):
    """The stored tree does not extend a head that was signed before; a person has to look."""


class Sealer(msgspec.Struct):
    """One sealer's idea of the log: the tree as last stored, the sizes last signed and last witnessed."""

    keys: Keys
    witness_file: Path | None
    witness_url: str
    batch_events: int
    tree: Head
    signed: int = 0
    witnessed: int = 0
    note: str = ""
    oldest: datetime | None = None


def no_step(_: str) -> None:
    """Go on."""


def now_utc() -> datetime:
    """Return the time that heads are signed with."""
    return datetime.now(UTC)


def new_sealer(settings: Settings) -> Sealer:
    """Return a sealer that has seen nothing yet; raises CheckpointError when the keys cannot sign."""
    keys = read_keys(settings.ledger_origin, settings.ledger_key_files)
    if keys.signer is None:
        raise CheckpointError("the first of ledger_key_files holds no private key")
    return Sealer(
        keys=keys,
        witness_file=Path(settings.ledger_witness_file) if settings.ledger_witness_file else None,
        witness_url=settings.ledger_witness_url,
        batch_events=settings.ledger_batch_events,
        tree=Head(origin=settings.ledger_origin, size=0, root=EMPTY_ROOT),
    )


def take_up(sealer: Sealer, conn: Connection) -> None:
    """
    Learn the tree as stored, and hold it against the newest heads: our own, the database's, the witness's.

    Raises:
        ForkError: it does not extend one of them.
        CheckpointError: the database's newest head is not signed by a known key.
    """
    size: int = one(conn, SEALER["read_size"])
    note: str | None = one(conn, SEALER["read_last_head"])
    stored = None if note is None else open_head(note, sealer.keys)
    witnessed = _last_witnessed(sealer)
    for who, head in (("this process", sealer.tree), ("the database", stored), ("the witness", witnessed)):
        if head is not None:
            _check_extends(conn, size, head, who)
    sealer.tree = Head(origin=sealer.keys.origin, size=size, root=_edge(conn, size)[1])
    sealer.signed, sealer.note = (0, "") if stored is None or note is None else (stored.size, note)
    sealer.witnessed = witnessed.size if witnessed is not None else 0
    if stored is not None and witnessed is None and sealer.witness_file is not None:
        log.warning("witness_knows_nothing", file=str(sealer.witness_file), size=size)


def _last_witnessed(sealer: Sealer) -> Head | None:
    if sealer.witness_file is None:
        return None
    note = last_note(sealer.witness_file)
    return None if note is None else open_head(note, sealer.keys)


def _check_extends(conn: Connection, size: int, head: Head, who: str) -> None:
    if head.size > size:
        raise ForkError(f"{who} knows a head of {head.size} events, the database holds {size}")
    if _edge(conn, head.size)[1] != head.root:
        raise ForkError(f"the first {head.size} events are not those of the head that {who} knows")


def _edge(conn: Connection, size: int) -> tuple[dict[TileId, bytes], bytes]:
    """Return the tiles that the root of the first `size` leaves is made of, and that root."""
    wanted = list(tiles_under([(0, size)]))
    levels, indexes = [level for level, _ in wanted], [index for _, index in wanted]
    rows = run(conn, LEDGER["list_tiles"], levels, indexes).fetchall()
    tiles = {(level, index): hashes for level, index, hashes in rows}
    try:
        return tiles, root_at(size, tiles)
    except (KeyError, ValueError) as error:
        raise ForkError(f"the tiles of the first {size} events are not whole: {error}") from error


def seal(sealer: Sealer, conn: Connection) -> int:
    """
    Give waiting events the next positions, in one transaction with the tiles; return how many.

    Raises:
        ForkError: the tiles are not those that this sealer left behind.
        psycopg.errors.UniqueViolation: another sealer has been at work.
    """
    before = sealer.tree
    with conn.transaction():
        rows = run(conn, SEALER["seal_pending"], before.size, sealer.batch_events).fetchall()
        if not rows:
            return 0
        edge, root = _edge(conn, before.size)
        if root != before.root:
            raise ForkError(f"the tree of {before.size} events has changed since it was stored")
        changed = extend(edge, before.size, [row[2] for row in rows])
        levels, indexes = zip(*changed, strict=True)
        run(conn, SEALER["store_tiles"], list(levels), list(indexes), list(changed.values()))
    size = before.size + len(rows)
    sealer.tree = Head(origin=before.origin, size=size, root=root_at(size, edge | changed))
    first = min(EPOCH + MILLISECOND * (row[1].int >> 80) for row in rows)
    sealer.oldest = first if sealer.oldest is None else min(first, sealer.oldest)
    LEDGER_SEALED.inc(len(rows))
    return len(rows)


def sign(sealer: Sealer, conn: Connection, now: datetime) -> None:
    """Sign and store a head of the stored tree, unless it has one."""
    if sealer.tree.size > sealer.signed:
        head = msgspec.structs.replace(sealer.tree, signed_at=now)
        note = sign_head(head, sealer.keys)
        run(conn, SEALER["insert_head"], head.size, note)
        sealer.signed, sealer.note = head.size, note


def publish(sealer: Sealer) -> None:
    """Show the newest stored head to the witnesses, once; raises OSError when one does not take it."""
    if sealer.signed > sealer.witnessed:
        LEDGER_WITNESS_LAG.set(sealer.signed - sealer.witnessed)
        if sealer.witness_file is not None:
            append_note(sealer.witness_file, sealer.note)
        if sealer.witness_url:
            post_note(sealer.witness_url, sealer.note)
        sealer.witnessed = sealer.signed
    LEDGER_WITNESS_LAG.set(0)


def turn(sealer: Sealer, conn: Connection, clock: Clock = now_utc, step: Step = no_step) -> int:
    """
    Seal all that waits, sign one head, publish it; return how many events were sealed.

    Args:
        sealer: has taken up the log.
        conn: the connection that holds the sealer's lock.
        clock: the time for heads.
        step: called with a name after each step that a crash could follow.
    """
    sealed = 0
    while count := seal(sealer, conn):
        sealed += count
        step("sealed")
        if count < sealer.batch_events:
            break
    sign(sealer, conn, clock())
    step("signed")
    publish(sealer)
    step("published")
    LEDGER_SEAL_LAG.set((clock() - sealer.oldest).total_seconds() if sealer.oldest else 0.0)
    sealer.oldest = None
    return sealed


def seal_forever(settings: Settings, sealer: Sealer, stop: threading.Event, pulse: Pulse) -> None:
    """Lead, or wait to, until `stop` is set. A fork is told in readiness, and looked at again each second."""
    while not stop.is_set():
        try:
            with connect(settings.database_url) as conn:
                while not stop.is_set() and not one(conn, SEALER["try_seal"]):
                    pulse.turned_at, pulse.wrong = monotonic(), None
                    stop.wait(BACK_OFF_S)
                _lead(settings, sealer, conn, stop, pulse)
        except (psycopg.Error, OSError, CheckpointError, ForkError) as error:
            pulse.wrong = f"The ledger is not sealed: {error if _is_ours(error) else type(error).__name__}."
            log.warning("sealer_waits", error=error, why=pulse.wrong)
            stop.wait(BACK_OFF_S)


def _is_ours(error: Exception) -> bool:
    return isinstance(error, CheckpointError | ForkError)


def _lead(settings: Settings, sealer: Sealer, conn: Connection, stop: threading.Event, pulse: Pulse) -> None:
    take_up(sealer, conn)
    log.info("sealer_leads", size=sealer.tree.size)
    while not stop.is_set():
        started = monotonic()
        turn(sealer, conn)
        pulse.turned_at, pulse.wrong = monotonic(), None
        stop.wait(max(0.01, settings.ledger_seal_ms / 1000 - (monotonic() - started)))
