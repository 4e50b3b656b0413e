"""A call of a function in Redis brings the keys and arguments that append.lua reads, no more and no fewer."""

import re
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final
from uuid import UUID

import pytest

from ingest.stream import calls
from ingest.stream.calls import Append, Call
from ingest.stream.protocol import function

LUA: Final = (files("ingest.stream") / "append.lua").read_text(encoding="utf-8")
AT: Final = datetime(2026, 9, 1, 9, tzinfo=UTC)
ROW: Final = {
    "id": 7, "status": 1, "candidate_id": UUID(int=1), "organisation_id": UUID(int=2), "exam_id": UUID(int=3),
    "through_seq": 5, "started_at": AT, "last_event_at": None, "total_violations": 0, "clock_offset_us": None,
    "ended_at": None, "is_final": False, "last_heartbeat_at": None, "clients": [], "received": [],
    "commands": None,
}  # fmt: skip
APPEND: Final = Append(
    epoch=1, session=7, events=1, client=None, ranges="", candidate="", organisation="", violations=0,
    heartbeat_us=None, latest_us=None, event_us=0, burst_us=0, late_window_us=0, ranges_max=1,
    key_window_s=None, body=b"", batch=b"", clients_max=1,
)  # fmt: skip
CALLS: Final[dict[str, Call]] = {
    "append": APPEND.call(0, None),
    "restore": calls.restore(0, 1, ROW),
    "tell": calls.tell(0, 1, 7, "[]"),
    "finish": calls.finish(0, 1, 7, 2, AT),
    "open": calls.open_epoch(0, 1),
    "stored": calls.stored(0, 1, 9),
    "take": calls.take(0, 1, outage_s=10.0, said_s=0.9, waiting_max=1),
    "told": calls.told(0, b"1-2"),
}


def read_by(name: str) -> tuple[set[int], set[int]]:
    """Return the numbers of the keys and of the arguments that a function reads."""
    body = re.search(rf"^local function {name}\(keys, args\)\n(.*?)^end$", LUA, re.DOTALL | re.MULTILINE)
    assert body, f"append.lua has the function {name}"
    keys, arguments = (
        {int(number) for number in re.findall(rf"\b{what}\[(\d+)\]", body[1])} for what in ("keys", "args")
    )
    return keys, arguments


@pytest.mark.parametrize("name", CALLS)
def test_a_call_brings_what_its_function_reads(name: str) -> None:
    called, keys, *rest = CALLS[name]

    assert called == function(name)
    assert read_by(name) == (set(range(1, keys + 1)), set(range(1, len(rest) - keys + 1)))


def test_every_function_has_its_call() -> None:
    assert set(re.findall(r"'veritas_(\w+)_@VERSION@'", LUA)) == set(CALLS)


def test_a_restored_session_brings_what_each_client_sent() -> None:
    two = {**ROW, "clients": [3, -4], "received": ["{[1,51),[71,91)}", "{}"]}

    assert calls.restore(0, 1, two) == [*CALLS["restore"], 3, "1-50,71-90", -4, ""]


def test_none_travels_as_an_empty_text() -> None:
    assert None not in CALLS["append"]
    assert APPEND.call(0, [b"a", b"b"])[5:7] == [b"a", b"b"]


def test_numbers_and_ids_stand_where_append_lua_reads_them() -> None:
    """Two of one type in each other's places would pass for what they are not."""
    _, keys, session, _, *given = calls.restore(0, 1, ROW)

    assert (keys, [given[0], given[1], given[4]]) == (2, [1, 1, 5])
    assert b"7" in session
    assert given[2:4] == [str(UUID(int=1)), str(UUID(int=2))]
    assert given[-2:] == [str(UUID(int=3)), ""]
    assert calls.tell(0, 1, 7, "[]")[4:] == [1, "[]"]
    assert calls.finish(0, 1, 7, 2, AT)[5:] == [1, 7, 2, "1788253200000000", calls.ENDED_KEPT_S]
    assert calls.stored(0, 1, 9)[4:] == [1, 9]
    assert calls.take(0, 1, outage_s=10.0, said_s=0.9, waiting_max=3)[3:] == [1, 10_000_000, 900_000, 3]
