"""
Candidates' own programmes: what each asks, and how far they are (spec.md M-3).
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from core_api.actors import Actor
from core_api.database import Connection, fetch_page, of_row
from core_api.programmes.enrolments import QUERIES, RequirementProgress, progress_of
from core_api.programmes.programmes import asked
from core_api.programmes.states import EnrolmentState
from core_api.wire import ListPage, Page
from kernel.programmes import AnyRequirement

TEXTS: Final = {
    EnrolmentState.active: (
        "You have not met all requirements of this programme yet.",
        "لم تستوفِ بعد جميع متطلبات هذا البرنامج.",
    ),
    EnrolmentState.completed: ("You have completed this programme.", "لقد أكملت هذا البرنامج."),
    EnrolmentState.revoked: (
        "You had completed this programme, but a requirement is no longer met.",
        "كنت قد أكملت هذا البرنامج، لكن أحد المتطلبات لم يعد مستوفى.",
    ),
    EnrolmentState.withdrawn: (
        "You are no longer enrolled in this programme.",
        "لم تعد مسجلاً في هذا البرنامج.",
    ),
}


class OwnProgramme(msgspec.Struct, frozen=True, kw_only=True):
    """A programme that the caller is or was enrolled in: what its version asks, and their progress."""

    enrolment_id: UUID
    programme_id: UUID
    title: str
    title_ar: str | None
    version: int
    state: EnrolmentState
    state_text_en: str
    state_text_ar: str
    enrolled_at: datetime
    state_at: datetime
    requirements: list[AnyRequirement]
    progress: list[RequirementProgress]


class OwnProgrammes(Page, frozen=True, kw_only=True):
    """A page of the caller's programmes, newest first; `next_cursor` is null on the last page."""

    programmes: list[OwnProgramme]


async def list_own(conn: Connection, actor: Actor, query: ListPage) -> OwnProgrammes:
    """Return a page of the caller's programmes."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_own_enrolments", key="enrolment_id", user_id=actor.user_id
    )
    found = await progress_of(conn, [row["enrolment_id"] for row in page])
    return OwnProgrammes(
        programmes=[
            of_row(
                row,
                OwnProgramme,
                state_text_en=TEXTS[EnrolmentState(row["state"])][0],
                state_text_ar=TEXTS[EnrolmentState(row["state"])][1],
                requirements=asked(row["requirements"]),
                progress=found.get(row["enrolment_id"], []),
            )
            for row in page
        ],
        next_cursor=following,
    )
