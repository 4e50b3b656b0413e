"""An appeal's bundle, as the stand-alone verifier checks it (spec.md M-2, decision 6)."""

import copy
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.verify_export import verify_proven
from kernel.ledger.checkpoints import verifier_keys
from tests.kits import evidence
from tests.kits.authoring import save_all_right, start, submit
from tests.kits.claims import acknowledged, handle
from tests.kits.core import Api, DatabaseAs, core_api, put
from tests.kits.ledger import Log, make_log
from tests.kits.reviews import REASON, decide, make_reviewed_exam

VERIFIED, WRONG, _, NOT_VERIFIED, _ = range(5)


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


async def judged(api: Api) -> tuple[str, str]:
    """Let the student send evidence, hand in, be invalidated, and claim; return the exam and the claim."""
    made = await make_reviewed_exam(api)
    attempt_id = await start(api, made)
    session_id = await api.start_session(attempt_id=attempt_id)
    await evidence.sent(api, session_id)
    warned = {"textEn": "Sit down."}
    await api.post(f"/api/proctor/session/{session_id}/warn", "teacher", json=warned)
    await save_all_right(api, made, attempt_id)
    await submit(api, attempt_id)
    await decide(api, session_id, 4, finalize=True)
    claim_id = await acknowledged(api, attempt_id, subject="decision")
    await handle(api, claim_id, "resolve", "admin")
    return made.exam_id, claim_id


async def bundle(api: Api, claim_id: str, method: str = "GET") -> Any:
    answer = await api.call(method, f"/api/student/claims/{claim_id}/bundle", "student")
    assert answer.status in {200, 201}, answer.body
    return answer.body


def part(document: Any, name: str) -> Any:
    return json.loads(document["parts"][name])


async def test_a_bundle_is_checked_offline_and_names_what_was_altered_m2(
    database: str, database_as: DatabaseAs, log: Log, tmp_path: Path
) -> None:
    def check(document: Any) -> tuple[int, str]:
        (path := tmp_path / "bundle.json").write_text(json.dumps(document))
        verdict = verify_proven("appeal", str(path), [], verifier_keys(log.keys), [str(log.witness)], [])
        return verdict.code(), "\n".join(verdict.lines())

    async with core_api(database, database_as) as api:
        _, claim_id = await judged(api)
        none_yet = await api.get(f"/api/student/claims/{claim_id}/bundle", "student")
        fresh = await bundle(api, claim_id, "POST")
        log.seal()
        whole = await bundle(api, claim_id)

    assert none_yet.status == 404
    assert check(fresh)[0] == NOT_VERIFIED
    code, said = check(whole)
    assert (code, "6 parts" in said, ", witnessed" in said) == (VERIFIED, True, True)
    for name in whole["parts"]:
        other = copy.deepcopy(whole)
        other["parts"][name] += " "
        assert check(other) == (WRONG, f"WRONG: part {name}: it was altered")
    changes: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("not there", lambda each: each["parts"].pop("views")),
        ("does not have it", lambda each: each["parts"].update(more="[]")),
        ("does not hash to manifest_sha256", lambda each: each.update(manifest=each["manifest"] + " ")),
        ("number of the bundle", lambda each: each.update(number=2)),
        ("claim_id of the bundle", lambda each: each.update(claim_id=each["event_id"])),
        ("the ledger's event is not", lambda each: each.update(event_id=each["claim_id"])),
        ("the proof is too", lambda each: each["ledger"].update(position=0)),
        ("its leaf_hash", lambda each: each["ledger"].update(leaf_hash="00")),
        ("cannot be read", lambda each: each.pop("ledger")),
    )
    for name, change in changes:
        other = copy.deepcopy(whole)
        change(other)
        code, said = check(other)
        assert (code, name in said, said) == (WRONG, True, said)

    for where, changed in changed_somewhere(whole):
        assert check(changed)[0] in {WRONG, NOT_VERIFIED}, where
    twice = json.dumps(whole).replace('{"veritas_appeal"', '{"number": 2, "veritas_appeal"', 1)
    (path := tmp_path / "twice.json").write_text(twice)
    assert (
        verify_proven("appeal", str(path), [], verifier_keys(log.keys), [str(log.witness)], []).code()
        == WRONG
    )


def changed_somewhere(whole: Any) -> Iterator[tuple[str, Any]]:
    """Yield a bundle once for each of its members and a change: without it, with another, with one beside."""

    def places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        if isinstance(value, dict):
            yield (*path, "beside")
            for name, each in value.items():
                yield (*path, name)
                yield from places(each, (*path, name))

    for path in places(whole, ()):
        for change in ("without", "another"):
            other = copy.deepcopy(whole)
            holder = functools.reduce(lambda held, name: held[name], path[:-1], other)
            if change == "another":
                holder[path[-1]] = "something else"
            elif path[-1] in holder:
                del holder[path[-1]]
            else:
                continue
            yield f"{change} {'.'.join(path)}", other


async def test_a_bundle_holds_what_was_judged_only_where_the_policy_releases_it_decision_6(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        exam_id, claim_id = await judged(api)
        kept = await bundle(api, claim_id, "POST")
        path = f"/api/teacher/exams/{exam_id}/claim-policy"
        await put(api, path, "teacher", window_days=14, releases_judgement=True)
        released = await bundle(api, claim_id, "POST")
        staff = [api.people[name] for name in ("teacher", "reviewer", "admin")]

    assert kept["parts"].keys() == {"claim", "receipt", "scores", "evidence", "timeline", "views"}
    assert released["parts"].keys() - kept["parts"].keys() == {"decisions", "trace"}
    assert REASON not in json.dumps(kept)
    assert [(each["status"], each["reason_en"]) for each in part(released, "decisions")] == [
        ("Invalidated", REASON)
    ]
    for document in (kept, released):
        told = json.dumps(document)
        assert [who for who in staff if str(who.id) in told or who.email in told] == []
    assert (kept["number"], released["number"]) == (1, 2)
    happened = [each["what"] for each in part(kept, "timeline")]
    assert {"attempt began", "session began", "told: warn", "handed in by candidate", "session ended"} < set(
        happened
    )
    assert happened[-1] == "result made void"
    assert [len(each["sha256"]) for each in part(kept, "evidence")] == [64]
    assert part(kept, "claim")["resolutions"][0]["outcome"] == "rejected"
    assert part(kept, "receipt")["receipt"]["attempt_id"] == json.loads(kept["manifest"])["attempt_id"]
    assert [each["score"] for each in part(kept, "scores")] == [100.0]


async def test_who_looked_is_in_a_bundle_by_role_and_nobody_else_gets_one_m2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, ledger_view_window_s=1) as api:
        _, claim_id = await judged(api)
        await api.get(f"/api/teacher/claims/{claim_id}", "reviewer")
        others = [
            (await api.call(method, f"/api/student/claims/{claim_id}/bundle", by)).status
            for method in ("GET", "POST")
            for by in ("other_student", "stranger")
        ]
        seen = "SELECT count(*) FROM ledger_events WHERE kind = 'claim.viewed' AND actor_role = 'reviewer'"
        while not await api.owner.fetchval(seen):
            pass
        views = part(await bundle(api, claim_id, "POST"), "views")
        for _ in range(9):
            await bundle(api, claim_id, "POST")
        over = await api.post(f"/api/student/claims/{claim_id}/bundle", "student")

    assert ("claim.viewed", "reviewer") in [(each["what"], each["role"]) for each in views]
    assert others == [404] * 4
    assert over.status == 409


async def test_files_are_the_candidates_where_the_policy_releases_them_and_are_held_against_the_bundle_m2(
    database: str, database_as: DatabaseAs, log: Log, tmp_path: Path
) -> None:
    async with core_api(database, database_as) as api:
        exam_id, claim_id = await judged(api)
        piece = await api.owner.fetchval("SELECT id FROM evidence")
        path = f"/api/student/claims/{claim_id}/evidence/{piece}/download-url"
        kept = await api.get(path, "student")
        policy = f"/api/teacher/exams/{exam_id}/claim-policy"
        await put(api, policy, "teacher", window_days=14, releases_files=True)
        given = await api.get(path, "student")
        others = [(await api.get(path, by)).status for by in ("other_student", "teacher")]
        none = await api.get(path.replace(str(piece), str(piece + 1)), "student")
        async with api.http.get(api.url + given.body["downloadUrl"]) as reply:
            fetched = await reply.read()
        await bundle(api, claim_id, "POST")
        log.seal()
        (saved := tmp_path / "bundle.json").write_text(json.dumps(await bundle(api, claim_id)))
        told = await api.owner.fetch(
            "SELECT kind, actor_role FROM ledger_events WHERE kind = 'evidence.granted'"
        )

    (film := tmp_path / "film.webm").write_bytes(fetched)
    (other := tmp_path / "other.webm").write_bytes(fetched[:-1] + b"?")
    found = [
        verify_proven("appeal", str(saved), [str(each)], verifier_keys(log.keys), [str(log.witness)], [])
        for each in (film, other)
    ]
    assert (kept.status, given.status, others, none.status) == (403, 200, [404, 403], 404)
    assert [tuple(row) for row in told] == [("evidence.granted", "student")]
    assert [each.code() for each in found] == [VERIFIED, WRONG]
    assert f"film.webm is evidence {piece}" in "\n".join(found[0].lines())
    assert "is none of this evidence" in "\n".join(found[1].lines())


async def test_a_file_that_went_by_policy_is_a_410_and_bundles_say_so_and_verify_g1(
    database: str, database_as: DatabaseAs, log: Log, tmp_path: Path
) -> None:
    async with core_api(database, database_as) as api:
        exam_id, claim_id = await judged(api)
        piece = await api.owner.fetchval("SELECT id FROM evidence")
        policy = f"/api/teacher/exams/{exam_id}/claim-policy"
        await put(api, policy, "teacher", window_days=14, releases_files=True)
        given = await api.get(f"/api/student/claims/{claim_id}/evidence/{piece}/download-url", "student")
        async with api.http.get(api.url + given.body["downloadUrl"]) as reply:
            (film := tmp_path / "film.webm").write_bytes(await reply.read())
        await api.owner.execute("UPDATE evidence SET gone_at = now()")
        again = await api.get(f"/api/student/claims/{claim_id}/evidence/{piece}/download-url", "student")
        await bundle(api, claim_id, "POST")
        log.seal()
        (saved := tmp_path / "bundle.json").write_text(json.dumps(await bundle(api, claim_id)))

    keys, witness = verifier_keys(log.keys), [str(log.witness)]
    found = verify_proven("appeal", str(saved), [str(film)], keys, witness, [])
    assert (again.status, again.body["code"]) == (410, "gone")
    assert found.code() == VERIFIED
    assert f"film.webm is evidence {piece}" in "\n".join(found.lines())
    assert f"evidence {piece}: its file went by policy at " in "\n".join(found.lines())
