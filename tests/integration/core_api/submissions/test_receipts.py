"""A candidate's receipt: pending first, then with position and proof; checked without us (spec.md S-2)."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernel.ledger.checkpoints import new_key_pem, read_keys, verifier_keys
from kernel.ledger.merkle import leaf_hash
from tests.integration.pipeline.ledger.test_verify import alone, veritas
from tests.kits.authoring import make_exam, save_all_right, start, submit
from tests.kits.core import DatabaseAs, core_api
from tests.kits.ledger import Log, make_log

Receipt = dict[str, Any]
Tamper = Callable[[Receipt], None]


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


async def hand_in(log: Log, database_as: DatabaseAs) -> tuple[Receipt, Receipt, Receipt]:
    """Hand in, seal, fetch; return the reply of the hand-in, that of its retry, and the receipt."""
    async with core_api(log.owner_url, database_as) as api:
        attempt_id = await start(api, made := await make_exam(api))
        await save_all_right(api, made, attempt_id)
        first = await submit(api, attempt_id, key="once")
        pending = await api.get(f"/api/student/attempts/{attempt_id}/receipt", "student")
        assert pending.body["ledger"] == first.body["ledger"] == {"status": "pending"}
        await log.append(5)
        log.seal()
        again = await submit(api, attempt_id, key="once")
        sealed = await api.get(f"/api/student/attempts/{attempt_id}/receipt", "student")
        name = f"veritas-receipt-{first.body['submission_id']}.json"
        assert sealed.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert (await api.get(f"/api/student/attempts/{attempt_id}/receipt", "other_student")).status == 404
    return first.body, again.body, sealed.body


def check(folder: Path, receipt: Receipt, key: str, *more: str) -> tuple[int, str]:
    """Run the stand-alone verifier on a receipt; return its exit code and what it says."""
    file = folder / "receipt.json"
    file.write_text(json.dumps(receipt))
    done = alone(folder, "--receipt", str(file), "--key", key, *more)
    return done.returncode, done.stdout + done.stderr


async def test_a_receipt_holds_its_position_and_proof_and_is_checked_offline_s2(
    log: Log, database_as: DatabaseAs, tmp_path: Path
) -> None:
    first, again, receipt = await hand_in(log, database_as)
    position, (key,) = receipt["ledger"]["position"], verifier_keys(log.keys)
    plain = {name: value for name, value in first.items() if name != "ledger"}
    size = receipt["ledger"]["head"]["size"]

    assert receipt["receipt"] == plain
    assert again == plain | {"ledger": {"status": "sealed", "position": position}}
    said = f"submission {plain['submission_id']} stands at position {position} of the {size} signed events"
    assert check(tmp_path, receipt, key) == (4, f"{said}, not witnessed\n")
    assert check(tmp_path, receipt, key, "--witness", str(log.witness)) == (0, f"{said}, witnessed\n")
    done = veritas(log, "receipt", str(tmp_path / "receipt.json"))
    assert (done.returncode, done.stdout) == (0, f"{said}, witnessed\n")
    pending = receipt | {"ledger": {"status": "pending"}}
    code, words = check(tmp_path, pending, key)
    assert (code, "has not sealed it yet" in words) == (3, True)
    assert veritas(log, "receipt", str(tmp_path / "receipt.json")).returncode == 3


def other_char(text: str, at: int) -> str:
    """Return the text with another hexadecimal or base64 digit at that place."""
    return text[:at] + ("b" if text[at] == "a" else "a") + text[at + 1 :]


def changed(*path: str, by: Callable[[Any], Any]) -> Tamper:
    def tamper(receipt: Receipt) -> None:
        for name in path[:-1]:
            receipt = receipt[name]
        receipt[path[-1]] = by(receipt[path[-1]])

    return tamper


def flipped(*path: str, at: int) -> Tamper:
    return changed(*path, by=lambda text: other_char(text, at))


def _first_node(hashes: list[str]) -> list[str]:
    return [base64.b64encode(bytes(32)).decode(), *hashes[1:]]


def _rehashed(receipt: Receipt) -> None:
    """A forger who rewrites the content and its hash."""

    receipt["content"] = receipt["content"].replace("photosynthesis", "mitosis")
    receipt["receipt"]["content_sha256"] = hashlib.sha256(receipt["content"].encode()).hexdigest()


def _rewritten(receipt: Receipt) -> None:
    """A forger who rewrites the ledger's event as well, with its leaf."""

    old = receipt["receipt"]["content_sha256"]
    _rehashed(receipt)
    ledger = receipt["ledger"]
    ledger["event"] = ledger["event"].replace(old, receipt["receipt"]["content_sha256"])
    ledger["leaf_hash"] = leaf_hash(ledger["event"].encode()).hex()


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "a byte of the content": (
        changed("content", by=lambda text: text.replace("photosynthesis", "Photosynthesis")),
        "the content does not hash to the receipt's content_sha256",
    ),
    "the hash": (
        flipped("receipt", "content_sha256", at=9),
        "the content does not hash to the receipt's content_sha256",
    ),
    "content and hash": (_rehashed, "content_sha256 of the receipt is not that of the ledger's event"),
    "content, hash and event": (_rewritten, "the proof does not lead to the signed root"),
    "the submission": (flipped("receipt", "submission_id", at=35), "submission_id of the receipt is not"),
    "the attempt": (flipped("receipt", "attempt_id", at=35), "attempt_id of the receipt is not that"),
    "who handed in": (
        changed("receipt", "submitted_by", by=lambda _: "expiry"), "submitted_by of the receipt is not that",
    ),
    "when": (
        changed("receipt", "finalised_at", by=lambda _: "2026-01-01T00:00:00Z"),
        "finalised_at of the receipt is not that of the content",
    ),
    "the event's id": (flipped("receipt", "event_id", at=35), "event_id of the receipt is not that"),
    "a byte of the event": (
        changed("ledger", "event", by=lambda text: text.replace("student", "teacher", 1)),
        "the ledger's event does not hash to its leaf_hash",
    ),
    "the leaf": (
        flipped("ledger", "leaf_hash", at=5), "the ledger's event does not hash to its leaf_hash"
    ),
    "the position": (
        changed("ledger", "position", by=lambda position: position ^ 1),
        "the proof does not lead to the signed root",
    ),
    "a node": (changed("ledger", "hashes", by=_first_node), "the proof does not lead to the signed root"),
    "a node less": (changed("ledger", "hashes", by=lambda hashes: hashes[:-1]), "the proof is too short"),
    "a node more": (
        changed("ledger", "hashes", by=lambda hashes: [*hashes, hashes[0]]), "the proof is too long"
    ),
    "the head's size": (
        changed("ledger", "head", "size", by=lambda size: size + 1), "the head is not what its signed note"
    ),
    "the head's root": (
        changed("ledger", "head", "root", by=lambda _: base64.b64encode(bytes(32)).decode()),
        "the head is not what its signed note says",
    ),
    "the head's name": (
        changed("ledger", "head", "origin", by=lambda _: "other"), "the head is not what its signed note says"
    ),
    "the head's time": (
        changed("ledger", "head", "signed_at", by=lambda _: "2026-01-01T00:00:00Z"),
        "the head was not signed when it says",
    ),
    "the signed note": (
        changed("ledger", "head", "note", by=lambda note: note.replace("signed_at 2", "signed_at 3")),
        "no known key has signed this head",
    ),
    "the signature": (
        changed("ledger", "head", "note", by=lambda note: other_char(note, len(note) - 20)),
        "no known key has signed this head",
    ),
    "a part left out": (lambda receipt: receipt["ledger"].pop("hashes"), "the receipt cannot be read"),
    "something else in it": (
        changed("ledger", "position", by=lambda _: "first"), "the receipt cannot be read"
    ),
}  # fmt: skip


async def test_every_tampered_receipt_is_refused_and_the_reason_named_s2(
    log: Log, database_as: DatabaseAs, tmp_path: Path
) -> None:
    _, _, receipt = await hand_in(log, database_as)
    (key,) = verifier_keys(log.keys)
    assert check(tmp_path, receipt, key)[0] == 4

    for what, (tamper, reason) in TAMPERED.items():
        forged = json.loads(json.dumps(receipt))
        tamper(forged)
        assert forged != receipt, what
        code, words = check(tmp_path, forged, key)
        assert (code, words.startswith(f"WRONG: {reason}")) == (1, True), (what, words)


async def test_a_receipt_under_another_key_is_refused_s2(
    log: Log, database_as: DatabaseAs, tmp_path: Path
) -> None:
    _, _, receipt = await hand_in(log, database_as)
    (tmp_path / "forger.pem").write_bytes(new_key_pem())
    (stranger,) = verifier_keys(read_keys(log.keys.origin, str(tmp_path / "forger.pem")))

    code, words = check(tmp_path, receipt, stranger)
    assert (code, words.startswith("WRONG: no known key has signed this head")) == (1, True)
    assert check(tmp_path, receipt, "nonsense")[0] == 2
