"""
Turns: keys whose inputs have changed are claimed, computed and stored, a layer after the other.

Whoever changes something inserts a mark with it, in one transaction. A turn claims some keys, by advisory
locks that go with its transaction, and reads their marks; then it opens a snapshot, in which everything that
these marks speak of is to be seen; computes; and stores the rows, the marks for the layers after it, and that
these marks are settled, in one transaction. What is marked meanwhile was not read, and stays. A worker that
dies has done nothing; two never have one key; nobody waits for anybody.

A mark says of what it is, where that is known: then only what rests on that is computed (`concerned`). Who is
judged by another norm is judged anew of what is stored of them; their events are not read again.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Final

import structlog

from kernel.running.runtime import PROJECTED_KEYS, PROJECTIONS_FAILED
from kernel.settings import Settings
from pipeline.extract import DATABASE_AWAY, snapshot
from pipeline.projections.concerned import concerned
from pipeline.projections.projection import Layer, Projection
from pipeline.projections.reading import Reading
from pipeline.projections.registry import PROJECTIONS
from pipeline.projections.storing import Changed, store
from sql import named
from sql.running import Connection, connect, run
from warehouse.files import open_root
from warehouse.publish import Step, no_step

log = structlog.get_logger(__name__, process="pipeline")

TURNS: Final = named("turns")
WATERMARKS: Final = named("watermarks")
FAILED_S: Final = 60.0  # before a key that cannot be computed is tried again
IDLE_MAX: Final = {Layer.attempt: "60s", Layer.exam: "15min", Layer.student: "60s"}
ANYTHING: Final = ""  # of a mark that does not say what is another
KEYS_MAX: Final = {Layer.attempt: 200, Layer.exam: 1, Layer.student: 200}  # of a turn
OWN: Final = (Layer.attempt, Layer.student)  # what somebody waits for; an exam's cohort may take a while
AFTER: Final = {Layer.attempt: (Layer.exam, Layer.student), Layer.exam: (Layer.student,), Layer.student: ()}
FOLDS: Final = named("folds")
Due = tuple[Layer, Sequence[str], Sequence[str] | None]  # a layer, its keys, the attempts that have changed
DuePart = tuple[Sequence[Projection], Sequence[str], Sequence[str] | None]  # likewise, of some projections
Mark = tuple[int, str, str | None, Sequence[str] | None]  # its id, key, attempt, and what is another


class ProjectionError(Exception):
    """A turn cannot be stored; its keys are the argument, what went wrong its cause."""

    def __init__(self, keys: list[str]) -> None:
        """Remember whose turn it was."""
        super().__init__(keys)
        self.keys = keys


def project(
    settings: Settings,
    layers: Sequence[Layer] = tuple(Layer),
    *,
    seconds_max: float,
    step: Step = no_step,
) -> int:
    """
    Give turns until nothing is due in these layers, or the time is over; return how many keys had one.

    Args:
        settings: the database, and how far the turns of an exam are apart.
        layers: which.
        seconds_max: after which no further turn begins.
        step: called with a name after each step that a crash could follow.

    A key that cannot be computed is put aside for FAILED_S, and holds up nobody.
    """
    until, total, found = monotonic() + seconds_max, 0, 1
    with connect(settings.database_url) as conn:
        while found and monotonic() < until:
            found = 0
            for layer in layers:
                run(conn, FOLDS["limit_idleness"], IDLE_MAX[layer])
                try:
                    found += turn(conn, settings, layer, step)
                except ProjectionError as error:
                    found += _one_by_one(conn, settings, layer, error.keys)
            total += found
    return total


def _one_by_one(conn: Connection, settings: Settings, layer: Layer, keys: list[str]) -> int:
    """Give each key a turn of its own; return how many that were."""
    for key in keys:
        try:
            turn(conn, settings, layer, keys=[key])
        except ProjectionError as error:
            PROJECTIONS_FAILED.inc()
            log.exception("not_projected", layer=layer, key=key, error=error.__cause__)
            run(conn, TURNS["put_key_aside"], layer, key, FAILED_S)
    return len(keys)


def turn(
    conn: Connection,
    settings: Settings,
    layer: Layer,
    step: Step = no_step,
    *,
    keys: Sequence[str] | None = None,
    projections: Sequence[Projection] = PROJECTIONS,
    as_marked: bool = False,
) -> int:
    """
    Compute some keys of a layer in a transaction; return how many, 0 where nothing is due or others have it.

    Args:
        conn: outside a transaction.
        settings: the database, and how far the turns of an exam are apart.
        layer: which.
        step: see `project`.
        keys: whose turn it is, in place of those that are due; whoever has one is waited for.
        projections: all, or some of them.
        as_marked: of the keys that are given, compute what their marks say; by default everything.

    Raises:
        ProjectionError: nothing was changed.
        psycopg.OperationalError: PostgreSQL is away, or nobody knows whether the turn was stored.
    """
    own = [each for each in projections if each.layer is layer]
    is_whole = keys is not None and not as_marked
    with conn.transaction():
        if keys is None:
            apart = settings.cohort_every_s, settings.cohort_settled_s
            keys = [key for (key,) in run(conn, TURNS["claim_keys"], layer, KEYS_MAX[layer], *apart)]
        else:
            run(conn, TURNS["claim_named_keys"], layer, list(keys))
        if not keys:
            return 0
        step("claimed")
        marks = run(conn, TURNS["list_key_marks"], layer, list(keys)).fetchall()
        try:
            parts: Iterable[DuePart] = [(own, keys, None)] if is_whole else _parts(own, marks)
            changed = [
                each
                for some, part, attempts in parts
                for each in _compute(conn, settings, some, (layer, part, attempts), step)
            ]
        except DATABASE_AWAY:
            raise
        except Exception as error:
            raise ProjectionError(list(keys)) from error
        _mark(conn, AFTER[layer], changed)
        if own == [each for each in PROJECTIONS if each.layer is layer]:
            run(conn, TURNS["delete_key_marks"], [mark_id for mark_id, *_ in marks])
            run(conn, TURNS["note_turns"], layer, list(keys), layer is Layer.exam)
        step("stored")
    step("committed")
    PROJECTED_KEYS.labels(layer.value).inc(len(keys))
    return len(keys)


def _parts(own: Sequence[Projection], marks: Sequence[Mark]) -> Iterator[DuePart]:
    """
    Yield keys with what is due for them, and the attempts that have changed: first those of which anything
    may be another, then those of which the marks say what is.
    """
    told: defaultdict[str, set[str]] = defaultdict(set)
    for _, key, _, frames in marks:
        told[key] |= {ANYTHING} if frames is None else set(frames)
    whole = sorted(key for key, frames in told.items() if ANYTHING in frames)
    others = sorted(told.keys() - set(whole))
    changed = {frame for key in others for frame in told[key]}
    for keys, some in ((whole, list(own)), (others, concerned(own, changed))):
        if keys and some:
            own_keys = set(keys)
            yield some, keys, sorted({attempt for _, key, attempt, _ in marks if attempt and key in own_keys})


def _compute(
    conn: Connection,
    settings: Settings,
    own: Sequence[Projection],
    due: Due,
    step: Step,
) -> list[Changed]:
    """Read, compute and store; return what has changed. The snapshot is gone before anything is computed."""
    made = {each.dataset.name for each in own}
    with snapshot(settings.database_url) as reader:
        root = partial(open_root, settings.warehouse, settings)
        reading = Reading(conn, reader, *due, settings.cohort_running_max, root)
        reading.take([name for each in own for name in each.takes if name not in made])
    frames = reading.frames
    step("read")
    for each in own:
        frames[each.dataset.name] = each.compute(frames, settings)
    step("computed")
    changed = []
    for each in own:
        concerned = store(conn, each, due[1], frames[each.dataset.name])
        if concerned and each.is_published:
            partitions = sorted({row.partition for row in concerned})
            run(conn, WATERMARKS["insert_marks"], each.dataset.name, partitions)
        changed += concerned
    return changed


def _mark(conn: Connection, layers: Iterable[Layer], changed: Sequence[Changed]) -> None:
    """Mark what hangs on rows that have changed, in the layers after theirs."""
    for layer in layers:
        own = [each for each in PROJECTIONS if each.layer is layer]
        frames: defaultdict[tuple[str, str | None, str], set[str]] = defaultdict(set)
        for row in changed:
            key = row.exam_id if layer is Layer.exam else row.student_id
            if key is not None and concerned(own, [row.dataset]):
                frames[key, row.attempt_id, row.exam_id or key].add(row.dataset)
        if frames:
            keys, attempts, lanes = (list(column) for column in zip(*sorted(frames, key=str), strict=True))
            texts = [",".join(sorted(frames[each])) for each in sorted(frames, key=str)]
            bound = TURNS.bind(
                "mark_keys", layer=layer, keys=keys, attempts=attempts, lanes=lanes, frames=texts
            )
            run(conn, *bound)
