"""A simulated candidate's answer sheet against the real API (spec.md D-1, S-1)."""

import random
from uuid import UUID

import pytest

from loadtests.client.paper import ITEMS
from loadtests.client.sheet import Sheet
from loadtests.client.stack import StackError, open_exam, write_paper
from tests.kits.authoring import stored
from tests.kits.core import Api, DatabaseAs, core_api


async def sheet_of(api: Api) -> Sheet:
    """Have an exam written and started, and its paper opened."""
    teacher = api.token("teacher")
    paper = await write_paper(api.http, api.url, teacher, "Paper", ITEMS)
    exam_id = await open_exam(api.http, api.url, teacher, "Exam", paper=paper.version_id)
    attempt = await api.post(f"/api/student/exams/{exam_id}/start", "student")
    token, attempt_id = api.token("student"), UUID(attempt.body["attempt_id"])
    sheet = Sheet(api.http, api.url, attempt_id, token, random.Random(1))
    await sheet.open()
    return sheet


async def test_drafts_are_saved_once_each_and_the_rest_goes_with_the_hand_in(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        sheet = await sheet_of(api)
        for question in (1, 2, 3, 3, 1):
            sheet.write(question, keys=5)
        await sheet.save()
        await sheet.save()
        assert sheet.drafts == 3
        assert len(await stored(api, str(sheet.attempt_id))) == 3
        sheet.write(4)
        sheet.finish()
        await sheet.hand_in()

        assert 20 < len(await stored(api, str(sheet.attempt_id))) <= len(ITEMS)
        assert sheet.receipt["submitted_by"] == "candidate"
        assert await sheet.hand_in_again()
        assert (await sheet.fetch_receipt())["receipt"]["submission_id"] == sheet.receipt["submission_id"]


async def test_what_the_network_lost_is_saved_later(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as) as api:
        sheet = await sheet_of(api)
        sheet.write(1)
        away, sheet.url = sheet.url, "http://127.0.0.1:9"
        with pytest.raises(StackError):
            await sheet.save()
        assert sheet.drafts == 0
        sheet.url = away
        await sheet.save()

        assert sheet.drafts == 1
