"""What the ledger's tests begin with: keys, a sealer on the test's database, events from anybody."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import psycopg

from core_api.database import ask_as_system
from core_api.ledger.entries import Entry, record
from kernel.ledger.checkpoints import Head, Keys, new_key_pem, open_head, read_keys
from kernel.ledger.merkle import leaf_hash, root_of
from kernel.ledger.witness import read_notes
from kernel.settings import Settings, load
from pipeline.ledger.schema import expected_triggers
from pipeline.ledger.sealer import Sealer, new_sealer, take_up, turn
from sql.running import Connection, connect

ORGANISATION = uuid4()
ORIGIN = "veritas/test"


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger under test: whose addresses and files."""

    owner_url: str
    core_url: str
    settings: Settings
    keys: Keys
    witness: Path

    def sealer(self) -> Sealer:
        return new_sealer(self.settings)

    def connect(self) -> Connection:
        """Open a connection as the sealer has it."""
        return connect(self.settings.database_url)

    def seal(self) -> int:
        """Let a fresh sealer do one turn, as after a restart."""
        sealer = self.sealer()
        with self.connect() as conn:
            take_up(sealer, conn)
            return turn(sealer, conn)

    def witnessed(self) -> list[Head]:
        notes = [note for _, note in read_notes(self.witness)]
        return [open_head(note, self.keys) for note in notes if note is not None]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.owner_url) as conn:
            return conn.execute(statement.encode()).fetchall()

    def run(self, statement: str) -> None:
        with psycopg.connect(self.owner_url) as conn:
            conn.execute(statement.encode())

    def tamper(self, *statements: str) -> None:
        """Do as a superuser may who switches the triggers off."""
        tables = sorted({table for table, _ in expected_triggers()} - {"events"})
        with psycopg.connect(self.owner_url) as conn:
            for table in tables:
                conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
            for statement in statements:
                conn.execute(statement.encode())
            for (table, name), trigger in expected_triggers().items():
                if table not in tables:
                    continue
                always = "ALWAYS" if trigger.is_always else ""
                conn.execute(f"ALTER TABLE {table} ENABLE {always} TRIGGER {name}".encode())

    async def core(self) -> Any:
        """Return a connection as the core API has it where no person asks."""
        conn = await asyncpg.connect(self.core_url)
        await ask_as_system(conn)
        return conn

    async def append(self, count: int = 1, **more: Any) -> list[UUID]:
        """Append as the core API does, in one transaction."""
        conn = await self.core()
        try:
            return await record(conn, *(entry(number=n, **more) for n in range(count)))
        finally:
            await conn.close()


def entry(number: int = 0, **more: Any) -> Entry:
    given: dict[str, Any] = {
        "kind": "exam.published",
        "aggregate_id": str(UUID(int=number)),
        "organisation_id": ORGANISATION,
        "occurred_at": datetime.now(UTC),
        "detail": {"number": number},
    }
    return Entry(**given | more)


def make_log(database: str, database_as: Callable[[str], str], folder: Path, **more: Any) -> Log:
    key, witness = folder / "ledger.pem", folder / "witness.jsonl"
    if not key.exists():
        key.write_bytes(new_key_pem())
    settings = load(
        {},
        database_url=database_as("veritas_pipeline"),
        ledger_origin=ORIGIN,
        ledger_key_files=str(key),
        ledger_witness_file=str(witness),
        **more,
    )
    return Log(
        owner_url=database,
        core_url=database_as("veritas_core"),
        settings=settings,
        keys=read_keys(ORIGIN, str(key)),
        witness=witness,
    )


def check_whole(log: Log, size: int) -> None:
    """Every event has a position, positions are dense, the newest head is the root over the stored bytes."""
    leaves = log.rows(
        "SELECT l.position, l.leaf_hash, e.body FROM ledger_events e"
        " LEFT JOIN ledger_leaves l ON l.event_id = e.id ORDER BY l.position"
    )
    assert [row[0] for row in leaves] == list(range(size))
    assert all(row[1] == leaf_hash(row[2]) for row in leaves)
    newest = log.witnessed()[-1]
    assert (newest.size, newest.root) == (size, root_of(row[1] for row in leaves))
    assert log.rows("SELECT count(*) FROM ledger_pending") == [(0,)]
