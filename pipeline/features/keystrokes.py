"""
How a text was typed: what keystroke and paste events say of it.

Grain: one `Typed` per attempt that has events, its strokes and pastes in the order (occurred_at, session,
sequence). Takes the frame EVENTS. What an event's metadata must say to be evidence; whatever it does not say
is not guessed:

- `PasteAttempt`: `text`, what was pasted, or `characters`, how many; `blocked`: true where nothing came of
  it. A paste that says neither is no evidence of how much was pasted;
- `Keystroke`, one for a batch of keys: `inserted` and `deleted` characters, `duration_ms` from the first key
  to the last by the client's own clock, `pauses`, how many times between two keys were longer than 2 s;
- of both, the question as `question`, `question_id` or `questionId`. An attempt with one text needs none.

Times between events are the server's, which the network stretches and squeezes; so speed is `duration_ms` at
least.

>>> from datetime import UTC, datetime
>>> import polars as pl
>>> from pipeline.features.frames import EVENTS
>>> events = pl.DataFrame(
...     {"session_id": [1, 1], "seq": [1, 2], "attempt_id": ["a", "a"], "exam_id": ["e", "e"],
...      "occurred_at": [datetime(2026, 5, 4, 9, tzinfo=UTC)] * 2, "effective_at": [None, None],
...      "event_type": [102, 6], "severity": [0, 3], "is_violation": [False, True], "is_late": [False, False],
...      "payload": ['{"inserted": 40, "deleted": 3, "duration_ms": 9000}', '{"text": "borrowed"}']},
...     schema=EVENTS.schema)
>>> typed = typed_by_attempt(events)["a"]
>>> typed.strokes[0].inserted, typed.strokes[0].deleted, typed.pastes[0].characters
(40, 3, 8)

Source: proctor-module.txt, `metadataJson`, which leaves an event's metadata to its client.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import polars as pl
from msgspec import Meta, Struct

from kernel.events import EventType
from pipeline.features.frames import EVENTS, checked

COUNT_MAX: Final = 1_000_000
Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]


class Stroke(Struct, frozen=True, kw_only=True):
    """A batch of keys; None where the client did not say."""

    at: datetime
    question_id: str | None
    inserted: int | None
    deleted: int | None
    pauses: int | None
    duration_ms: int | None


class Paste(Struct, frozen=True, kw_only=True):
    """A paste that was not blocked: how many characters, and which, where the client said so."""

    at: datetime
    question_id: str | None
    characters: int
    text: str | None


class Typed(Struct, frozen=True, kw_only=True):
    """What was seen of an attempt's typing. No pastes: none was made while events came."""

    strokes: list[Stroke] = []
    pastes: list[Paste] = []

    def of(self, question_id: str, *, is_only: bool) -> "Typed":
        """
        Return what may belong to one text: what names its question, and what names none where that is the
        attempt's only one. A paste that names none and says its text may belong to any: its words will tell.
        """
        wanted = (question_id, None) if is_only else (question_id,)
        return Typed(
            strokes=[each for each in self.strokes if each.question_id in wanted],
            pastes=[
                each
                for each in self.pastes
                if each.question_id in wanted or (each.question_id is None and each.text is not None)
            ],
        )


class _Said(Struct, frozen=True):
    """Names of the metadata; a member of another type than it should be was not said."""

    question: Any = None
    question_id: Any = None
    questionId: Any = None  # noqa: N815 - as clients spell it
    text: Any = None
    characters: Any = None
    blocked: Any = None
    inserted: Any = None
    deleted: Any = None
    pauses: Any = None
    duration_ms: Any = None


_SAID: Final = msgspec.json.Decoder(_Said)
NOTHING: Final = _Said()


def typed_by_attempt(events: pl.DataFrame) -> dict[str, Typed]:
    """Return what was seen of each attempt's typing; late events are left out, rows come in any order."""
    seen = checked(events, EVENTS).filter(~pl.col("is_late"))
    found = {
        attempt: Typed(strokes=[], pastes=[]) for attempt in seen["attempt_id"].unique(maintain_order=True)
    }
    rows = (
        seen.filter(pl.col("event_type").is_in([EventType.PasteAttempt, EventType.Keystroke]))
        .sort("occurred_at", "session_id", "seq")
        .select("attempt_id", "event_type", pl.coalesce("effective_at", "occurred_at").alias("at"), "payload")
    )
    for attempt_id, event_type, at, payload in rows.iter_rows():
        said = _said(payload)
        questions = (said.question_id, said.questionId, said.question)
        question_id = next((str(each) for each in questions if each is not None), None)
        if event_type == EventType.Keystroke:
            found[attempt_id].strokes.append(_stroke(at, question_id, said))
        elif (paste := _paste(at, question_id, said)) is not None:
            found[attempt_id].pastes.append(paste)
    return found


def known(values: Iterable[int | None]) -> list[int]:
    """Return the values that were said."""
    return [each for each in values if each is not None]


def fastest(strokes: Sequence[Stroke], *, span_s: float) -> tuple[float, int] | None:
    """
    Return the highest speed that was kept up for a span, in characters per second, and of how many
    characters.

    None where no such span was measured. n keys have n - 1 times between them, so a batch counts one less
    than its characters; a stretch of batches lasted as long as they did together, or as the server saw it
    last, if longer.

    >>> from datetime import UTC, datetime, timedelta
    >>> start = datetime(2026, 5, 4, 9, tzinfo=UTC)
    >>> def keys(second, inserted, ms):
    ...     at = start + timedelta(seconds=second)
    ...     return Stroke(
    ...         at=at, question_id=None, inserted=inserted, deleted=0, pauses=0, duration_ms=ms)
    >>> fastest([keys(0, 21, 4000), keys(5, 101, 5000), keys(60, 11, 900)], span_s=5)
    (20.0, 100)
    """
    timed = [each for each in strokes if each.inserted is not None and each.duration_ms]
    best: tuple[float, int] | None = None
    first, characters, lasted_ms = 0, 0, 0
    for last, stroke in enumerate(timed):
        characters += _between_keys(stroke)
        lasted_ms += stroke.duration_ms or 0
        while first < last and lasted_ms - (timed[first].duration_ms or 0) >= 1000 * span_s:
            characters -= _between_keys(timed[first])
            lasted_ms -= timed[first].duration_ms or 0
            first += 1
        if lasted_ms < 1000 * span_s:
            continue
        seen_s = (stroke.at - timed[first].at).total_seconds() + (timed[first].duration_ms or 0) / 1000
        found = characters / max(seen_s, lasted_ms / 1000), characters
        best = found if best is None else max(best, found)
    return best


def _between_keys(stroke: Stroke) -> int:
    return max((stroke.inserted or 0) - 1, 0)


def _said(payload: str | None) -> _Said:
    try:
        return NOTHING if payload is None else _SAID.decode(payload)
    except msgspec.DecodeError:
        return NOTHING  # metadata is the client's: what is no object says nothing


def _count(value: object) -> int | None:
    try:
        return msgspec.convert(value, Count)
    except msgspec.ValidationError:
        return None


def _stroke(at: datetime, question_id: str | None, said: _Said) -> Stroke:
    return Stroke(
        at=at,
        question_id=question_id,
        inserted=_count(said.inserted),
        deleted=_count(said.deleted),
        pauses=_count(said.pauses),
        duration_ms=_count(said.duration_ms),
    )


def _paste(at: datetime, question_id: str | None, said: _Said) -> Paste | None:
    """Return a paste; None where it was blocked, or says nothing of how much it was."""
    text = said.text if isinstance(said.text, str) else None
    characters = max(known([_count(said.characters), None if text is None else len(text)]), default=0)
    if said.blocked is True or not characters:
        return None
    return Paste(at=at, question_id=question_id, characters=characters, text=text)
