"""A claim's state machine, in the code and in the database, and what moves by itself (spec.md M-2)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core_api.claims import deadlines
from core_api.claims.states import MOVES, OPEN, ClaimAct, ClaimState, Party, timing
from core_api.database import Pool
from kernel.postgres import open_pool
from kernel.settings import Settings, load
from pipeline.outbox import read_outbox
from sql.running import connect
from tests.kits.claims import acknowledged, claimable, handle, opened, own
from tests.kits.core import Api, Core

DAYS = timedelta(days=1)


@asynccontextmanager
async def sweeping(core: Core) -> AsyncIterator[tuple[Pool, Settings]]:
    """Open a pool of the core API's own, to sweep at moments of the test's choice."""
    settings = load({}, database_url=core.database_as("veritas_core"))
    async with await open_pool(settings) as pool:
        yield pool, settings


async def told(api: Api) -> list[str]:
    """Return what waits in the outbox about claims."""
    rows = await api.owner.fetch("SELECT kind FROM outbox WHERE kind LIKE 'claim.%'")
    return [row["kind"] for row in rows]


async def state_of(api: Api, claim_id: str) -> str:
    state: str = await api.owner.fetchval("SELECT state FROM claims WHERE id = $1", claim_id)
    return state


async def test_the_database_has_the_same_table_m2(core: Core) -> None:
    async with core.school() as api:
        rows = await api.owner.fetch("SELECT from_state, act, to_state, party FROM claim_moves()")

        assert sorted(tuple(row) for row in rows) == sorted(
            (str(before), str(act), str(after), str(party))
            for (before, act), (after, parties) in MOVES.items()
            for party in parties
        )


VIEWS = {Party.candidate: "candidate", Party.staff: "staff", Party.system: "system"}


async def test_the_database_refuses_what_the_table_does_not_have_m2(core: Core) -> None:
    """From every state to every other, by every party; what a move rests on is there."""
    async with core.school() as api:
        claim_id = await opened(api, (await claimable(api)).attempt_id)
        teacher, admin = api.people["teacher"].id, api.people["admin"].id
        passed = set()
        for before, after, party in product(ClaimState, ClaimState, Party):
            if before is after:
                continue
            change = api.owner.transaction()
            await change.start()
            await _put(api, claim_id, before, teacher, admin)
            await api.owner.execute("SELECT set_config('veritas.view', $1, true)", VIEWS[party])
            ends = None if after in {"withdrawn", "expired"} else datetime.now(UTC) + DAYS
            try:
                await api.owner.execute(
                    "UPDATE public.claims SET state = $2, deadline_at = $3 WHERE id = $1",
                    claim_id, after, ends,
                )  # fmt: skip
                passed.add((before, after, party))
            except asyncpg.InsufficientPrivilegeError:
                pass
            finally:
                await change.rollback()

        assert passed == {
            (before, after, party) for (before, _), (after, parties) in MOVES.items() for party in parties
        }


async def _put(api: Api, claim_id: str, state: ClaimState, teacher: Any, admin: Any) -> None:
    """Put a claim into a state, past the machine, with a dispute and the resolutions that it needs."""
    await api.owner.execute(
        "ALTER TABLE public.claims DISABLE TRIGGER moved; ALTER TABLE public.resolutions DISABLE TRIGGER USER"
    )
    await api.owner.execute(
        "UPDATE public.claims SET state = $2, deadline_at = $3, acknowledged_by = $4 WHERE id = $1",
        claim_id, state, datetime.now(UTC) if state in {*OPEN, "resolved"} else None, teacher,
    )  # fmt: skip
    await api.owner.execute("INSERT INTO disputes VALUES ($1, 'staff', $2, now())", claim_id, teacher)
    for number in (1, 2) if state is ClaimState.under_dispute else (1,):
        await api.owner.execute(
            "INSERT INTO resolutions"
            " VALUES ($1, $2, 'rejected', 'nothing', NULL, NULL, 'No.', NULL, $3, now())",
            claim_id, number, admin,
        )  # fmt: skip
    await api.owner.execute("ALTER TABLE public.claims ENABLE TRIGGER moved")


# Who does what: the act of the table that it is, and how it is asked for.
DOES = {
    ("student", "say"): ("statements", {}),
    ("student", "withdraw"): ("withdraw", {}),
    ("student", "dispute"): ("dispute", {}),
    **{
        (who, act): (path, body)
        for who in ("teacher", "reviewer", "admin", "colleague", "boss")
        for act, path, body in (
            ("acknowledge", "acknowledge", {}),
            ("say", "statements", {}),
            ("ask", "statements", {"asks": True}),
            ("escalate", "escalate", {}),
            ("resolve", "resolve", {}),
        )
    },
    ("nobody", "lapse"): ("", {}),
}
SETTLE = {"teacher", "admin"}  # the exam is the teacher's


class Model:
    """What a claim is expected to be, and who has handled it."""

    def __init__(self) -> None:
        self.state = ClaimState.opened
        self.disputed = False
        self.handlers: set[str] = set()

    def expect(self, who: str, act: str) -> int | None:
        """Return the status of what somebody does now, and follow it; None: it is no request."""
        if who == "nobody":
            self._lapse()
            return None
        if who in {"colleague", "boss"}:
            return 404
        party = Party.candidate if who == "student" else Party.staff
        if act == "say":
            return self._say(who, party)
        move = MOVES.get((self.state, ClaimAct("escalate" if act == "dispute" else act)))
        if move is None or party not in move[1] or (move[0] is ClaimState.under_dispute and self.disputed):
            return 409
        if act == "resolve" and self.disputed and (who in self.handlers or who not in SETTLE):
            return 403
        self.state = move[0]
        self.disputed |= self.state is ClaimState.under_dispute
        if party is Party.staff and act in {"acknowledge", "escalate", "resolve"}:
            self.handlers.add(who)
        if act == "ask":
            self._handled(who)
        return 201 if act == "ask" else 200

    def _say(self, who: str, party: Party) -> int:
        if self.state not in OPEN:
            return 409
        if party is Party.candidate and self.state is ClaimState.asked:
            self.state = ClaimState.acknowledged
        if party is Party.staff:
            self._handled(who)
        return 201

    def _handled(self, who: str) -> None:
        if not self.disputed:
            self.handlers.add(who)

    def _lapse(self) -> None:
        if self.state is ClaimState.asked:
            self.state = ClaimState.expired
        elif self.state in {ClaimState.opened, ClaimState.acknowledged}:
            self.state, self.disputed = ClaimState.under_dispute, True


@examples(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(DOES)), min_size=6, max_size=14))
def test_any_acts_by_anybody_follow_the_table_m2(core: Core, does: list[tuple[str, str]]) -> None:
    asyncio.run(_follow(core, does))


async def _follow(core: Core, does: list[tuple[str, str]]) -> None:
    async with core.school() as api, sweeping(core) as (pool, settings):
        claim_id, model = await opened(api, (await claimable(api)).attempt_id), Model()
        for who, act in does:
            path, body = DOES[who, act]
            before, expected = model.state, model.expect(who, act)
            if expected is None:
                await deadlines.sweep(pool, settings, now=datetime.now(UTC) + 30 * DAYS)
            else:
                ask = own if who == "student" else handle
                answer = await ask(api, claim_id, path, who, **body)
                assert (answer.status, who, act, before) == (expected, who, act, before), answer.body
            assert await state_of(api, claim_id) == model.state


async def test_who_has_to_act_is_reminded_once_of_each_deadline_m2(core: Core) -> None:
    """Two sweeps at once, and one after: the reminder is one event with one row of the outbox."""
    async with core.school() as api, sweeping(core) as (pool, settings):
        attempt_id, now = (await claimable(api)).attempt_id, datetime.now(UTC)
        claim_id = await opened(api, attempt_id)
        early = await deadlines.sweep(pool, settings, now=now + 2 * DAYS)
        soon = now + 3.5 * DAYS
        both = await asyncio.gather(*(deadlines.sweep(pool, settings, now=soon) for _ in range(2)))
        later = await deadlines.sweep(pool, settings, now=soon + timedelta(hours=1))
        waiting = await told(api)
        await handle(api, claim_id, "acknowledge")
        again = await deadlines.sweep(pool, settings, now=now + 13 * DAYS)

        assert (early.reminded, later.reminded) == (0, 0)
        assert sum(each.reminded for each in both) >= 1  # those of other tests, too
        assert waiting == ["claim.reminded"]
        assert (again.reminded >= 1, await told(api)) == (True, ["claim.reminded"] * 2)
        event = await api.owner.fetchrow(
            "SELECT actor_id, actor_role FROM ledger_events WHERE kind = 'claim.reminded' LIMIT 1"
        )
        assert tuple(event) == (None, "system")


async def test_the_reader_of_the_outbox_takes_a_reminder_m2(core: Core) -> None:
    async with core.school() as api, sweeping(core) as (pool, settings):
        await opened(api, (await claimable(api)).attempt_id)
        await deadlines.sweep(pool, settings, now=datetime.now(UTC) + 4 * DAYS)
        waiting = await told(api)

        def read() -> None:
            with connect(core.database_as("veritas_pipeline")) as conn:
                while read_outbox(conn, 1000):
                    pass

        await asyncio.to_thread(read)

        assert (waiting, await told(api)) == (["claim.reminded"], [])


async def test_what_staff_leave_is_disputed_and_what_the_candidate_leaves_expires_m2(core: Core) -> None:
    async with core.school() as api, sweeping(core) as (pool, settings):
        left = await opened(api, (await claimable(api)).attempt_id)
        asked = await acknowledged(api, (await claimable(api)).attempt_id)
        await handle(api, asked, "statements", asks=True)
        sooner = await deadlines.sweep(pool, settings, now=datetime.now(UTC) + 4 * DAYS)
        swept = await deadlines.sweep(pool, settings, now=datetime.now(UTC) + 15 * DAYS)
        late = await own(api, asked, "statements")
        shown = await api.get(f"/api/teacher/claims/{left}", "admin")

        assert (sooner.lapsed == 0, swept.lapsed >= 2) == (True, True)
        assert (await state_of(api, left), await state_of(api, asked)) == ("under_dispute", "expired")
        assert late.status == 409
        assert (shown.body["dispute"]["raised"], shown.body["dispute"]["raised_by"]) == ("system", None)


STUCK = """
CREATE FUNCTION public.stick() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER stick BEFORE UPDATE ON public.claims FOR EACH ROW WHEN (OLD.id = '{}')
    EXECUTE FUNCTION public.stick()
"""
FREE = "DROP TRIGGER stick ON public.claims; DROP FUNCTION public.stick()"


async def test_a_claim_that_cannot_be_moved_holds_up_no_other_m2(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do as many as a page has."""
    monkeypatch.setattr("core_api.sweeping.PAGE", 1)
    async with core.school() as api, sweeping(core) as (pool, settings):
        stuck, left = [await opened(api, (await claimable(api)).attempt_id) for _ in range(2)]
        await api.owner.execute(STUCK.format(stuck))
        try:
            await deadlines.sweep(pool, settings, now=datetime.now(UTC) + 15 * DAYS)
            meanwhile = (await state_of(api, stuck), await state_of(api, left))
        finally:
            await api.owner.execute(FREE)
        await deadlines.sweep(pool, settings, now=datetime.now(UTC) + 15 * DAYS)

        assert meanwhile == ("opened", "under_dispute")
        assert await state_of(api, stuck) == "under_dispute"


async def test_a_resolution_is_disputed_within_its_days_m2(core: Core) -> None:
    async with core.school() as api:
        claim_id = await acknowledged(api, (await claimable(api)).attempt_id)
        await handle(api, claim_id, "resolve")
        await api.owner.execute("ALTER TABLE public.claims DISABLE TRIGGER moved")
        await api.owner.execute("UPDATE claims SET deadline_at = now() WHERE id = $1", claim_id)
        await api.owner.execute("ALTER TABLE public.claims ENABLE TRIGGER moved")
        late = await own(api, claim_id, "dispute")

        assert (late.status, await state_of(api, claim_id)) == (409, "resolved")
        assert "was over" in late.body["detail"]


@pytest.mark.parametrize("state", list(ClaimState))
def test_every_open_state_has_a_deadline_and_a_reminder_before_it_m2(state: ClaimState) -> None:
    now, settings = datetime(2026, 3, 1, tzinfo=UTC), load({}, database_url="postgresql://nowhere")
    times = timing(state, settings, now=now)

    if state in OPEN:
        assert times.deadline_at is not None
        assert times.remind_at is not None
        assert now <= times.remind_at <= times.deadline_at
    else:
        assert times.remind_at is None
        assert (times.deadline_at is None) == (state is not ClaimState.resolved)
    assert timing(ClaimState.resolved, settings, now=now, disputed=True).deadline_at is None
