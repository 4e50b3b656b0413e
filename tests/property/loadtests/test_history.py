"""Whatever is planted into an otherwise right database is found, under its own name (spec.md decision 7)."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kernel.events import EventType
from loadtests.check.history import Row, check
from loadtests.client.log import Acked, Created, Entry, Reoffered, Sent, Unanswered

START: Final = datetime(2026, 3, 1, 9, tzinfo=UTC)
dices = st.randoms(use_true_random=False)


def a_run(dice: random.Random) -> tuple[list[Entry], list[Row]]:
    """Sessions with one to three tabs, batches, cut replies and resends, stored as they should be."""
    log: list[Entry] = []
    rows: list[Row] = []
    for session in range(1, dice.randint(2, 4)):
        tabs = [f"{session}-{tab}" for tab in range(dice.randint(1, 3))]
        created = dict.fromkeys(tabs, 0)
        for _ in range(dice.randint(2, 12)):
            tab = dice.choice(tabs)
            first, last = created[tab] + 1, created[tab] + dice.randint(1, 4)
            created[tab] = last
            log += [
                Created(session, tab, n, n, 0.0, marker=f"{tab}.{n}", event_type=int(EventType.Keystroke))
                for n in range(first, last + 1)
            ]
            _deliver(dice, log, rows, (session, tab, first, last))
    return log, rows


def _deliver(
    dice: random.Random, log: list[Entry], rows: list[Row], where: tuple[int, str, int, int]
) -> None:
    session, tab, first, last = where
    log.append(Sent(*where, 0.0))
    seq = sum(row.session == session for row in rows)
    numbers = tuple(range(seq + 1, seq + 2 + last - first))
    rows += [
        Row(session, number, START + timedelta(seconds=number), hash(tab), n, 102, f"{tab}.{n}")
        for number, n in zip(numbers, range(first, last + 1), strict=True)
    ]
    if dice.random() < 0.3:  # the reply was cut: sent again, answered as a duplicate
        log += [Unanswered(*where, 0.0), Sent(*where, 0.0)]
    log.append(Acked(*where, 0.0, numbers=numbers))


def lose(dice: random.Random, rows: list[Row]) -> None:
    rows.remove(dice.choice(rows))


def double(dice: random.Random, rows: list[Row]) -> None:
    row = dice.choice(rows)
    seq = max(other.seq for other in rows if other.session == row.session) + 1
    rows.append(msgspec.structs.replace(row, seq=seq, occurred_at=START + timedelta(days=1)))


def swap(dice: random.Random, rows: list[Row]) -> None:
    row = dice.choice(rows)
    others = [other for other in rows if other.session == row.session and other is not row]
    other = dice.choice(others)
    rows[rows.index(row)], rows[rows.index(other)] = (
        msgspec.structs.replace(row, seq=other.seq, occurred_at=other.occurred_at),
        msgspec.structs.replace(other, seq=row.seq, occurred_at=row.occurred_at),
    )


def leave_a_gap(dice: random.Random, rows: list[Row]) -> None:
    row = dice.choice(rows)
    for index, other in enumerate(rows):
        if other.session == row.session and other.seq >= row.seq:
            rows[index] = msgspec.structs.replace(other, seq=other.seq + 1)


def alter(dice: random.Random, rows: list[Row]) -> None:
    index = dice.randrange(len(rows))
    changes = dice.choice([{"event_type": 2}, {"client_seq": 999}])
    rows[index] = msgspec.structs.replace(rows[index], **changes)


def turn_back_time(dice: random.Random, rows: list[Row]) -> None:
    index = dice.choice([n for n, row in enumerate(rows) if row.seq > 1])
    rows[index] = msgspec.structs.replace(rows[index], occurred_at=START - timedelta(days=1))


def invent(dice: random.Random, rows: list[Row]) -> None:
    row = dice.choice(rows)
    seq = max(other.seq for other in rows if other.session == row.session) + 1
    rows.append(Row(row.session, seq, START + timedelta(days=1), None, None, 2, "nobody's"))


PLANTED: Final[dict[str, tuple[Callable[[random.Random, list[Row]], None], str]]] = {
    "a loss": (lose, "lost"),
    "a duplicate": (double, "doubled"),
    "a swap": (swap, "changed"),
    "a gap": (leave_a_gap, "gaps"),
    "an alteration": (alter, "changed"),
    "time turned back": (turn_back_time, "out_of_order"),
    "an invention": (invent, "invented"),
}


@given(dices)
def test_a_right_database_is_found_right_in_any_order_of_its_rows(dice: random.Random) -> None:
    log, rows = a_run(dice)
    dice.shuffle(rows)

    assert check(log, rows).ok


@given(dices, st.sampled_from(sorted(PLANTED)))
def test_what_is_planted_is_found(dice: random.Random, what: str) -> None:
    log, rows = a_run(dice)
    plant, fault = PLANTED[what]
    plant(dice, rows)
    dice.shuffle(rows)

    assert fault in check(log, rows).faults


@given(dices)
def test_a_swap_is_found_even_where_no_reply_was_seen(dice: random.Random) -> None:
    """Without numbers to compare, only the order of sending tells."""
    log, rows = a_run(dice)
    session = rows[0].session
    silent = [entry for entry in log if not isinstance(entry, Acked) or entry.session != session]
    first_tab = next(entry.instance for entry in log if entry.session == session)
    batch = next(e for e in log if isinstance(e, Sent) and e.instance == first_tab)
    if batch.first == batch.last:
        return
    places = [n for n, r in enumerate(rows) if r.marker in {f"{first_tab}.1", f"{first_tab}.2"}]
    one, two = (rows[n] for n in places)
    rows[places[0]] = msgspec.structs.replace(one, seq=two.seq, occurred_at=two.occurred_at)
    rows[places[1]] = msgspec.structs.replace(two, seq=one.seq, occurred_at=one.occurred_at)

    assert "out_of_order" in check(silent, rows).faults


@given(dices)
def test_a_named_loss_that_is_not_mended_stays_a_loss(dice: random.Random) -> None:
    log, rows = a_run(dice)
    gone = rows.pop()
    instance = str(gone.marker).rpartition(".")[0]
    log.append(Reoffered(gone.session, instance, gone.client_seq or 0, gone.client_seq or 0, 0.0))

    assert len(check(log, rows).lost) == 1
