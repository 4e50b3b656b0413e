"""
What follows from submissions, computed anew: each layer's keys, part by part, in the order of layers.

A part is a turn of named keys (`projections.turns`): it waits for whoever has one of them, replaces what is
another, and deletes what is no more. What a layer takes of a later one (an exam's norms, by which its
attempts are judged) is not there yet where nothing was: whom that concerns is marked, and computed once more.
So increments go on meanwhile, whoever reads sees each key whole, and a rebuild that was cut off is begun
again. Parts of a layer depend on nothing of one another: they run here, or anywhere that reaches the
database.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from msgspec import Struct

from kernel.settings import Settings
from pipeline.projections.projection import Layer
from pipeline.projections.registry import PROJECTIONS
from pipeline.projections.turns import turn
from sql import named
from sql.running import Connection, connect, run

TURNS: Final = named("turns")
ATTEMPTS_MAX: Final = 1_000  # in memory at once, where no key alone has more
KEYS_MAX: Final = 200  # of a part: each is a lock
SETTLING_MAX: Final = 3  # passes over what is marked; what is marked still then is left to the pipeline


class Part(Struct, frozen=True):
    """Some keys of a layer, and the datasets that are computed of them; `is_marked`: as far as marks say."""

    layer: Layer
    keys: tuple[str, ...]
    datasets: frozenset[str]
    is_marked: bool = False


# Runs parts, wherever; yields for each that is done how many keys it had, in any order.
Runner = Callable[[Settings, Sequence[Part]], Iterable[int]]


def here(settings: Settings, parts: Sequence[Part]) -> Iterator[int]:
    """Run parts in this process, one after the other."""
    for part in parts:
        yield compute(settings, part)


def compute(settings: Settings, part: Part) -> int:
    """
    Compute a part; return how many keys it had.

    Raises:
        ProjectionError: a key cannot be computed; nothing of the part was changed.
    """
    projections = [each for each in PROJECTIONS if each.dataset.name in part.datasets]
    with connect(settings.database_url) as conn:
        return turn(
            conn, settings, part.layer, keys=part.keys, projections=projections, as_marked=part.is_marked
        )


def parts_of(
    conn: Connection,
    layer: Layer,
    *,
    since: datetime | None,
    datasets: Collection[str],
    parts: int | None = None,
    is_marked: bool = False,
) -> list[Part]:
    """
    Return a layer's keys in parts; none where no dataset of it is wanted.

    Args:
        conn: to the database.
        layer: which.
        since: only attempts that were over then or later, their exams and students; None is all.
        datasets: that are wanted.
        parts: how many; by default each has ATTEMPTS_MAX attempts and KEYS_MAX keys at most, or one key.
        is_marked: only keys of which something is marked, and of these what that concerns.
    """
    own = [each for each in PROJECTIONS if each.layer is layer]
    wanted = frozenset(each.dataset.name for each in own) & frozenset(datasets)
    if wanted:  # what is there for computing alone comes with what is computed
        wanted |= {each.dataset.name for each in own if not each.is_published}
    found = run(conn, TURNS["list_layer_keys"], layer, since, is_marked).fetchall() if wanted else []
    if parts is None:
        cut = _cut(found)
    else:
        keys, size = [key for key, _ in found], max(1, -(-len(found) // parts))
        cut = [keys[at : at + size] for at in range(0, len(keys), size)]
    return [Part(layer, tuple(each), wanted, is_marked) for each in cut]


def _cut(found: Iterable[tuple[str, int]]) -> Iterable[list[str]]:
    """Yield keys, each with how many attempts it has, in parts that one turn can have."""
    keys: list[str] = []
    total = 0
    for key, attempts in found:
        if keys and (total + attempts > ATTEMPTS_MAX or len(keys) == KEYS_MAX):
            yield keys
            keys, total = [], 0
        keys.append(key)
        total += attempts
    if keys:
        yield keys


def recompute(
    settings: Settings,
    progress: Callable[[str, int, int], None],
    *,
    since: datetime | None = None,
    datasets: Collection[str],
    runner: Runner = here,
    parts: int | None = None,
) -> int:
    """
    Compute the datasets anew; return how many keys of all layers that were.

    Args:
        settings: the database.
        progress: called with (layer's name, done, total) keys; `settle` are those that have a further turn.
        since: see `parts_of`, as `parts`.
        datasets: names of projected datasets; what follows from them in later layers is marked, and computed
            by the pipeline, where it is not among them.
        runner: where the parts run.
        parts: of a layer.
    """
    total = settled = 0
    for layer in Layer:
        with connect(settings.database_url) as conn:
            found = parts_of(conn, layer, since=since, datasets=datasets, parts=parts)
        total += _give_turns(settings, found, runner, partial(progress, layer.value))
    published = {each.dataset.name for each in PROJECTIONS if each.is_published}
    if since is not None or not published <= set(datasets):
        return total
    for _ in range(SETTLING_MAX):
        before = settled
        for layer in Layer:
            with connect(settings.database_url) as conn:
                found = parts_of(conn, layer, since=None, datasets=datasets, parts=parts, is_marked=True)
            settled += _give_turns(settings, found, runner, partial(progress, "settle"), settled)
        if settled == before:
            break
    return total + settled


def _give_turns(
    settings: Settings,
    parts: Sequence[Part],
    runner: Runner,
    progress: Callable[[int, int], None],
    before: int = 0,
) -> int:
    """Run a layer's parts; tell how many keys are done, and will be, on top of those before."""
    keys, done = sum(len(part.keys) for part in parts), 0
    progress(before, before + keys)
    for count in runner(settings, parts):
        done += count
        progress(before + done, before + keys)
    return done
