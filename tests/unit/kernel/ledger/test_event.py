"""A ledger event's bytes and ids (spec.md L-1, decision 13)."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kernel.ledger.event import (
    LedgerEvent,
    body_of,
    commitment,
    event_id_at,
    first_id_at,
    new_salt,
    read_body,
)

EVENT = LedgerEvent(
    event_id=UUID(int=1),
    organisation_id=UUID(int=2),
    occurred_at=datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC),
    kind="exam.published",
    aggregate_type="exam",
    aggregate_id="7",
    actor_id=None,
    actor_role="system",
    detail={"b": 1, "a": {"d": "é", "c": None}},
)
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC)
)


def test_the_canonical_bytes_are_these_and_stay_these() -> None:
    assert body_of(EVENT).decode() == (
        '{"actor_id":null,"actor_role":"system","aggregate_id":"7","aggregate_type":"exam","commitments":{},'
        '"detail":{"a":{"c":null,"d":"é"},"b":1},"event_id":"00000000-0000-0000-0000-000000000001",'
        '"kind":"exam.published","occurred_at":"2026-01-02T03:04:05.000060Z",'
        '"organisation_id":"00000000-0000-0000-0000-000000000002","subject_id":null}'
    )


def test_the_order_in_which_a_detail_was_written_does_not_matter() -> None:
    other = msgspec.structs.replace(EVENT, detail={"a": {"c": None, "d": "é"}, "b": 1})

    assert body_of(other) == body_of(EVENT)
    assert read_body(body_of(EVENT)) == EVENT


def test_a_commitment_hashes_salt_and_value() -> None:
    salt = new_salt()

    assert len(salt) == 16
    assert commitment(salt, "é") == sha256(salt + "é".encode()).hexdigest()


@given(MOMENTS, MOMENTS)
def test_ids_are_uuids_of_version_7_and_order_as_their_times_do(one: datetime, other: datetime) -> None:
    first, second = event_id_at(one), event_id_at(other)

    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert one == other or (first < second) == (one < other)
    assert first_id_at(one) < first < first_id_at(one + timedelta(milliseconds=1))
