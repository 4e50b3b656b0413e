"""
Frames for a turn, all of one moment: rows of datasets that were projected before, and of the durable tables.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final

import msgspec
import polars as pl
import pyarrow as pa

from pipeline.extract import Snapshot, as_frame
from pipeline.projections import calibrations, sums, tallies
from pipeline.projections.projection import Layer
from sql import named, shaped
from sql.running import Connection, run
from warehouse.archived import Extent, scan_extents
from warehouse.datasets import DATASETS
from warehouse.datasets.draft_passages import DRAFT_PASSAGES
from warehouse.datasets.event_norms import EVENT_NORMS
from warehouse.datasets.session_cells import SESSION_CELLS
from warehouse.datasets.submission_items import SUBMISSION_ITEMS
from warehouse.datasets.submissions import SUBMISSIONS
from warehouse.files import Root
from warehouse.layout import Dataset

RETENTION: Final = named("retention")
SOURCES: Final = named("sources")
TURNS: Final = named("turns")
# The layer whose keys a source takes; in a turn of another layer those of its attempts.
DURABLE: Final = {
    "handed_in": Layer.attempt,
    "handed_in_items": Layer.attempt,
    "form_items": Layer.attempt,
    "item_events": Layer.attempt,
    "drafts": Layer.attempt,
    "best_partners": Layer.attempt,
    "momenta": Layer.attempt,
    "watched": Layer.attempt,
    "written_texts": Layer.attempt,
    "leaving_scores": Layer.attempt,
    "exams": Layer.exam,
    "typing": Layer.attempt,
    "prompts": Layer.attempt,
    "neighbours": Layer.attempt,
    "results": Layer.exam,
    "qualities": Layer.exam,
    "norms": Layer.exam,
    "sessions": Layer.attempt,
    "seen_events": Layer.attempt,
    "anomaly_norms": Layer.exam,
    "times": Layer.attempt,
    "reliabilities": Layer.exam,
    "topics": Layer.exam,
    "weaknesses": Layer.attempt,
}
_QUESTIONS: Final = ("questionId", "question_id", "question")  # as clients name what is on the screen
_MAGNITUDES: Final = ("durationMs", "duration_ms", "awayMs", "characters", "offset")


def _question_of(payload: str) -> str | None:
    """Return which question an event names, as `->>` gives it."""
    members = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    for name in _QUESTIONS:
        said = bytes(members.get(name, b"null"))
        if said != b"null":
            return msgspec.json.decode(said, type=str) if said.startswith(b'"') else said.decode()
    return None


def _is_telling(payload: str) -> bool:
    return not msgspec.json.decode(payload, type=dict[str, msgspec.Raw]).keys().isdisjoint(_MAGNITUDES)


def _item_events(archived: pl.LazyFrame) -> pl.LazyFrame:
    return archived.filter(pl.col("event_type").is_in([104, 105])).with_columns(
        told_at=pl.coalesce("effective_at", "occurred_at"),
        question=pl.col("payload").map_elements(_question_of, return_dtype=pl.String),
    )


def _typing(archived: pl.LazyFrame) -> pl.LazyFrame:
    return archived.filter(
        pl.col("has_drafts") & (pl.col("event_type").is_in([6, 102]) | (pl.col("seq") == 1))
    )


def _seen_events(archived: pl.LazyFrame) -> pl.LazyFrame:
    maybe = pl.any_horizontal(
        pl.col("payload").str.contains(f'"{name}":', literal=True) for name in _MAGNITUDES
    )
    tells = pl.when(maybe).then("payload").map_elements(_is_telling, return_dtype=pl.Boolean)
    return archived.filter("is_over").with_columns(payload=pl.when(tells).then("payload"))


# Sources that are events, as they are made of archived ones: what the statement of the name says, in columns.
EVENTFUL: Final[Mapping[str, Callable[[pl.LazyFrame], pl.LazyFrame]]] = {
    "item_events": _item_events,
    "typing": _typing,
    "seen_events": _seen_events,
}
STORED: Final = DATASETS | {each.name: each for each in (DRAFT_PASSAGES, EVENT_NORMS, SESSION_CELLS)}
# Rows of all of an exam's submissions together, for what cannot be carried forward: none while the exam is
# large and runs (`cohort_running_max`).
COHORTS: Final = {"cohort_submissions": SUBMISSIONS, "cohort_items": SUBMISSION_ITEMS}
CONTACTS: Final = "cohort_contacts"
# What is carried forward from turn to turn of an exam, in its transaction, by reading what has changed.
CARRIED: Final = {
    "calibrations": calibrations.carried,
    "exam_sums": sums.carried,
    "tallies": tallies.carried,
}
TEXT: Final = {"uuid": "text", "uuid[]": "text[]", "jsonb": "text", "json": "text", "numeric": "float8"}


class Shape:
    """The table of a dataset in `reporting`: the type of each column, and the primary key."""

    def __init__(self, conn: Connection, dataset: Dataset) -> None:
        """Look at the table; raises LookupError where there is none."""
        found = run(conn, TURNS["describe_columns"], dataset.name).fetchall()
        if not found:
            raise LookupError(dataset.name)
        self.types = {name: kind for name, kind, _ in found}
        self.primary = [
            name for place, name in sorted((place, name) for name, _, place in found if place is not None)
        ]


@cache
def _shapes() -> dict[str, Shape]:
    return {}


def shape_of(conn: Connection, dataset: Dataset) -> Shape:
    """Return what a dataset's table looks like, asked once a process."""
    if dataset.name not in _shapes():
        _shapes()[dataset.name] = Shape(conn, dataset)
    return _shapes()[dataset.name]


def select(shape: Shape, dataset: Dataset, key: str) -> str:
    """Return the statement for a dataset's rows with these keys, in the dataset's columns; $1: as text."""
    kinds = {name: TEXT.get(shape.types[name]) for name in dataset.schema.names}
    return shaped(
        "list_rows",
        dataset=dataset.name,
        columns=", ".join(f"{name}::{kind} AS {name}" if kind else name for name, kind in kinds.items()),
        key=key,
        key_type=shape.types[key],
        order=", ".join(dataset.sort),
    )


def rows_of(
    conn: Connection, reader: Snapshot, dataset: Dataset, key: str, keys: Sequence[str] | None
) -> pa.Table:
    """Return a dataset's rows whose column `key` is one of the keys, or all of them."""
    statement = select(shape_of(conn, dataset), dataset, key)
    return reader.table(statement, None if keys is None else list(keys))


def few_at_a_time(
    conn: Connection, reader: Snapshot, dataset: Dataset, key: str, keys: Sequence[str] | None, rows_max: int
) -> Iterator[pa.Table]:
    """
    Yield `rows_of` these keys, all of a key in one table; a table has more than `rows_max` rows only where
    one key alone has.
    """
    shape = shape_of(conn, dataset)
    counts = reader.frame(
        shaped("count_rows", dataset=dataset.name, key=key, key_type=shape.types[key]),
        None if keys is None else list(keys),
    )
    waiting: list[str] = []
    total = 0
    for each, rows in counts.iter_rows():
        if waiting and total + rows > rows_max:
            yield rows_of(conn, reader, dataset, key, waiting)
            waiting, total = [], 0
        waiting.append(each)
        total += rows
    if waiting:
        yield rows_of(conn, reader, dataset, key, waiting)


class Reading:
    """What a turn has read so far, each frame once; the keys are the turn's."""

    def __init__(
        self,
        conn: Connection,
        reader: Snapshot,
        layer: Layer,
        keys: Sequence[str],
        changed: Sequence[str] | None,
        cohort_max: int,
        root: Callable[[], Root],
    ) -> None:
        """
        Read nothing yet.

        Args:
            conn: has the turn.
            reader: a snapshot from after it began.
            layer: whose turn it is.
            keys: of the turn.
            changed: the attempts that have changed; None says that any may have.
            cohort_max: see `COHORTS`.
            root: opens the warehouse, where the archive has what no table has any more.
        """
        self._conn, self._reader, self._layer, self._changed = conn, reader, layer, changed
        self._keys = {layer: list(keys)}
        self._cohort_max, self._root = cohort_max, root
        self._cohorts: list[str] | None = None
        self.frames: dict[str, pl.DataFrame] = {}

    def take(self, names: Sequence[str]) -> None:
        """Read those frames that are not there yet."""
        for name in names:
            if name not in self.frames:
                self.frames[name] = self._read(name)

    def _read(self, name: str) -> pl.DataFrame:
        if name == "attempts":
            return self._reader.frame(SOURCES["attempts"], self._layer.value, self._keys[self._layer])
        if name in CARRIED:
            assert self._layer is Layer.exam, "carried forward in the exams' turns alone"
            return CARRIED[name](self._conn, self._reader, self._keys[self._layer], self._changed)
        if name in COHORTS:
            return as_frame(rows_of(self._conn, self._reader, COHORTS[name], "exam_id", self._cohort_keys()))
        if name == CONTACTS:
            return self._reader.frame(SOURCES[name], self._cohort_keys())
        if name in DURABLE:
            keys = self._keys_in(DURABLE[name])
            stored = self._reader.frame(SOURCES[name], keys)
            return self._with_gone(name, stored, keys) if name in EVENTFUL else stored
        return as_frame(
            rows_of(self._conn, self._reader, STORED[name], self._layer.key, self._keys[self._layer])
        )

    def _with_gone(self, name: str, stored: pl.DataFrame, attempts: Sequence[str]) -> pl.DataFrame:
        """Return a source's rows with those of events that only the archive has, as of the same moment."""
        gone = self._reader.frame(RETENTION["list_gone_of_attempts"], list(attempts))
        if gone.is_empty():
            return stored
        sessions = gone.lazy().select("session_id", "attempt_id", "is_over", "has_drafts")
        extents = [Extent(**row) for row in gone.select(Extent.__struct_fields__).iter_rows(named=True)]
        archived = scan_extents(self._root(), extents).drop("attempt_id").join(sessions, on="session_id")
        found = EVENTFUL[name](archived).select(stored.columns).cast(stored.schema).collect()
        return pl.concat([stored, found])

    def _keys_in(self, layer: Layer) -> list[str]:
        """Return the turn's keys as keys of a source's layer."""
        if layer not in self._keys:
            self.take(["attempts"])
            self._keys[layer] = self.frames["attempts"][layer.key].unique().sort().to_list()
        return self._keys[layer]

    def _cohort_keys(self) -> list[str]:
        """Return the turn's exams whose submissions are all looked at this time."""
        assert self._layer is Layer.exam, "a cohort is an exam's"
        if self._cohorts is None:
            found = self._reader.frame(SOURCES["cohort_exams"], self._keys[self._layer], self._cohort_max)
            self._cohorts = found["exam_id"].to_list()
        return self._cohorts
