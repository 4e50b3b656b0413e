"""A programme's certificate, as the stand-alone verifier checks it (spec.md M-3, decision 6)."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core_api.database import ask_as_system
from core_api.ledger.entries import erase_person
from deploy.verify_export import verify_proven
from kernel.ledger.checkpoints import verifier_keys
from tests.kits.core import Answer, Api, DatabaseAs, core_api
from tests.kits.ledger import Log, make_log
from tests.kits.programmes import asks, enrol, judge, published
from tests.kits.reviews import Ended, decide, end_attempt, make_reviewed_exam
from tests.kits.secrecy import tells

VERIFIED, WRONG, _, NOT_VERIFIED, _ = range(5)


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


async def certificate(api: Api, enrolment_id: str, method: str = "GET", by: str = "student") -> Answer:
    return await api.call(method, f"/api/student/programmes/{enrolment_id}/certificate", by)


async def completed(api: Api, as_role: DatabaseAs) -> tuple[str, Ended]:
    """Let the student complete a programme; return their enrolment, and what it rests on."""
    made = await make_reviewed_exam(api)
    programme_id = await published(api, asks(made.exam_id, must_pass=True))
    await enrol(api, programme_id, "student", "other_student")
    ended = await end_attempt(api, made)
    await judge(as_role)
    mine = (await api.get("/api/student/programmes", "student")).body["programmes"]
    assert [each["state"] for each in mine] == ["completed"]
    return mine[0]["enrolment_id"], ended


def checked(log: Log, folder: Path, document: Any) -> tuple[int, str]:
    """Return the verifier's exit code, and what it says."""
    (path := folder / "certificate.json").write_text(json.dumps(document))
    verdict = verify_proven("certificate", str(path), [], verifier_keys(log.keys), [str(log.witness)], [])
    return verdict.code(), "\n".join(verdict.lines())


async def test_a_certificate_is_checked_offline_and_names_what_was_altered_m3(
    database: str, database_as: DatabaseAs, log: Log, tmp_path: Path
) -> None:
    async with core_api(database, database_as) as api:
        enrolment_id, _ = await completed(api, database_as)
        none_yet = await certificate(api, enrolment_id)
        fresh = await certificate(api, enrolment_id, "POST")
        log.seal()
        whole = (await certificate(api, enrolment_id)).body

    assert (none_yet.status, fresh.status) == (404, 201)
    assert checked(log, tmp_path, fresh.body)[0] == NOT_VERIFIED
    code, said = checked(log, tmp_path, whole)
    assert (code, "Programming, version 1: completed 2" in said, ", witnessed" in said) == (
        VERIFIED,
        True,
        True,
    )
    assert "not revoked when it was certified at" in said
    changes: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("the holder's name", lambda each: each["holder"].update(full_name="Somebody Else")),
        ("the holder's id", lambda each: each["holder"].update(user_id=each["event_id"])),
        ("title: ", lambda each: each["facts"].update(title="Medicine")),
        ("state: ", lambda each: each["facts"].pop("state")),
        ("grade: ", lambda each: each["facts"].update(grade="A")),
        ("requirements: ", lambda each: each.update(requirements="[]")),
        ("certified_at: ", lambda each: each.update(certified_at="2030-01-01T00:00:00Z")),
        ("not about this document", lambda each: each.update(enrolment_id=each["event_id"])),
        ("the proof is too", lambda each: each["ledger"].update(position=0)),
        ("its leaf_hash", lambda each: each["ledger"].update(leaf_hash="00")),
        ("version 2 is not known", lambda each: each.update(veritas_certificate=2)),
        ("cannot be read", lambda each: each.pop("ledger")),
    )
    for name, change in changes:
        other = copy.deepcopy(whole)
        change(other)
        code, said = checked(log, tmp_path, other)
        assert (code, name in said, said) == (WRONG, True, said)


async def test_a_revoked_completion_is_certified_as_such_and_the_former_served_no_more_m3(
    database: str, database_as: DatabaseAs, log: Log, tmp_path: Path
) -> None:
    async with core_api(database, database_as) as api:
        enrolment_id, ended = await completed(api, database_as)
        await certificate(api, enrolment_id, "POST")
        assert (await decide(api, ended.session_id, 4, finalize=True)).status == 200
        await judge(database_as)
        former = await certificate(api, enrolment_id)
        await certificate(api, enrolment_id, "POST")
        log.seal()
        revoked = (await certificate(api, enrolment_id)).body

    assert (former.status, "make a new certificate" in former.body["detail"]) == (409, True)
    code, said = checked(log, tmp_path, revoked)
    assert (code, ": revoked 2" in said) == (NOT_VERIFIED, True)


async def test_a_certificate_is_the_holders_alone_and_tells_no_judgement_decision_6(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        enrolment_id, _ = await completed(api, database_as)
        made = await certificate(api, enrolment_id, "POST")
        methods = ("GET", "POST")
        others = [
            (await certificate(api, enrolment_id, each, by)).status
            for each in methods
            for by in ("other_student", "stranger", "teacher")
        ]
        open_one = await api.owner.fetchval(
            "SELECT id FROM programme_enrolments WHERE user_id = $1", api.people["other_student"].id
        )
        early = await certificate(api, open_one, "POST", "other_student")
        body = await api.owner.fetchval(
            "SELECT convert_from(body, 'UTF8') FROM ledger_events"
            " WHERE kind = 'programme_enrolment.certified'"
        )
        await ask_as_system(api.owner)
        await erase_person(api.owner, api.people["student"].id)
        erased = await certificate(api, enrolment_id)

    assert others == [404, 404, 403] * 2
    assert (early.status, "active" in early.body["detail"]) == (409, True)
    assert [name for name in (*made.body, *made.body["facts"], *made.body["holder"]) if tells(name)] == []
    assert made.body["holder"]["full_name"] not in body
    assert erased.status == 404
