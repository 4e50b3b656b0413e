"""
The stand-alone verifier never says yes without proof (spec.md L-2): exports, witnesses and receipts that are
cut, reordered, doubled, emptied or edited, line by line and byte by byte.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.verify_export import verify_export, verify_receipt, verify_receipts
from kernel.ledger.checkpoints import verifier_keys
from pipeline.ledger.export import export
from tests.kits.core import DatabaseAs
from tests.kits.ledger import Log, make_log

EVENTS, HEADS = 40, (7, 12, 40)
VERIFIED, WRONG, CANNOT_CHECK, NOT_VERIFIED, NOT_WITNESSED = range(5)
Lines = list[bytes]


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed ledger as files: the export's lines, the witness's, event 20's proof under the last head."""

    log: Log
    folder: Path
    key: str
    export: Lines
    witness: Lines
    receipt: bytes

    def check(self, lines: Lines, witness: Lines | None) -> int:
        export_file, witness_file = self.folder / "export", self.folder / "seen"
        export_file.write_bytes(b"".join(lines))
        witness_file.write_bytes(b"".join(witness or []))
        seen = [] if witness is None else [str(witness_file)]
        return verify_export(str(export_file), [self.key], seen, []).code()

    def check_receipt(self, receipt: bytes, witness: Lines | None) -> int:
        receipt_file, witness_file = self.folder / "receipt", self.folder / "seen"
        receipt_file.write_bytes(receipt)
        witness_file.write_bytes(b"".join(witness or []))
        seen = [] if witness is None else [str(witness_file)]
        return verify_receipt(str(receipt_file), [self.key], seen, []).code()


@pytest.fixture
async def sealed(database: str, database_as: DatabaseAs, tmp_path: Path) -> Sealed:
    log = make_log(database, database_as, tmp_path)
    before = 0
    for size in HEADS:
        await log.append(size - before)
        log.seal()
        before = size
    export(log.owner_url, log.keys, tmp_path / "whole")
    return Sealed(
        log=log,
        folder=tmp_path,
        key=verifier_keys(log.keys)[0],
        export=(tmp_path / "whole").read_bytes().splitlines(keepends=True),
        witness=log.witness.read_bytes().splitlines(keepends=True),
        receipt=_proof(log),
    )


def _proof(log: Log) -> bytes:
    """Return the proof of event 20 under the last head, as `/api/ledger/events/{id}/proof` answers."""
    from base64 import b64encode  # noqa: PLC0415

    from kernel.ledger.checkpoints import parse_head  # noqa: PLC0415
    from kernel.ledger.merkle import hashes_of, inclusion_ranges  # noqa: PLC0415

    tiles = {(level, index): hashes for level, index, hashes in log.rows("SELECT * FROM ledger_tiles")}
    ((note,),) = log.rows(f"SELECT note FROM ledger_heads WHERE size = {EVENTS}")
    ((event_id, body),) = log.rows(
        "SELECT l.event_id, e.body FROM ledger_leaves l JOIN ledger_events e ON e.id = l.event_id"
        " WHERE position = 20"
    )
    head = parse_head(note.rpartition("\n\n")[0])
    hashes = hashes_of(inclusion_ranges(20, EVENTS), tiles)
    return json.dumps(
        {
            "event_id": str(event_id), "position": 20, "body": body.decode(),
            "hashes": [b64encode(each).decode() for each in hashes],
            "head": {
                "origin": head.origin, "size": head.size, "root": b64encode(head.root).decode(), "note": note,
                "signed_at": None if head.signed_at is None else head.signed_at.isoformat(),
            },
        }
    ).encode()  # fmt: skip


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def proves(sealed: Sealed, lines: Lines, witness: Lines) -> bool:
    """Tell whether the lines hold the whole log in order under its last head, which the witness has seen."""
    wanted = [json.loads(line) for line in sealed.export]
    found = [_parsed(line) for line in b"".join(lines).splitlines(keepends=True)]
    events = [row for row in wanted[1:] if "body" in row]
    kept = [row for row in found[1:] if isinstance(row, dict) and "body" in row and "head" not in row]
    heads = [row for row in found[1:] if isinstance(row, dict) and "head" in row]
    newest = wanted[-1]["head"]
    seen = [_parsed(line) for line in b"".join(witness).splitlines()]
    return (
        bool(found)
        and isinstance(found[0], dict)
        and {**found[0], "keys": None} == {**wanted[0], "keys": None}  # the key was given
        and kept == events
        and len(kept) + len(heads) + 1 == len(found)
        and found[-1] == wanted[-1]
        and all(row in wanted for row in heads)
        and newest in seen
    )


# Ways to change a file of lines, which has some: at line n, with another one m, and a byte's value.
WAYS: dict[str, Callable[[Lines, int, int, int], Lines]] = {
    "drop": lambda lines, n, _m, _v: lines[:n] + lines[n + 1 :],
    "cut": lambda lines, n, _m, _v: lines[:n],
    "torn": lambda lines, n, m, _v: [*lines[:n], lines[n][: m % max(1, len(lines[n]))]],
    "swap": lambda lines, n, m, _v: [lines[{n: m, m: n}.get(at, at)] for at in range(len(lines))],
    "double": lambda lines, n, _m, _v: [*lines[: n + 1], *lines[n:]],
    "byte": lambda lines, n, m, v: [*lines[:n], _edited(lines[n], m * 37 + v, v), *lines[n + 1 :]],
    "digit": lambda lines, n, _m, _v: [*lines[:n], lines[n].replace(b"1", b"2", 1), *lines[n + 1 :]],
    "reverse": lambda lines, n, m, _v: [*lines[: min(n, m)], *reversed(lines[min(n, m) :])],
    "add": lambda lines, n, _m, v: [*lines[:n], bytes([v]) * 3 + b"\n", *lines[n:]],
    "empty": lambda _lines, _n, _m, _v: [],
}


def _edited(line: bytes, at: int, value: int) -> bytes:
    at %= max(1, len(line))
    return line and line[:at] + bytes([line[at] ^ value]) + line[at + 1 :]


@st.composite
def changes(draw: st.DrawFn) -> Callable[[Lines], Lines]:
    """Return one change of a file of lines."""
    way, value = WAYS[draw(st.sampled_from(sorted(WAYS)))], draw(st.integers(1, 255))
    where, other = draw(st.integers(0, 1000)), draw(st.integers(0, 1000))
    return lambda lines: way(lines, where % len(lines), other % len(lines), value) if lines else lines


def test_a_whole_export_a_witness_and_a_receipt_are_verified_and_each_lack_has_its_own_code(
    sealed: Sealed,
) -> None:
    whole, witness = sealed.export, sealed.witness
    head = whole.index(next(line for line in whole if b'"head"' in line))
    assert proves(sealed, whole, witness)
    cases: list[tuple[Lines, Lines | None, int]] = [
        (whole, witness, VERIFIED),
        (whole, None, NOT_WITNESSED),
        (whole, [], NOT_VERIFIED),
        (whole, witness[:-1], NOT_VERIFIED),
        (whole, witness[-1:], VERIFIED),
        (whole, [b"torn\n", *witness], VERIFIED),
        (whole, [b'"no head"\n', *witness], WRONG),
        ([line for line in whole if b'"head"' not in line], None, NOT_VERIFIED),
        ([line for line in whole if b'"head"' not in line], witness, NOT_VERIFIED),
        (whole[:-1], None, NOT_VERIFIED),
        (whole[:head], None, WRONG),
        (whole[:1], None, WRONG),
        ([], witness, WRONG),
    ]
    for lines, seen, code in cases:
        assert sealed.check(lines, seen) == code, (len(lines), seen)
    for seen, code in (
        (witness, VERIFIED), (None, NOT_WITNESSED), ([], NOT_VERIFIED), (witness[:-1], NOT_VERIFIED)
    ):  # fmt: skip
        assert sealed.check_receipt(sealed.receipt, seen) == code
    missing = str(sealed.folder / "nothing")
    (sealed.folder / "whole").write_bytes(b"".join(whole))
    assert verify_export(str(sealed.folder / "whole"), [sealed.key], [missing], []).code() == NOT_VERIFIED
    assert sealed.check_receipt(sealed.receipt, witness) == VERIFIED
    receipt = str(sealed.folder / "receipt")
    assert verify_receipt(receipt, [sealed.key], [missing], []).code() == NOT_VERIFIED
    both = verify_receipts([missing, receipt], [sealed.key], [], [])
    assert (both.code(), len(both.unusable), len(both.holds)) == (CANNOT_CHECK, 1, 1)
    many = verify_receipts([receipt] * 150, [sealed.key], [], []).lines()
    assert sum(" stands at position " in line for line in many) == 150


def test_what_no_head_covers_and_what_cannot_be_read_is_named_by_its_line_and_the_rest_is_read(
    sealed: Sealed,
) -> None:
    whole = list(sealed.export)
    last_head = len(whole)
    (sealed.folder / "cut").write_bytes(b"".join(whole[: last_head - 1]))
    uncovered = verify_export(str(sealed.folder / "cut"), [sealed.key], [], [])
    second_head = [n for n, line in enumerate(whole, 1) if b'"head"' in line][1]
    assert uncovered.unproven == [
        f"lines {second_head + 1} to {last_head - 1}: no signed head covers these events"
    ]

    whole[5], whole[20], whole[25] = b"\xff\n", b'{"head": 7}\n', b"[" * 100_000 + b"\n"
    (sealed.folder / "broken").write_bytes(b"".join(whole))
    broken = verify_export(str(sealed.folder / "broken"), [sealed.key], [], [])
    for number in (6, 21, 26):
        assert any(each.startswith(f"line {number}: ") for each in broken.wrong), broken.wrong
    assert broken.code() == WRONG


@settings(max_examples=300)
@given(
    of_export=st.lists(changes(), max_size=3),
    of_witness=st.lists(changes(), max_size=2),
    of_receipt=st.lists(changes(), min_size=1, max_size=2),
)
def test_no_change_of_export_witness_or_receipt_is_verified_unless_the_proof_is_still_there(
    sealed: Sealed,
    of_export: list[Callable[[Lines], Lines]],
    of_witness: list[Callable[[Lines], Lines]],
    of_receipt: list[Callable[[Lines], Lines]],
) -> None:
    lines, witness = sealed.export, sealed.witness
    for change in of_export:
        lines = change(lines)
    for change in of_witness:
        witness = change(witness)
    verified = sealed.check(lines, witness) == VERIFIED
    assert not verified or proves(sealed, lines, witness)
    assert sealed.check(lines, None) != VERIFIED

    receipt = [sealed.receipt]
    for change in of_receipt:
        receipt = change(receipt)
    text = b"".join(receipt)
    if sealed.check_receipt(text, witness) == VERIFIED:
        assert _parsed(text) == json.loads(sealed.receipt)
        newest = json.loads(sealed.export[-1])["head"]
        assert newest in [_parsed(line) for line in b"".join(witness).splitlines()]
    assert sealed.check_receipt(text, None) != VERIFIED


@pytest.mark.parametrize("size", ["null", "40.0", "true", '"40"', '"\\ud800\\n40 events: all holds"', "[40]"])
def test_a_header_whose_size_is_no_number_is_wrong_and_its_text_is_not_printed(
    sealed: Sealed, size: str
) -> None:
    """An export without a size could be cut at any head."""
    header = sealed.export[0].replace(b'"size":40', f'"size":{size}'.encode())
    assert header != sealed.export[0]
    (sealed.folder / "export").write_bytes(b"".join([header, *sealed.export[1:]]))
    verdict = verify_export(str(sealed.folder / "export"), [sealed.key], [], [])

    assert verdict.code() == WRONG
    assert verdict.wrong == ["line 1: it is no header of an export (TypeError)"]
