"""The chain of custody, as the stand-alone verifier checks it, through a move (spec.md V-3)."""

import copy
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.verify_export import verify_custody
from kernel.ledger.checkpoints import verifier_keys
from kernel.storage.opening import open_tiers
from pipeline.sweeps.orphans import Walk, sweep_orphans
from pipeline.sweeps.tiers import move_due
from sql.running import connect
from tests.kits import evidence
from tests.kits.core import Api, DatabaseAs, core_api
from tests.kits.evidence import asked, confirm, film, manifest_hash, send_chunks, sent
from tests.kits.ledger import Log, make_log

VERIFIED, WRONG, CANNOT_CHECK, NOT_VERIFIED = range(4)
CHUNKS = {n: film(3000 + n, mark=n) for n in (1, 2, 3)}
# What no event says; beside what is no part of a custody.
UNPROVEN = {"fileName", "contentType", "attemptId", "success", "message", "errors"}
NEEDED = {"evidence.requested", "evidence.uploaded", "evidence.confirmed", "evidence.moved"}


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    places = {"evidence_store": str(tmp_path / "hot"), "evidence_cold_store": str(tmp_path / "cold")}
    return make_log(database, database_as, tmp_path, **places, evidence_hot_days=0)


def sweep(log: Log, *, moves: bool) -> None:
    stores, later = open_tiers(log.settings), datetime.now(UTC) + timedelta(minutes=10)
    with connect(log.settings.database_url) as conn:
        if moves:
            move_due(conn, stores, log.settings, threading.Event(), now=datetime.now(UTC))
        else:
            sweep_orphans(conn, stores, log.settings, Walk(), now=later)


class Saved:
    """A custody as it was saved, and who checks it."""

    def __init__(self, log: Log, folder: Path, document: Any) -> None:
        self.document, self._log, self._folder = document, log, folder
        self.whole, self.first, self.other = (folder / name for name in ("whole.webm", "chunk.webm", "other"))
        self.whole.write_bytes(b"".join(CHUNKS.values()))
        self.first.write_bytes(CHUNKS[2])
        self.other.write_bytes(self.whole.read_bytes()[:-1] + b"\x01")

    def check(self, document: Any = None, *files: Path) -> tuple[int, list[str]]:
        path = self._folder / "custody.json"
        path.write_text(json.dumps(self.document if document is None else document))
        witness, keys = [str(self._log.witness)], verifier_keys(self._log.keys)
        verdict = verify_custody(str(path), [str(each) for each in files], keys, witness, [])
        return verdict.code(), verdict.lines()


async def custody_of(api: Api, session_id: int) -> Any:
    answer = await api.get(f"/api/proctor/session/{session_id}/evidence/custody", "teacher")
    assert answer.status == 200, answer.body
    return answer.body


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value in a document that holds no others."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for name, each in pairs:
            yield from leaves(each, (*path, name))
    else:
        yield path


def changed(document: Any, path: tuple[Any, ...]) -> Any:
    other = copy.deepcopy(document)
    *way, last = path
    at = other
    for name in way:
        at = at[name]
    old = at[last]
    if isinstance(old, str):
        middle = len(old) // 2
        at[last] = old[:middle] + ("7" if old[middle : middle + 1] != "7" else "8") + old[middle + 1 :]
    else:
        at[last] = (old or 0) + 1
    return other


def without(document: Any, n: int) -> Any:
    other = copy.deepcopy(document)
    del other["data"]["events"][n]
    return other


async def test_a_custody_is_what_its_events_say_through_a_move_and_a_change_is_seen_v3(
    database: str, database_as: DatabaseAs, log: Log, tmp_path: Path
) -> None:
    places = {name: getattr(log.settings, name) for name in ("evidence_store", "evidence_cold_store")}
    async with core_api(database, database_as, **places) as api:
        session_id = await api.start_session()
        evidence_id, _ = await asked(api, session_id, isChunked=True, type=5)
        await send_chunks(api, evidence_id, CHUNKS)
        await confirm(api, evidence_id, checksum=manifest_hash(*CHUNKS.values()))
        await sent(api, session_id)
        looked = [(await evidence.fetch(api, evidence_id)).body]
        sweep(log, moves=True)
        looked.append((await evidence.fetch(api, evidence_id)).body)
        log.seal()
        pending, _ = await asked(api, session_id)
        unsealed = await custody_of(api, session_id)
        sweep(log, moves=False)
        looked.append((await evidence.fetch(api, evidence_id)).body)
        log.seal()
        saved = Saved(log, tmp_path, await custody_of(api, session_id))
        (shown, *_) = (await api.get(f"/api/proctor/session/{session_id}/evidence", "teacher")).body["data"]

    assert looked == [b"".join(CHUNKS.values())] * 3
    assert (shown["tier"], open_tiers(log.settings)["hot"].found("evidence/")) == ("cold", [])
    assert saved.check(unsealed)[0] == NOT_VERIFIED
    code, lines = saved.check(None, saved.whole, saved.first)
    assert code == VERIFIED, lines
    assert [each.partition(" is ")[2] for each in lines[:2]] == [
        f"evidence {evidence_id}", f"chunk 2 of evidence {evidence_id}",
    ]  # fmt: skip
    assert saved.check(None, saved.other)[0] == WRONG
    assert saved.check(None, tmp_path / "none")[0] == CANNOT_CHECK
    for path in leaves(saved.document):
        code, lines = saved.check(changed(saved.document, path))
        assert (code == WRONG) != (path[-1] in UNPROVEN or path[0] in UNPROVEN), (path, lines)
    for n, each in enumerate(saved.document["data"]["events"]):
        kind = json.loads(each["body"])["kind"]
        assert (saved.check(without(saved.document, n))[0] == WRONG) == (kind in NEEDED), kind
    assert pending


@pytest.mark.parametrize("some", [b"", b"[]", b"{}", b'{"data": 1}', b'{"veritasCustody": 1}', b"\xff"])
def test_what_is_no_custody_is_wrong_and_nothing_worse_v3(some: bytes, log: Log, tmp_path: Path) -> None:
    path = tmp_path / "custody.json"
    path.write_bytes(some)

    assert verify_custody(str(path), [], verifier_keys(log.keys), [], []).code() == WRONG
