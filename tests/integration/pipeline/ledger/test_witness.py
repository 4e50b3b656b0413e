"""What the sealer does about forks, witnesses and new keys (spec.md L-2)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kernel.ledger.checkpoints import CheckpointError, new_key_pem, read_keys
from pipeline.ledger.sealer import ForkError, seal, sign, take_up, turn
from pipeline.ledger.verify import verify
from tests.kits.core import DatabaseAs
from tests.kits.ledger import Log, check_whole, make_log


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


async def test_a_database_restored_from_before_the_witnesss_head_is_a_fork_and_is_not_sealed(
    log: Log,
) -> None:
    await log.append(3)
    log.seal()
    older = log.rows("SELECT size, note FROM ledger_heads")
    await log.append(2)
    log.seal()
    log.tamper(
        "DELETE FROM ledger_events WHERE id IN (SELECT event_id FROM ledger_leaves WHERE position >= 3)",
        "DELETE FROM ledger_leaves WHERE position >= 3",
        "UPDATE ledger_tiles SET hashes = substring(hashes FROM 1 FOR 96)",
        "DELETE FROM ledger_heads WHERE size > 3",
    )
    assert log.rows("SELECT size, note FROM ledger_heads") == older

    with pytest.raises(ForkError, match="the witness knows a head of 5 events, the database holds 3"):
        log.seal()
    await log.append(2)  # as many other events as were lost
    with log.connect() as conn:
        blind = log.sealer()
        blind.witness_file = None
        take_up(blind, conn)
        seal(blind, conn)
        sign(blind, conn, datetime.now(UTC))
    with pytest.raises(
        ForkError, match="the first 5 events are not those of the head that the witness knows"
    ):
        log.seal()


async def test_a_tile_rewritten_under_a_running_sealer_stops_it(log: Log) -> None:
    await log.append(3)
    sealer = log.sealer()
    with log.connect() as conn:
        take_up(sealer, conn)
        turn(sealer, conn)
        log.tamper("UPDATE ledger_tiles SET hashes = overlay(hashes PLACING '\\x00' FROM 1)")
        await log.append(1)
        with pytest.raises(ForkError, match="has changed"):
            turn(sealer, conn)


async def test_a_witness_that_does_not_take_heads_gets_the_newest_when_it_does_again(log: Log) -> None:
    log.witness.mkdir()  # nothing can be appended to a folder
    sealer = log.sealer()
    with log.connect() as conn:
        with pytest.raises(OSError, match="director"):
            take_up(sealer, conn)
        sealer.witness_file = None
        take_up(sealer, conn)
        sealer.witness_file = log.witness
        await log.append(2)
        with pytest.raises(OSError, match="director"):
            turn(sealer, conn)
        log.witness.rmdir()
        await log.append(1)
        turn(sealer, conn)

    assert [head.size for head in log.witnessed()] == [3]
    check_whole(log, 3)


async def test_a_line_torn_by_a_crash_does_not_spoil_the_witnesss_file(log: Log) -> None:
    await log.append(1)
    log.seal()
    with log.witness.open("ab") as file:
        file.write(b'"veritas/test\\n7')
    await log.append(1)
    log.seal()

    assert [head.size for head in log.witnessed()] == [1, 2]


def with_keys(log: Log, *files: Path) -> Log:
    """Return the same ledger with other key files, the first of which signs."""
    names = ",".join(str(file) for file in files)
    settings = msgspec.structs.replace(log.settings, ledger_key_files=names)
    return msgspec.structs.replace(log, settings=settings, keys=read_keys(log.keys.origin, names))


async def test_after_a_rotation_the_new_key_signs_and_retained_public_keys_verify_the_old_heads(
    log: Log, tmp_path: Path
) -> None:
    await log.append(2)
    log.seal()
    (old,) = log.keys.verifiers.values()
    retained, new = tmp_path / "old.pub", tmp_path / "new.pem"
    retained.write_bytes(old.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    new.write_bytes(new_key_pem())
    rotated = with_keys(log, new, retained)
    await log.append(2)
    rotated.seal()

    check_whole(rotated, 4)
    assert verify(log.owner_url, rotated.keys, witness=log.witness).findings == []
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == [
        "the stored head of 4 events: no known key has signed this",
        "the witness's line 2: no known key has signed this",
    ]
    for keys in (
        [tmp_path / "ledger.pem"],
        [retained],
    ):  # the head is the new key's; a public key signs nothing
        with pytest.raises(CheckpointError):
            with_keys(log, *keys).seal()


async def test_heads_carry_the_time_they_were_signed_at(log: Log) -> None:
    await log.append(1)
    log.seal()

    (head,) = log.witnessed()
    assert head.signed_at is not None
    assert abs(datetime.now(UTC) - head.signed_at) < timedelta(minutes=1)
