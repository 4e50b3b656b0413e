"""
Whatever is changed in a sealed ledger is found and named, by `veritas ledger verify` and by the stand-alone
verifier (spec.md L-2).
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core_api.ledger.entries import Personal, erase_person
from deploy import verify_export
from deploy.local.postgres import Postgres
from kernel.ledger.checkpoints import Head, new_key_pem, read_keys, sign_head, verifier_keys
from kernel.ledger.event import body_of, read_body
from pipeline.ledger.export import export
from pipeline.ledger.sealer import seal, sign, take_up
from pipeline.ledger.verify import verify
from tests.conftest import logins_on, new_database
from tests.kits.core import DatabaseAs
from tests.kits.ledger import Log, make_log

EVENTS = 600  # three tiles of leaves and one above them


@pytest.fixture(scope="module")
def sealed(
    postgres: Postgres, template: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Log]:
    """A ledger of 600 events under three heads, with a personal value in each event of the last hundred."""
    with new_database(postgres) as url:
        log = make_log(url, logins_on(url, template, ""), tmp_path_factory.mktemp("sealed"))
        for count in (5, 495):
            asyncio.run(log.append(count))
            log.seal()
        asyncio.run(log.append(100, personal={"email": Personal("someone@example.org", uuid4())}))
        log.seal()
        yield log


@pytest.fixture
def log(sealed: Log, postgres: Postgres, template: dict[str, str], tmp_path: Path) -> Iterator[Log]:
    """A copy of `sealed` for a test to change."""
    with new_database(postgres, of=sealed.owner_url.rpartition("/")[2]) as url:
        shutil.copytree(sealed.witness.parent, tmp_path, dirs_exist_ok=True)
        yield make_log(url, logins_on(url, template, ""), tmp_path)


def findings(log: Log, **more: Any) -> list[str]:
    return verify(log.owner_url, log.keys, **{"witness": log.witness} | more).findings


def event_at(log: Log, position: int) -> UUID:
    ((event_id,),) = log.rows(f"SELECT event_id FROM ledger_leaves WHERE position = {position}")
    return UUID(str(event_id))


def where(log: Log, position: int) -> str:
    return f"position {position}, event {event_at(log, position)}"


async def test_an_untouched_ledger_holds_with_events_still_waiting(log: Log) -> None:
    await log.append(3)
    report = verify(log.owner_url, log.keys, witness=log.witness)

    assert report.findings == []
    assert (report.size, report.heads) == (EVENTS, 6)  # three stored, three witnessed


async def test_an_empty_ledger_holds(database: str, database_as: DatabaseAs, tmp_path: Path) -> None:
    assert findings(make_log(database, database_as, tmp_path)) == []


@pytest.mark.parametrize("position", [0, 255, 256, 599])
async def test_a_flipped_bit_of_an_events_bytes_is_named(log: Log, position: int) -> None:
    name = where(log, position)
    log.tamper(
        "UPDATE ledger_events SET body = set_bit(body, 77, 1 - get_bit(body, 77))"
        f" WHERE id = '{event_at(log, position)}'"
    )

    assert findings(log) == [f"{name}: its bytes do not hash to its leaf"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("organisation_id", "gen_random_uuid()"),
        ("occurred_at", "occurred_at + interval '1 microsecond'"),
        ("kind", "'exam.unpublished'"),
        ("aggregate_type", "'attempt'"),
        ("aggregate_id", "'other'"),
        ("actor_id", "gen_random_uuid()"),
        ("actor_role", "'admin'"),
        ("subject_id", "gen_random_uuid()"),
    ],
)
async def test_a_column_that_no_longer_says_what_was_sealed_is_named(
    log: Log, column: str, value: str
) -> None:
    log.tamper(f"UPDATE ledger_events SET {column} = {value} WHERE id = '{event_at(log, 300)}'")

    finding, *_ = findings(log)
    assert finding.startswith(f"{where(log, 300)}: the column {column} says ")


async def test_an_event_rewritten_with_its_leaf_is_named_by_the_tile(log: Log) -> None:
    ((body,),) = log.rows(f"SELECT body FROM ledger_events WHERE id = '{event_at(log, 300)}'")
    forged = body_of(msgspec.structs.replace(read_body(body), detail={"number": 0})).hex()
    log.tamper(
        f"UPDATE ledger_events SET body = '\\x{forged}' WHERE id = '{event_at(log, 300)}'",
        f"UPDATE ledger_leaves SET leaf_hash = sha256('\\x00{forged}') WHERE position = 300",
    )

    found = findings(log)
    assert found[0] == "the stored head of 500 events: the stored leaves have another root"
    assert "position 300: tile 0/1 has another leaf there" in found


async def test_two_swapped_positions_are_both_named(log: Log) -> None:
    log.tamper(
        "UPDATE ledger_leaves SET position = position + 1000000 WHERE position IN (3, 7)",
        "UPDATE ledger_leaves SET position = CASE position WHEN 1000003 THEN 7 ELSE 3 END"
        " WHERE position > 1000000",
    )

    found = findings(log)
    assert "position 3: tile 0/0 has another leaf there" in found
    assert "position 7: tile 0/0 has another leaf there" in found


async def test_a_dropped_event_is_named(log: Log) -> None:
    name, event_id = where(log, 300), event_at(log, 300)
    log.tamper(f"DELETE FROM ledger_events WHERE id = '{event_id}'")

    assert findings(log) == [f"{name}: the event is not there"]


async def test_a_dropped_leaf_is_named_with_the_event_it_was_of(log: Log) -> None:
    event_id = event_at(log, 300)
    log.tamper("DELETE FROM ledger_leaves WHERE position = 300")

    assert findings(log) == [
        "position 300 is missing; the next one there is 301",
        f"event {event_id}: it has no position and waits for none",
    ]


async def test_an_event_slipped_past_the_queue_is_named(log: Log) -> None:
    (event_id,) = await log.append(1)
    log.tamper("DELETE FROM ledger_pending")

    assert findings(log) == [f"event {event_id}: it has no position and waits for none"]


async def test_an_event_queued_a_second_time_is_named(log: Log) -> None:
    log.tamper(f"INSERT INTO ledger_pending VALUES ('{event_at(log, 5)}')")

    assert findings(log) == [
        f"event {event_at(log, 5)}: it waits for a position, and is not there or has one"
    ]


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (0, "position 257: tile 0/1 has another leaf there"),
        (1, "tile 1/0 is not made of the leaves below it"),
    ],
)
async def test_a_flipped_bit_of_a_tile_is_named(log: Log, level: int, name: str) -> None:
    log.tamper(
        f"UPDATE ledger_tiles SET hashes = set_bit(hashes, 300, 1 - get_bit(hashes, 300))"
        f" WHERE level = {level} AND index = {1 - level}"
    )

    assert findings(log) == [name]


async def test_missing_and_additional_tiles_are_named(log: Log) -> None:
    log.tamper(
        "DELETE FROM ledger_tiles WHERE level = 0 AND index = 1",
        "INSERT INTO ledger_tiles SELECT 0, 9, hashes FROM ledger_tiles WHERE level = 1",
        "DELETE FROM ledger_tiles WHERE level = 1",
    )

    assert findings(log) == [
        "tile 0/1 is not there",
        "tile 0/9 stands beyond the last leaf",
        "tile 1/0 is not there",
    ]


async def test_a_head_signed_by_another_key_is_named(log: Log, tmp_path: Path) -> None:
    (tmp_path / "forger.pem").write_bytes(new_key_pem())
    forger = read_keys(log.keys.origin, str(tmp_path / "forger.pem"))
    note = sign_head(Head(origin=log.keys.origin, size=500, root=bytes(32)), forger)
    log.tamper(f"UPDATE ledger_heads SET note = '{note}' WHERE size = 500")

    assert findings(log) == ["the stored head of 500 events: no known key has signed this"]


async def test_a_head_of_another_root_is_named_even_when_the_key_was_stolen(log: Log) -> None:
    note = sign_head(Head(origin=log.keys.origin, size=500, root=bytes(32)), log.keys)
    log.tamper(f"UPDATE ledger_heads SET note = '{note}' WHERE size = 500")

    assert findings(log) == ["the stored head of 500 events: the stored leaves have another root"]


async def test_a_head_moved_to_another_size_is_named(log: Log) -> None:
    log.tamper("UPDATE ledger_heads SET size = 501 WHERE size = 500")

    assert findings(log) == ["the stored head of 501 events: its note says 500"]


async def test_a_forged_line_of_the_witness_is_named(log: Log) -> None:
    lines = log.witness.read_text().splitlines()
    log.witness.write_text("\n".join([lines[2], lines[0], "torn", json.dumps("no head")]) + "\n")

    assert findings(log) == [
        "the witness's head of 5 events (line 2): an earlier line has 600",
        "the witness's line 4: this is no signed note",
    ]


async def rewrite_after(log: Log, size: int, *, count: int) -> None:
    """Restore the ledger as of `size` and let the key's holder seal other events on top of it."""
    log.tamper(
        "DELETE FROM ledger_events WHERE id IN"
        f" (SELECT event_id FROM ledger_leaves WHERE position >= {size})",
        f"DELETE FROM ledger_leaves WHERE position >= {size}",
        "DELETE FROM ledger_salts WHERE event_id NOT IN (SELECT id FROM ledger_events)",
        f"DELETE FROM ledger_tiles WHERE level = 0 AND index > {(size - 1) // 256}",
        f"UPDATE ledger_tiles SET hashes = substring(hashes FROM 1 FOR {size % 256 * 32})"
        f" WHERE level = 0 AND index = {(size - 1) // 256}",
        f"UPDATE ledger_tiles SET hashes = substring(hashes FROM 1 FOR {size // 256 * 32}) WHERE level = 1",
        f"DELETE FROM ledger_heads WHERE size > {size}",
    )
    if count:
        await log.append(count)
        sealer = log.sealer()
        sealer.witness_file = None
        with log.connect() as conn:
            take_up(sealer, conn)
            seal(sealer, conn)
            sign(sealer, conn, datetime.now(UTC))


async def test_a_restored_database_is_called_a_fork_by_the_witness_alone(log: Log) -> None:
    await rewrite_after(log, 500, count=0)

    assert findings(log, witness=None) == []
    assert findings(log) == [
        "the witness's head of 600 events (line 3): the database holds 500; it was restored or cut (a fork)"
    ]


async def test_history_rewritten_by_the_keys_holder_is_found_by_the_witness_and_by_a_kept_head(
    log: Log,
) -> None:
    ((kept,),) = log.rows("SELECT note FROM ledger_heads WHERE size = 600")
    await rewrite_after(log, 500, count=100)

    assert findings(log, witness=None) == []
    assert findings(log) == ["the witness's head of 600 events (line 3): the stored leaves have another root"]
    assert findings(log, witness=None, trusted=[kept]) == [
        "the trusted head of 600 events: the stored leaves have another root"
    ]


async def test_a_changed_personal_value_is_named_and_an_erased_one_is_fine(log: Log) -> None:
    changed, erased = event_at(log, 550), event_at(log, 551)
    log.tamper(
        f"UPDATE ledger_salts SET value = 'else@example.org' WHERE name = 'email' AND event_id = '{changed}'",
        f"DELETE FROM ledger_salts WHERE name = 'email' AND event_id = '{erased}'",
    )

    assert findings(log) == [f"event {changed}: its personal value email does not fit its commitment"]


async def test_erasing_a_person_leaves_the_log_valid_g2(log: Log) -> None:
    ((person,),) = log.rows("SELECT DISTINCT person_id FROM ledger_salts WHERE name = 'email'")
    conn = await log.core()
    await erase_person(conn, person)
    await conn.close()

    assert log.rows("SELECT count(*) FROM ledger_salts WHERE name = 'email'") == [(0,)]
    assert findings(log) == []


async def test_everything_wrong_at_once_ends_in_a_bounded_report(log: Log) -> None:
    log.tamper("UPDATE ledger_events SET kind = 'a.b', actor_role = 'x', aggregate_id = 'y'")

    assert len(findings(log)) == 1000


def veritas(log: Log, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line as an operator would, with the settings of the deployment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VERITAS_")} | {
        "VERITAS_DATABASE_URL": log.owner_url,
        "VERITAS_LEDGER_ORIGIN": log.keys.origin,
        "VERITAS_LEDGER_KEY_FILES": log.settings.ledger_key_files,
        "VERITAS_LEDGER_WITNESS_FILE": str(log.witness),
    }
    return subprocess.run(
        [sys.executable, "-m", "deploy.commands.cli", "ledger", *arguments],
        env=environment, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def alone(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a copy of the stand-alone verifier where nothing of ours can be imported."""
    script = shutil.copy(verify_export.__file__, folder / "verify_export.py")
    return subprocess.run(
        [sys.executable, "-I", script, *arguments],
        cwd=folder, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


async def test_the_command_line_says_that_all_holds_or_what_does_not(log: Log) -> None:
    good = veritas(log, "verify")
    assert (good.returncode, good.stdout) == (
        0,
        "600 events under 6 signed heads, 495 records: all holds, witnessed\n",
    )
    log.tamper(f"UPDATE ledger_events SET kind = 'a.b' WHERE id = '{event_at(log, 9)}'")

    bad = veritas(log, "verify")
    assert bad.returncode == 1
    assert bad.stdout.startswith(f"WRONG: {where(log, 9)}: the column kind says a.b")
    (key,) = veritas(log, "keys").stdout.splitlines()
    assert veritas(log, "verify", "--key", key).returncode == 1
    assert veritas(log, "verify", "--key", "nonsense").returncode == 2


async def test_an_export_is_verified_without_us(log: Log, tmp_path: Path) -> None:
    file = tmp_path / "ledger.ndjson"
    assert veritas(log, "export", str(file)).returncode == 0
    (key,) = verifier_keys(log.keys)
    pem = tmp_path / "public.pem"
    (public,) = log.keys.verifiers.values()
    pem.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    for known in (["--key", key], ["--key", str(pem)], []):
        done = alone(tmp_path, str(file), *known, "--witness", str(log.witness))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("600 events under 3 signed heads: all holds")
        assert ("the keys are the export's own" in done.stdout) == (not known)
    assert "someone@example.org" not in file.read_text()


async def test_the_stand_alone_verifier_names_what_is_wrong_with_an_export(log: Log, tmp_path: Path) -> None:
    file = tmp_path / "ledger.ndjson"
    export(log.owner_url, log.keys, file)
    lines = file.read_text().splitlines(keepends=True)
    (tmp_path / "forger.pem").write_bytes(new_key_pem())
    (stranger,) = verifier_keys(read_keys(log.keys.origin, str(tmp_path / "forger.pem")))
    kept = tmp_path / "kept"
    kept.write_text(sign_head(Head(origin=log.keys.origin, size=700, root=bytes(32)), log.keys))
    other = tmp_path / "other"
    other.write_text(sign_head(Head(origin=log.keys.origin, size=400, root=bytes(32)), log.keys))
    reworded = [*lines[:300], lines[300].replace("exam.published", "exam.publisher"), *lines[301:]]
    cases: list[tuple[list[str], list[str], str]] = [
        (reworded, [], "line 503: the head of 500 events is not that of the 500 before it"),
        (lines[:300] + lines[301:], [], "line 301: position 299 stands where 298 belongs"),
        (lines[:-50], [], "the export ends after 551 of 600 events"),
        (lines, ["--key", stranger], "no known key has signed this head"),
        (lines, ["--head", str(kept)], f"the head in {kept} has 700 events, the export 600: a fork"),
        (lines, ["--head", str(other)], f"the head in {other}: the first 400 events are not those"),
    ]  # fmt: skip
    for changed, more, message in cases:
        file.write_text("".join(changed))
        done = alone(tmp_path, str(file), *more)
        assert (done.returncode, message in done.stdout) == (1, True), done.stdout + done.stderr
    assert alone(tmp_path, str(tmp_path / "nothing")).returncode == 2
