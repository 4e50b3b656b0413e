"""Admission: what a request may say (spec.md I-3, I-4, I-6; decision 5)."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ingest.admission.batches import EventIn, admit
from ingest.admission.numbering import progress, select
from ingest.stream.calls import ranges_of_multirange
from kernel.errors import InvalidInputError
from kernel.events import EventType, Severity
from kernel.settings import load
from kernel.values import too_deep

SETTINGS = load({})
NO_JSON = "Expected valid JSON text with numbers that a double holds"
TOO_LONG = "Expected at most 16384 bytes, with the exponents of numbers written out"
AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)


def event(**fields: Any) -> EventIn:
    return EventIn(**{"event_type": EventType.Keystroke.value} | fields)


def faults_of(*events: EventIn, client: int | None = None, first: int | None = None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInputError) as refused:
        admit(list(events), client=client, first_sequence=first, settings=SETTINGS)
    return [(fault["path"], fault["message"]) for fault in refused.value.errors or []]


@pytest.mark.parametrize("given", [2, "TabSwitched", "tab_switched"])
def test_a_type_is_accepted_by_number_and_by_either_name(given: int | str) -> None:
    admitted = admit([event(event_type=given)], client=None, settings=SETTINGS)

    assert list(admitted.batch.types) == [EventType.TabSwitched]


@pytest.mark.parametrize(("given", "severity"), [("normal", 0), ("warning", 2), ("critical", 4), (3, 3)])
def test_a_severity_is_accepted_by_number_and_by_name(given: int | str, severity: int) -> None:
    admitted = admit([event(severity=given)], client=None, settings=SETTINGS)

    assert list(admitted.batch.severities) == [severity]


def test_an_unknown_snake_case_name_is_kept_as_other() -> None:
    admitted = admit([event(), event(event_type="pen_lifted")], client=None, settings=SETTINGS)

    assert list(admitted.batch.types) == [EventType.Keystroke, EventType.Other]
    assert admitted.batch.names == [None, "pen_lifted"]


def test_every_fault_is_named_with_its_index() -> None:
    found = faults_of(
        event(event_type=4242),
        event(severity=9),
        event(metadata_json="{"),
        event(event_type="ProctorFlagged"),
        event(client_timestamp=datetime(1, 1, 1, tzinfo=UTC)),
    )

    assert [path for path, _ in sorted(found)] == [
        "events[0].eventType",
        "events[1].severity",
        "events[2].metadataJson",
        "events[3].eventType",
        "events[4].clientTimestamp",
    ]
    said = dict(found)["events[0].eventType"]
    assert all(where in said for where in ("/api/openapi.json", "EventTypeName", "snake_case"))


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (nested(33), "Expected at most 32 levels"),
        (nested(100_000), NO_JSON),
        (msgspec.json.encode("a" * (16 << 10)).decode(), TOO_LONG),
        ('"' + "é" * (8 << 10) + '"', TOO_LONG),
        ("{'a': 1}", NO_JSON),
        ('{"a": NaN}', NO_JSON),
        ('{"a": 1e999}', NO_JSON),
        ('"\\ud800"', NO_JSON),
        ("", NO_JSON),
    ],
)
def test_metadata_is_json_within_its_bounds(text: str, message: str) -> None:
    assert faults_of(event(), event(metadata_json=text)) == [("events[1].metadataJson", message)]


@pytest.mark.parametrize(
    "text", [nested(32), '{"a": "[[[[' + "[" * 40 + '"}', '{"a": {"b": [1, null, true]}}', "7"]
)
def test_brackets_in_strings_are_no_levels(text: str) -> None:
    admitted = admit([event(metadata_json=text)], client=None, settings=SETTINGS)

    assert admitted.batch.payloads == [text]
    assert not too_deep(text, 32)


def test_text_that_postgresql_cannot_hold_is_refused() -> None:
    """I-3: the judge has the last word; a backslash before `u0000` is no NUL."""
    texts = ['{"a": "\\u0000"}', '{"a": "\\\\u0000"}', '{"a": 1e-99999}', '{"a": 1e-9}']

    found = faults_of(*(event(metadata_json=text) for text in texts))

    assert [path for path, _ in found] == ["events[0].metadataJson", "events[2].metadataJson"]


def test_client_times_keep_their_microseconds() -> None:
    admitted = admit([event(client_timestamp=AT)], client=None, settings=SETTINGS)

    assert int.from_bytes(admitted.batch.client_us, "little") == round(AT.timestamp() * 1_000_000)
    assert admitted.latest_us == round(AT.timestamp() * 1_000_000)


def test_a_batch_without_all_its_times_has_no_latest() -> None:
    admitted = admit([event(client_timestamp=AT), event()], client=None, settings=SETTINGS)

    assert admitted.latest_us is None


def test_sequences_stand_on_the_batch_or_on_its_events() -> None:
    whole = admit([event()] * 3, client=7, first_sequence=5, settings=SETTINGS)
    single = admit([event(client_sequence=n) for n in (1, 2, 9)], client=7, settings=SETTINGS)

    assert (whole.batch.sequences, whole.ranges) == (5, [[5, 7]])
    assert (single.batch.sequences, single.ranges) == ([1, 2, 9], [[1, 2], [9, 9]])
    assert faults_of(event(client_sequence=1), client=7, first=1)
    assert faults_of(event(client_sequence=1))
    assert faults_of(event(client_sequence=2), event(client_sequence=2), client=7)
    assert faults_of(event(client_sequence=2), event(), client=7)


def test_the_missing_part_of_a_batch_is_cut_out_of_every_column() -> None:
    whole = admit(
        [event(severity=n % 5, metadata_json=str(n), client_timestamp=AT) for n in range(6)],
        client=7,
        first_sequence=11,
        settings=SETTINGS,
    )

    part = select(whole, [[12, 13], [16, 16]])

    assert part.batch.sequences == [12, 13, 16]
    assert part.batch.payloads == ["1", "2", "5"]
    assert list(part.batch.severities) == [1, 2, 0]
    assert (part.events, part.severity_max, part.ranges) == (3, Severity.Medium, [[12, 13], [16, 16]])


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], (0, [])),
        ([[1, 5]], (5, [])),
        ([[3, 5]], (0, [[1, 2]])),
        ([[1, 2], [5, 6], [9, 9]], (2, [[3, 4], [7, 8]])),
    ],
)
def test_acked_through_never_covers_what_has_not_arrived(
    ranges: list[list[int]], expected: tuple[int, list[list[int]]]
) -> None:
    """I-2: a client whose first batch is still on its way must keep it."""
    assert progress(ranges) == expected


@pytest.mark.parametrize(
    ("text", "ranges"), [("{}", ""), ("{[1,51)}", "1-50"), ("{[1,51),[71,91)}", "1-50,71-90")]
)
def test_multiranges_come_back_as_ranges(text: str, ranges: str) -> None:
    assert ranges_of_multirange(text) == ranges
