"""A person is erased everywhere, and the ledger still proves what is there (spec.md G-2, decision 13)."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import orjson
import psycopg
import pytest
from structlog.testing import capture_logs

from kernel.events import EventType
from kernel.privacy import ErasureStatus, Step
from kernel.storage.opening import open_tiers
from pipeline import archive_told
from pipeline.archive_erased import erased_metadata
from pipeline.ledger.verify import verify
from pipeline.privacy.erasing import erase_due
from pipeline.projections.turns import project
from pipeline.publications import publish_marked
from pipeline.rebuild import rebuild
from sql.running import connect
from tests.integration.core_api.observations.test_amending import amend
from tests.integration.core_api.observations.test_observations import make_form, observe
from tests.kits.access_matrix_world import World, furnish, interrupt, review_twice
from tests.kits.authoring import submit
from tests.kits.branded import (
    ADDRESS,
    WORD,
    brand,
    expected,
    found_in_database,
    found_in_files,
    found_in_redis,
)
from tests.kits.core import Api, DatabaseAs, put, store_events
from tests.kits.core import core_api as serving
from tests.kits.ledger import Log, make_log
from tests.kits.recomputed import contents, published
from tests.kits.reviews import override, review
from tests.kits.warehouse import root_of

# No row of these is made here; each has its statement all the same, which the test below reads.
EMPTY = {
    "launch_uses.address",
    "attempt_answers.response",
    "dead_letters.reason",
    "dead_letters.event",
    "session_quarantines.reason",
    "session_notices.payload",
    "resolutions.text_en",
    "resolutions.text_ar",
    "observation_drafts.content",
    "teacher_profiles.title",
    "teacher_profiles.department",
    "alert_acknowledgements.note",
    "idempotency_keys.key",
    "idempotency_keys.reply",
}


STEPS = (
    "SELECT convert_from(body, 'UTF8')::json -> 'detail' FROM ledger_events"
    " WHERE kind IN ('erasure.advanced', 'erasure.completed') ORDER BY id"
)
THINGS = (
    "SELECT 'attempts', count(*) FROM exam_attempts WHERE student_id = '{0}'"
    " UNION ALL SELECT 'observations', count(*) FROM submission_subjects WHERE subject_id = '{0}'"
    " UNION ALL SELECT 'evidence', count(*) FROM evidence WHERE uploader_id = '{0}'"
)


class StoppedError(Exception):
    """The worker was killed."""


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(
        database, database_as, tmp_path,
        warehouse=str(tmp_path / "warehouse"), evidence_store=str(tmp_path / "hot"),
        evidence_cold_store=str(tmp_path / "cold"), erasure_settled_s=0, build_grace_s=0, cohort_settled_s=0,
        cohort_every_s=0,
    )  # fmt: skip


@pytest.fixture
async def world(database: str, database_as: DatabaseAs, log: Log) -> AsyncIterator[World]:
    """A candidate with something in every place, all of it over."""
    stores = {name: getattr(log.settings, name) for name in ("evidence_store", "evidence_cold_store")}
    async with serving(database, database_as, **stores) as api:
        made = await furnish(api)
        student = made.parameters["user_id"]
        await put(api, f"/api/admin/users/{student}/student-profile", "admin", enrollment_id=f"{WORD}-7")
        await override(api, int(made.parameters["decision_id"]), 4, decisionReasonEn="Seen.")
        await interrupt(made)
        await review_twice(made)
        assert (await review(api, int(made.parameters["doubled_session_id"]), 3)).status == 200
        session_id = int(made.parameters["id"])
        weight = {"ruleId": int(made.parameters["rule_id"]), "percent": 50, "reason": "Agreed."}
        path = f"/api/proctor/session/{session_id}/risk/adjustments"
        assert (await api.post(path, "teacher", json=weight)).status == 201
        path = f"/api/teacher/submissions/{made.parameters['submission_id']}/grades"
        graded = {"grades": [{"position": 1, "points": 1}], "reason": "Read again."}
        assert (await api.post(path, "teacher", json=graded)).status == 201
        said = {"verdict": "returned", "reason": "Which bench?"}
        path = f"/api/teacher/observations/{made.parameters['observation_id']}/reviews"
        assert (await api.post(path, "teacher", json=said)).status == 201
        kinds = [(EventType.Heartbeat, 0), (EventType.Other, 1), (EventType.PasteAttempt, 2)] * 5
        await store_events(api, session_id, kinds)
        assert (await refuses(api, student)).endswith("wait until it has ended.")
        assert (await submit(api, made.parameters["attempt_id"])).status in {200, 201}
        for attempt_id in await api.owner.fetch(
            "SELECT id FROM exam_attempts WHERE status = 'in_progress' AND student_id = $1",
            api.people["student"].id,
        ):
            assert (await submit(api, str(attempt_id["id"]))).status in {200, 201}
        assert (await refuses(api, student)).endswith("has to be closed first.")
        bundle = await api.post(f"/api/student/claims/{made.parameters['claim_id']}/bundle", "student")
        assert bundle.status == 201, bundle.body
        withdrawn = await api.post(f"/api/student/claims/{made.parameters['claim_id']}/withdraw", "student")
        assert withdrawn.status == 200, withdrawn.body
        assert (await refuses(api, student)).endswith("has to be lifted first.")
        lifted = f"/api/admin/legal-holds/{made.parameters['hold_id']}/lift"
        assert (await api.post(lifted, "admin", json={"reason": "It is over."})).status == 200
        yield made


async def refuses(api: Api, student: str) -> str:
    """Ask for the erasure of somebody who cannot be erased yet; return what is said of it."""
    answer = await api.post(f"/api/admin/users/{student}/erasure", "admin")
    assert (answer.status, answer.body["code"]) == (409, "conflict")
    return str(answer.body["detail"])


def erase(log: Log, *, after: timedelta = timedelta(0), stop_at: int | None = None) -> int:
    """Take the steps that can be taken; stop in front of a report, as a worker that is killed."""
    reports = 0

    def report(_: str) -> None:
        nonlocal reports
        if reports == stop_at:
            raise StoppedError
        reports += 1

    with connect(log.settings.database_url) as conn:
        now = datetime.now(UTC) + after
        return erase_due(conn, open_tiers(log.settings), log.settings, now=now, report=report)


def settle(log: Log) -> None:
    """Compute what is marked, and publish it."""
    for _ in range(6):
        project(log.settings, seconds_max=60)
    publish_marked(log.settings)


def state(log: Log) -> tuple[str, str]:
    ((status, step),) = log.rows("SELECT status, step FROM erasures")
    return status, step


async def test_nothing_says_who_it_was_and_the_ledger_holds_g2(
    world: World, log: Log, redis_url: str, tmp_path: Path
) -> None:
    api, student = world.api, world.parameters["user_id"]
    branded = brand(log.owner_url, student)
    assert expected(without=EMPTY) - branded == set()
    rebuild(log.settings)
    assert found_in_files(tmp_path / "warehouse", WORD) != []
    others = log.rows(
        f"SELECT id, email, full_name, password_hash FROM users WHERE id <> '{student}' ORDER BY id"
    )
    scores = log.rows(
        "SELECT submission_id, revision, points, score, item_points FROM submission_scores ORDER BY 1, 2"
    )

    with capture_logs() as lines:
        assert (await api.get(f"/api/admin/users/{student}", "admin")).body["full_name"] == WORD
        asked = await api.post(f"/api/admin/users/{student}/erasure", "admin")
        again = await api.post(f"/api/admin/users/{student}/erasure", "admin")
        assert (asked.status, again.status, again.body["id"]) == (201, 200, asked.body["id"])
        erase(log)
        assert state(log) == (ErasureStatus.running, Step.projections)
        settle(log)
        erase(log, after=timedelta(seconds=1))

    assert [line for line in lines if WORD in str(line) or ADDRESS in str(line)] == []
    assert state(log) == (ErasureStatus.done, Step.done)
    words = (WORD, ADDRESS)
    assert set(found_in_database(log.owner_url, *words)) == set()
    assert found_in_files(tmp_path / "warehouse", *words) == []
    assert found_in_redis(redis_url, *words) == []
    assert [
        path
        for tier in ("hot", "cold")
        for path in (tmp_path / tier / "evidence").rglob("*")
        if path.is_file()
    ] == []
    assert (
        log.rows(f"SELECT id, email, full_name, password_hash FROM users WHERE id <> '{student}' ORDER BY id")
        == others
    )
    assert (
        log.rows(
            "SELECT submission_id, revision, points, score, item_points FROM submission_scores ORDER BY 1, 2"
        )
        == scores
    )
    log.seal()
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == []
    with log.connect() as conn:
        assert archive_told.check(conn, root_of(log.settings)).findings == []
    told = (await api.get(f"/api/admin/users/{student}/erasure", "admin")).body
    assert told["taken"]["users"] == 1
    assert told["waits_for"] is None

    publish_marked(log.settings)  # what was sealed since
    before, files = contents(log.owner_url), published(log.settings)
    rebuild(log.settings)
    assert contents(log.owner_url) == before
    assert {name: len(parts) for name, parts in published(log.settings).items()} == {
        name: len(parts) for name, parts in files.items()
    }
    assert found_in_files(tmp_path / "warehouse", *words) == []


async def test_killed_between_any_two_steps_it_goes_on_where_it_was_and_takes_nothing_twice(
    world: World, log: Log
) -> None:
    student = world.parameters["user_id"]
    brand(log.owner_url, student)
    rebuild(log.settings)
    assert (await world.api.post(f"/api/admin/users/{student}/erasure", "admin")).status == 201
    things = dict(log.rows(THINGS.format(student)))
    stops = 0
    while True:
        try:
            erase(log, stop_at=stops % 19)
        except StoppedError:
            stops += 1
            continue
        break
    settle(log)
    erase(log, after=timedelta(seconds=1))

    assert stops > 10
    assert state(log) == (ErasureStatus.done, Step.done)
    assert found_in_database(log.owner_url, WORD) == []
    steps = [detail for (detail,) in log.rows(STEPS)]
    counted = Counter(each["step"] for each in steps)
    # a step for each thing, and one more where there is no other
    assert counted == {
        "account": 1, "attempts": things["attempts"] + 1, "observations": things["observations"] + 1,
        "evidence": things["evidence"] + 1, "archive": 1, "projections": 1, "builds": 1,
    }  # fmt: skip
    taken = Counter[str]()
    for each in steps:
        taken.update(each["taken"])
    assert log.rows("SELECT taken FROM erasures") == [(dict(taken),)]
    assert taken["evidence"] == things["evidence"]
    log.seal()
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == []


async def test_an_amendment_of_an_observation_of_somebody_erased_is_read_still_m4(
    world: World, log: Log
) -> None:
    api, student = world.api, world.parameters["user_id"]
    form = await make_form(api)
    first = (await observe(api, form)).body["submission_id"]
    said = {"verdict": "returned", "reason": "Which bench?"}
    path = f"/api/teacher/observations/{first}/reviews"
    assert (await api.post(path, "teacher", json=said)).status == 201
    amended = await amend(api, form, first)
    assert amended.status == 201, amended.body
    assert (await api.post(f"/api/admin/users/{student}/erasure", "admin")).status == 201
    erase(log)
    assert log.rows(f"SELECT subject_id::text FROM submission_subjects WHERE submission_id = '{first}'") == [
        (student,)
    ]
    second = amended.body["submission_id"]
    for path, by in (("teacher", "teacher"), ("observer", "observer")):
        answer = await api.get(f"/api/{path}/observations/{second}", by)
        assert answer.status == 200, answer.body
        shown = answer.body.get("observation", answer.body)
        assert (shown["amends"], shown["amendment_reason"]) == (first, None)


async def test_what_is_kept_for_ever_gives_way_to_a_step_alone(world: World, log: Log) -> None:
    student = world.parameters["user_id"]
    assert (await world.api.post(f"/api/admin/users/{student}/erasure", "admin")).status == 201
    with psycopg.connect(log.owner_url) as conn:
        for statement in (
            "UPDATE submission_items SET response = '{}'",
            "UPDATE submissions SET content = ''",
            "UPDATE decision_acts SET reason_en = 'other'",
            "UPDATE session_commands SET text_en = 'other'",
            "UPDATE attempt_pauses SET reason = 'other'",
            "DELETE FROM erasures",
            "SELECT erase_account()",
        ):
            conn.execute("SELECT set_config('veritas.erasure', (SELECT id::text FROM erasures), true)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement.encode())
            conn.rollback()
    for url in (log.core_url, log.settings.database_url):
        asking = await asyncpg.connect(url)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asking.execute("UPDATE erasures SET status = 'done'")
        await asking.close()
    unlocked = await world.api.post(f"/api/admin/users/{student}/unlock", "admin")
    assert unlocked.status == 409
    own = await world.api.post(f"/api/admin/users/{world.api.people['admin'].id}/erasure", "admin")
    assert own.status == 409


async def test_recordings_of_a_running_session_are_waited_for(world: World, log: Log) -> None:
    """Events of a session may be on their way for a while after its end."""
    student = world.parameters["user_id"]
    assert (await world.api.post(f"/api/admin/users/{student}/erasure", "admin")).status == 201
    settings = msgspec.structs.replace(log.settings, erasure_settled_s=3_600)
    with connect(settings.database_url) as conn:
        steps = erase_due(conn, open_tiers(settings), settings, now=datetime.now(UTC))

    assert (steps, state(log)) == (1, (ErasureStatus.running, Step.attempts))


@pytest.mark.parametrize(
    "payload",
    [
        "null",
        "[1]",
        "{}",
        '{"text": "a name"}',
        '{"text": "né", "characters": 9}',
        '{"text": "n", "characters": "n"}',
        '{"durationMs": 4.5, "blocked": true, "note": "n", "n": {"text": "n"}}',
        '{"offset": "n", "characters": true, "text": "ab"}',
        '{"questionId": "01890a5d-ac96-774b-bcce-b302099a8057", "question_id": "a name", "question": 3}',
        '{"question": true, "inserted": null, "pauses": [1]}',
    ],
)
def test_a_row_and_its_copy_in_the_archive_lose_the_same(database: str, payload: str) -> None:
    with psycopg.connect(database) as conn:
        kept = conn.execute("SELECT erased_metadata(%s::jsonb)::text", (payload,)).fetchall()[0][0]
    other = erased_metadata(payload)

    assert (None if kept is None else orjson.loads(kept)) == (None if other is None else orjson.loads(other))
