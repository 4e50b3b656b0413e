"""Texts as they come in: one spelling of accounts; answers judged by their items and kept as they came."""

import unicodedata
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from core_api.attempts.answers import SEQUENCE_BURST
from core_api.identity.passwords import hash_password
from kernel import spelling
from tests.kits.authoring import ITEMS, answer, make_exam, make_question, save, start, submit
from tests.kits.core import PASSWORD, Api, Core, put

DECOMPOSED = "pa\u0308ssword \u00e9 of some length"  # both spellings of an accent
HIDDEN = "\u200b"


async def login(api: Api, email: str, password: str) -> int:
    return (await api.post("/api/auth/login", json={"email": email, "password": password})).status


async def make_user(api: Api, **fields: Any) -> Any:
    body = {"email": f"{uuid4()}@new.example", "role": "student"} | fields
    return await api.post("/api/admin/users", "admin", json=body)


async def test_an_account_is_found_however_its_address_and_password_are_typed(core: Core) -> None:
    async with core.school() as api:
        name = f"a\u0308{uuid4().hex[:8]}"
        made = await make_user(api, email=f" {name}\uff20new.example ", password=DECOMPOSED)
        composed = unicodedata.normalize("NFC", name)

        assert made.body["email"] == f"{composed}@new.example"
        for email in (f"{name}@new.example", f"{composed}@NEW.example".upper()):
            for form in ("NFC", "NFD"):
                assert await login(api, email, unicodedata.normalize(form, DECOMPOSED)) == 200


async def test_an_address_that_would_not_be_stored_any_more_still_signs_in(core: Core) -> None:
    async with core.school() as api:
        old = f"<{uuid4()}@x.example>"
        await api.owner.execute(
            "UPDATE users SET email = $1, username = $1 WHERE id = $2", old, api.people["student"].id
        )

        assert await login(api, old.upper(), PASSWORD) == 200
        made = await make_user(api, email=f"<{uuid4()}@x.example>")
        assert (made.status, made.body["errors"][0]["path"]) == (422, "email")


async def test_a_password_hashed_before_there_was_one_spelling_still_works(core: Core) -> None:
    async with core.school() as api:
        student = api.people["student"]
        hashed = hash_password(DECOMPOSED, 4)
        await api.owner.execute("UPDATE users SET password_hash = $1 WHERE id = $2", hashed, student.id)

        assert unicodedata.normalize("NFC", DECOMPOSED) != DECOMPOSED
        assert await login(api, student.email, DECOMPOSED) == 200
        assert await login(api, student.email, PASSWORD) == 401


@pytest.mark.parametrize("character", ["\n", "\x7f", HIDDEN, "\u202e", "\u2066", "\ufeff", "\ue000"])
@pytest.mark.parametrize("field", ["email", "username", "full_name", "password"])
async def test_what_nobody_sees_is_in_no_account(core: Core, field: str, character: str) -> None:
    async with core.school() as api:
        value = {
            "email": f"a{character}b@new.example",
            "username": f"a{character}b",
            "full_name": f"a{character}b",
            "password": f"{PASSWORD}{character}x",
        }[field]
        made = await make_user(api, **{field: value})

        assert (made.status, [each["path"] for each in made.body["errors"]]) == (422, [field])
        if field in {"username", "full_name"}:
            assert (await put(api, "/api/me", "student", **{field: value})).status == 422


async def test_a_username_is_never_anothers_address_nor_an_address_anothers_username(core: Core) -> None:
    """Whatever the case or the form of the @; the database says the same of whatever forgets to ask."""
    async with core.school() as api:
        victim, own = api.people["teacher"].email, api.people["student"].email
        for taken in (victim, victim.upper(), victim.replace("@", "\uff20"), "nobody@yet.example"):
            assert (await put(api, "/api/me", "student", username=taken)).status == 422
            assert (await make_user(api, username=taken)).status == 422
        assert (await put(api, "/api/me", "student", username=own.upper())).status == 200
        assert (await put(api, "/api/me", "student", username="ada")).status == 200


@pytest.mark.parametrize(("own", "written"), [("νικος", "ΝΙΚΟΣ"), ("İpek", "i̇pek")])
async def test_ones_own_address_as_username_is_the_one_that_is_stored(
    core: Core, own: str, written: str
) -> None:
    """Where Unicode and the database's locale disagree about small letters too."""
    async with core.school() as api:
        email, username = f"{own}@{uuid4().hex}.example", f"{written}@"
        made = await make_user(api, email=email)
        api.people["own"] = msgspec.structs.replace(api.people["student"], id=made.body["id"], email=email)
        changed = await put(api, "/api/me", "own", username=username + email.partition("@")[2])

        assert (changed.status, changed.body["username"]) == (200, email)


async def test_what_the_database_looks_up_as_one_account_is_counted_as_one_a3(core: Core) -> None:
    async with core.school() as api:
        letters = await api.owner.fetch(
            "SELECT chr(n) AS written, lower(chr(n)) AS small FROM generate_series(1, 1114111) AS n"
            " WHERE n NOT BETWEEN 55296 AND 57343 AND lower(chr(n)) <> chr(n)"
        )
        apart = [
            ascii(each["written"])
            for each in letters
            if spelling.counted_as(f"{each['written']}@x") != spelling.counted_as(f"{each['small']}@x")
            # what Python does not know yet, and PostgreSQL may, stands in no account
            and "Cn" not in {unicodedata.category(each["written"]), unicodedata.category(each["small"])}
        ]

        assert len(letters) > 1000
        assert apart == []


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("single_choice", {"choice": "z"}),
    ("single_choice", {"choices": ["b"]}),
    ("single_choice", {"choice": "b\n"}),
    ("multiple_choice", {"choices": ["a", "z"]}),
    ("multiple_choice", {"choices": ["a", "a"]}),
    ("multiple_choice", {"choice": "a"}),
    ("numeric", {"text": "1"}),
    ("numeric", {"number": 1e300}),
    ("short_text", {"number": 1}),
    ("short_text", {"text": "x" * 1001}),
    ("essay", {"choice": "a"}),
    ("essay", {"choices": []}),
]


async def test_no_answer_names_what_its_item_has_not_e1(core: Core) -> None:
    """Neither when it is saved nor with the hand-in; nothing of it is stored."""
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        for kind, response in REFUSED:
            given = answer(made.questions[kind], 1, **response)
            saved = await save(api, attempt_id, given)
            path = f"/api/student/attempts/{attempt_id}/submit"
            handed_in = await api.post(path, "student", json={"answers": [given]})

            assert (saved.status, handed_in.status, kind, response) == (422, 422, kind, response)
        assert (
            await api.owner.fetchval("SELECT count(*) FROM attempt_answers WHERE attempt_id = $1", attempt_id)
            == 0
        )


async def test_an_answers_counter_never_runs_ahead_of_what_a_client_can_reach_d1(core: Core) -> None:
    """Whoever holds the token a moment cannot shut out what the candidate writes afterwards."""
    async with core.school() as api:
        made = await make_exam(api, "essay")
        attempt_id, question = await start(api, made), made.questions["essay"]
        refused = [
            await save(api, attempt_id, answer(question, number, text="Taken."))
            for number in (2**62, 2**53, SEQUENCE_BURST * 2)
        ]
        own = await save(api, attempt_id, answer(question, 1, text="Mine."))

        assert [(each.status, each.body["errors"][0]["path"]) for each in refused] == [
            (422, "answers[0].client_seq")
        ] * 3
        assert own.body["stored"][0]["accepted"] is True


async def test_what_nobody_sees_costs_no_mark_and_stays_in_the_evidence_s3(core: Core) -> None:
    async with core.school() as api:
        accepted = {"content": {"stem": "?"}, "key": {"accepted": [f"Photo{HIDDEN}synthesis"]}}
        ITEMS["short_text"], kept = accepted, ITEMS["short_text"]
        try:
            made = await make_exam(api, "short_text")
        finally:
            ITEMS["short_text"] = kept
        attempt_id, written = await start(api, made), "photosyn\u00adthesis\u200d"
        await save(api, attempt_id, answer(made.questions["short_text"], 1, text=written))
        await submit(api, attempt_id)
        path = f"/api/student/attempts/{attempt_id}"
        attempt, submission = [(await api.get(each, "student")).body for each in (path, f"{path}/submission")]

        assert attempt["percentage"] == 100
        assert f'"text":"{written}"' in submission["content"]


async def test_a_key_that_nobody_could_match_is_refused_e1(core: Core) -> None:
    async with core.school() as api:
        item = {"kind": "short_text", "content": {"stem": "?"}, "key": {"accepted": ["yes", HIDDEN]}}
        made = await api.post("/api/teacher/questions", "teacher", json={"item": item, "points": 1})

        assert (made.status, made.body["errors"][0]["path"]) == (422, "item.key.accepted[1]")
        assert (await make_question(api, "short_text")).status == 201
