"""
What a form's statistics are made of: whole numbers that add up.

A `Tally` holds all that `items` and `reliability` need of the submissions to one form: how many, sums and
sums of products of the items' points (x in hundredths: Σx and XᵀX), who chose which option with which points
elsewhere, how many had which total, points by band of the total, and how long items took. `merged` adds two
tallies, `subtracted` takes one from another. All numbers are integers, so partitions in any order give the
same tally to the byte, and what is taken away leaves no trace; one more submission costs as much in an exam
of ten thousand as in one of ten.

**Remediation** goes without the responses for all that follows from sums and products: `without` deletes an
item's row and column, `rekeyed` computes one anew from who chose what. What hangs on each candidate's total
(bands, totals, who passed; after a new key the other items' options) is then empty, and null in the
statistics, until the rescored submissions themselves are tallied.

Three candidates and two items with the key `a`; their choices as words:

>>> from pipeline.features.tallying import sheet_of_choices, tallied
>>> def tally(*choices):
...     return tallied(*sheet_of_choices(choices, key="aa"))["exam", "form"]
>>> whole = tally("ab", "aa", "bb")
>>> whole.n, whole.sums.tolist(), whole.cross.tolist()
(3, [200, 100], [[20000, 10000], [10000, 10000]])
>>> packed(merged(tally("bb"), tally("ab", "aa"))) == packed(whole)
True
>>> packed(subtracted(whole, tally("bb"))) == packed(tally("aa", "ab"))
True
>>> rekeyed(whole, 1, {"b": 100}).sums.tolist(), without(whole, 0).cross.tolist()
([200, 200], [[10000]])

Source: analytics.md, "Exam analytics"; sums that merge: Chan, Golub and LeVeque (1983), Algorithms for
computing the sample variance, The American Statistician 37, 242-247.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from operator import add, sub
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

Ints = npt.NDArray[np.int64]
K = TypeVar("K", bound=int | str)
V = TypeVar("V")
HUNDREDTHS: Final = 100
BANDS: Final = 200  # of the total, in half percents; and one for full points
# Of times, rounded down: tenths of a second below 10 s, seconds below 2 min, 5 s below 10 min, 30 s below
# an hour, which is the longest. Where each begins, in tenths of a second.
STEPS: Final = np.concatenate(
    [np.arange(0, 100), np.arange(100, 1200, 10), np.arange(1200, 6000, 50), np.arange(6000, 36001, 300)]
).astype(np.int64)
PLAIN: Final = (
    "n", "waiting", "passed", "failed", "sums", "cross", "omitted", "partly", "times", "milliseconds",
)  # fmt: skip
BY_ITEM: Final = ("sums", "omitted", "partly", "milliseconds", "times")
HEAD: Final = ("layouts", "n", "waiting", "passed", "failed", "options")
ARRAYS: Final = (*BY_ITEM, "cross", "chosen", "chosen_points")


class Item(Struct, frozen=True, array_like=True):
    """
    An item of a form. `max_points` in hundredths; `key` in the spelling of responses, None without one.
    """

    position: int
    question_id: str
    question_version_id: str
    kind: str
    key: str | None
    max_points: int


class Tally(Struct, frozen=True, kw_only=True):
    """
    Sums over the submissions to one form of `items` items.

    Attributes:
        layouts: the items as JSON text, with how many submissions, counted or waiting, had them so: a changed
            key shows as a second layout until all are rescored.
        n: submissions that are counted.
        waiting: those that wait for a grader.
        passed: those counted that passed, and `failed`; of the others it is not known.
        sums: (items,) points in hundredths.
        cross: (items, items) their products.
        omitted: (items,) how many gave no response and got no points.
        partly: (items,) how many got more than nothing and less than all.
        options: (item, option) of each option that somebody chose, ascending.
        chosen: (options,) by how many.
        chosen_points: (options, items) their points of each item.
        totals: sum of points to how many had it.
        people: by group of a fairness audit, "" without one: (BANDS + 1,) how many had a total of that band.
        points: likewise (BANDS + 1, items) their points.
        times: (items, steps) how many responses took so long.
        milliseconds: (items,) how long they took together.
    """

    layouts: dict[str, int]
    n: int
    waiting: int
    passed: int
    failed: int
    sums: Ints
    cross: Ints
    omitted: Ints
    partly: Ints
    options: tuple[tuple[int, str], ...]
    chosen: Ints
    chosen_points: Ints
    totals: dict[int, int]
    people: dict[str, Ints]
    points: dict[str, Ints]
    times: Ints
    milliseconds: Ints

    @property
    def items(self) -> list[Item]:
        """Return the items as most submissions had them."""
        _, text = max((count, text) for text, count in self.layouts.items())
        return msgspec.json.decode(text, type=list[Item])


def merged(one: Tally, other: Tally) -> Tally:
    """Return the tally of the submissions of both; of one form."""
    return _combined(one, other, add)


def subtracted(whole: Tally, part: Tally) -> Tally:
    """Return the tally without the submissions of a part of it."""
    return _combined(whole, part, sub)


def _combined(one: Tally, other: Tally, by: Callable[[Any, Any], Any]) -> Tally:
    assert one.sums.shape == other.sums.shape, "tallies of one form"
    options = tuple(sorted({*one.options, *other.options}))
    chosen = by(_aligned(one.chosen, one.options, options), _aligned(other.chosen, other.options, options))
    elsewhere = by(
        _aligned(one.chosen_points, one.options, options),
        _aligned(other.chosen_points, other.options, options),
    )
    left = np.flatnonzero(chosen)
    people = _by_key(one.people, other.people, by, np.zeros(BANDS + 1, dtype=np.int64))
    points = _by_key(one.points, other.points, by, np.zeros((BANDS + 1, len(one.sums)), dtype=np.int64))
    groups = [group for group, counts in people.items() if counts.any()]
    return Tally(
        **{name: by(getattr(one, name), getattr(other, name)) for name in PLAIN},
        layouts={text: count for text, count in _by_key(one.layouts, other.layouts, by, 0).items() if count},
        totals={total: count for total, count in _by_key(one.totals, other.totals, by, 0).items() if count},
        options=tuple(options[place] for place in left),
        chosen=chosen[left],
        chosen_points=elsewhere[left],
        people={group: people[group] for group in groups},
        points={group: points[group] for group in groups},
    )


def _by_key(one: Mapping[K, V], other: Mapping[K, V], by: Callable[[Any, Any], Any], zero: V) -> dict[K, V]:
    """Return both by ascending key, what stands in one alone with zero in the other."""
    return {key: by(one.get(key, zero), other.get(key, zero)) for key in sorted({*one, *other})}


def _aligned(values: Ints, own: Sequence[tuple[int, str]], options: Sequence[tuple[int, str]]) -> Ints:
    """Return the rows of own options at their places among all."""
    places = {option: place for place, option in enumerate(options)}
    found = np.zeros((len(options), *values.shape[1:]), dtype=np.int64)
    found[[places[option] for option in own]] = values
    return found


def without(tally: Tally, item: int) -> Tally:
    """Return the tally of a form that lacks the item, counted from 0."""
    kept = [place for place, (at, _) in enumerate(tally.options) if at != item]
    options = tuple((at - (at > item), option) for at, option in (tally.options[place] for place in kept))

    def less(items: list[Item]) -> list[Item]:
        return [each for place, each in enumerate(items) if place != item]

    return structs.replace(
        _unbanded(tally, less),
        **{name: np.delete(getattr(tally, name), item, axis=0) for name in BY_ITEM},
        cross=np.delete(np.delete(tally.cross, item, axis=0), item, axis=1),
        options=options,
        chosen=tally.chosen[kept],
        chosen_points=np.delete(tally.chosen_points[kept], item, axis=1),
    )


def rekeyed(tally: Tally, item: int, points: Mapping[str, int]) -> Tally:
    """
    Return the tally with other points for one item's options.

    Args:
        tally: of the form.
        item: counted from 0; a single choice.
        points: of each option in hundredths; options that are not named get none.
    """
    own = [place for place, (at, _) in enumerate(tally.options) if at == item]
    worth = np.array([points.get(tally.options[place][1], 0) for place in own], dtype=np.int64)
    chosen, elsewhere = tally.chosen[own], tally.chosen_points[own].copy()
    column = worth @ elsewhere
    column[item] = (worth * worth) @ chosen
    elsewhere[:, item] = worth * chosen
    sums, cross, partly = tally.sums.copy(), tally.cross.copy(), tally.partly.copy()
    sums[item], cross[item], cross[:, item] = worth @ chosen, column, column
    best = [option for option, each in points.items() if each == max(points.values())]

    def changed(items: list[Item]) -> list[Item]:
        key = best[0] if len(best) == 1 else None
        return [structs.replace(each, key=key) if n == item else each for n, each in enumerate(items)]

    partly[item] = ((worth > 0) & (worth < tally.items[item].max_points)) @ chosen
    return structs.replace(
        _unbanded(tally, changed), sums=sums, cross=cross, partly=partly,
        options=tuple(tally.options[place] for place in own), chosen=chosen, chosen_points=elsewhere,
    )  # fmt: skip


def _unbanded(tally: Tally, change: Callable[[list[Item]], list[Item]]) -> Tally:
    """Return the tally with changed items and without what hangs on each one's total."""
    layout = msgspec.json.encode(change(tally.items)).decode()
    return structs.replace(
        tally,
        layouts={layout: sum(tally.layouts.values())},
        passed=0,
        failed=0,
        totals={},
        people={},
        points={},
    )


def packed(tally: Tally) -> bytes:
    """Return the tally as bytes: the same for the same submissions, however they were added up."""
    groups = sorted(tally.people)
    head = {
        **{name: getattr(tally, name) for name in HEAD},
        "totals": sorted(tally.totals.items()),
        "groups": groups,
    }
    arrays = [
        *(getattr(tally, name) for name in ARRAYS),
        *(tally.people[group] for group in groups),
        *(tally.points[group] for group in groups),
    ]
    text = msgspec.msgpack.encode(head)
    body = b"".join(np.ascontiguousarray(array, dtype="<i8").tobytes() for array in arrays)
    return len(text).to_bytes(4, "little") + text + zlib.compress(body, 1)


def unpacked(text: bytes) -> Tally:
    """Return the tally of these bytes."""
    size = 4 + int.from_bytes(text[:4], "little")
    head = msgspec.msgpack.decode(text[4:size])
    body = np.frombuffer(zlib.decompress(text[size:]), dtype="<i8").astype(np.int64)
    items, options = len(msgspec.json.decode(next(iter(head["layouts"])))), len(head["options"])
    at = 0

    def taken(*shape: int) -> Ints:
        nonlocal at
        count = int(np.prod(shape, dtype=np.int64))
        at += count
        return body[at - count : at].reshape(shape)

    return Tally(
        **{name: head[name] for name in ("layouts", "n", "waiting", "passed", "failed")},
        totals=dict(head["totals"]),
        options=tuple((place, option) for place, option in head["options"]),
        sums=taken(items),
        omitted=taken(items),
        partly=taken(items),
        milliseconds=taken(items),
        times=taken(items, len(STEPS)),
        cross=taken(items, items),
        chosen=taken(options),
        chosen_points=taken(options, items),
        people={group: taken(BANDS + 1) for group in head["groups"]},
        points={group: taken(BANDS + 1, items) for group in head["groups"]},
    )
