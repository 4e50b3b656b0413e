"""Whatever happens in whichever order, no file of evidence goes that is needed (spec.md G-1, V-2)."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.settings import Settings
from kernel.storage.opening import open_tiers
from pipeline.sweeps.tiers import move_due
from sql.running import connect
from tests.conftest import logins_on, new_database
from tests.kits.evidence_kept import Piece, films, held, keep, seat
from tests.kits.evidence_old import (
    AGE,
    CLAIM,
    CLOSE,
    DECIDE,
    HOLD,
    LIFT,
    OLD,
    REVIEW,
    end,
    expire,
    files,
    gone,
    places,
    write,
)
from tests.kits.pipeline_child import kill_at
from tests.kits.pipeline_world import rows_of

SEATS = 3
ACTS = (
    "keep", "pend", "confirm", "end", "sweep", "killed", "hold", "lift", "claim", "close", "review", "decide",
    "age", "move",
)  # fmt: skip
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, SEATS - 1)), min_size=8, max_size=30)
# As chance hardly has it: all is there for a sweep but for one thing, and then for the next.
ONE_BY_ONE = [
    (name, 0)
    for name in (
        "keep", "pend", "sweep", "end", "claim", "sweep", "close", "sweep", "review", "age", "sweep",
        "decide", "sweep", "hold", "age", "sweep", "lift", "killed", "confirm", "move", "killed", "sweep",
    )
]  # fmt: skip


class World:
    """Some have sat an exam, and what is kept of them."""

    def __init__(self, url: str, own: Settings) -> None:
        self.url, self.settings = url, own
        self.stores = open_tiers(self.settings)
        self.seats = [seat(url) for _ in range(SEATS)]
        self.pieces: list[list[Piece]] = [[] for _ in range(SEATS)]
        self.pending = set[int]()
        self.over, self.held = set[int](), set[int]()
        # What is open of whom, and what is over and not yet old.
        self.open, self.young = set[tuple[str, int]](), set[tuple[str, int]]()

    def act(self, name: str, place: int) -> None:
        before = gone(self.url)
        getattr(self, name)(place)
        went = gone(self.url) - before
        for each, pieces in enumerate(self.pieces):
            for piece in pieces:
                if piece.evidence_id in went:
                    assert name in {"sweep", "killed"}
                    assert self.may_go(each)
                    assert piece.evidence_id not in self.pending
                if piece.evidence_id not in gone(self.url):
                    assert any(held(store, piece) == piece.chunks for store in self.stores.values())

    def may_go(self, place: int) -> bool:
        named = {which for _, which in self.open | self.young}
        return place in self.over and place not in self.held and place not in named

    def keep(self, place: int) -> None:
        self.pieces[place].append(keep(self.seats[place], self.stores["hot"], films(2, 60), closed_at=OLD))

    def pend(self, place: int) -> None:
        self.keep(place)
        self.pending.add(self.pieces[place][-1].evidence_id)
        self._set(self.pieces[place][-1], "status = 1, closed_at = NULL, sha256 = NULL")

    def confirm(self, place: int) -> None:
        for piece in self.pieces[place]:
            if piece.evidence_id in self.pending:
                self._set(piece, "status = 2, closed_at = requested_at, sha256 = sha256('')")
                self.pending.discard(piece.evidence_id)

    def _set(self, piece: Piece, change: str) -> None:
        with psycopg.connect(self.url) as conn:
            conn.execute("SET LOCAL session_replication_role = replica")
            conn.execute(f"UPDATE evidence SET {change} WHERE id = %s".encode(), (piece.evidence_id,))

    def end(self, place: int) -> None:
        if place not in self.over:
            end(self.seats[place])
            self.over.add(place)

    def sweep(self, _: int) -> None:
        expire(self.settings)

    def killed(self, _: int) -> None:
        kill_at("expire", self.settings, "taken")
        kill_at("expire", self.settings, "file_deleted")

    def move(self, _: int) -> None:
        with connect(self.settings.database_url) as conn:
            move_due(conn, self.stores, self.settings, threading.Event(), now=datetime.now(UTC))

    def hold(self, place: int) -> None:
        write(self.seats[place], HOLD)
        self.held.add(place)

    def lift(self, place: int) -> None:
        write(self.seats[place], LIFT)
        self.held.discard(place)

    def claim(self, place: int) -> None:
        write(self.seats[place], CLAIM, as_replica=True)
        self.open.add(("claim", place))

    def close(self, place: int) -> None:
        self._over("claim", place, CLOSE)

    def review(self, place: int) -> None:
        write(self.seats[place], REVIEW, as_replica=True)
        self.open.add(("review", place))

    def decide(self, place: int) -> None:
        self._over("review", place, DECIDE)

    def _over(self, what: str, place: int, statement: str) -> None:
        if (what, place) in self.open:
            write(self.seats[place], statement, as_replica=True, at=datetime.now(UTC))
            self.open.discard((what, place))
            self.young.add((what, place))

    def age(self, place: int) -> None:
        write(self.seats[place], AGE, as_replica=True, at=OLD)
        self.young = {each for each in self.young if each[1] != place}


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    postgres: Postgres,
    template: dict[str, str],
    redis_server: Redis,
) -> Iterator[tuple[str, Settings]]:
    """A database and its stores, which the examples share: each has candidates of its own."""
    stores = places(tmp_path_factory.mktemp("stores"))
    with new_database(postgres) as url:
        at = logins_on(url, template, redis_server.url)
        own = Settings(database_url=at("veritas_pipeline"), evidence_hot_days=0)
        yield url, replace(own, **stores)


@given(steps=STEPS)
@example(ONE_BY_ONE)
@settings(max_examples=8, deadline=None)
def test_no_file_goes_that_is_needed_and_in_the_end_all_go_once(
    world: tuple[str, Settings], steps: list[tuple[str, int]]
) -> None:
    """spec.md G-1, decision 12: neither under way, held, claimed or reviewed, nor too soon after that."""
    own = World(*world)
    for name, place in steps:
        own.act(name, place)
    for name in ("end", "confirm", "close", "decide", "age", "lift", "sweep"):
        for place in range(SEATS):
            own.act(name, place)
    pieces = [each for some in own.pieces for each in some]
    numbers = {each.evidence_id for each in pieces}

    assert gone(own.url) >= numbers
    assert [files(own.settings, each) for each in pieces] == [0] * len(pieces)
    assert rows_of(own.url, "SELECT 1 FROM leaving_evidence") == []
    told = rows_of(
        own.url,
        "SELECT aggregate_id, count(*) FROM ledger_events WHERE kind = 'evidence.expired' GROUP BY 1",
    )
    assert {int(number): times for number, times in told if int(number) in numbers} == dict.fromkeys(
        numbers, 1
    )
