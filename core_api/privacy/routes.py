"""A person's own data: what is held of it, and its erasure, as an admin asks for it."""

from functools import partial
from typing import Any, Final

from core_api.cases import case
from core_api.privacy import erasures, held_about
from kernel.access import Action
from kernel.errors import NotFoundError, OverloadedError, RateLimitedError
from kernel.http.headers import CONTENT_DISPOSITION
from kernel.http.web import OWN, Route, Shows

EXPORT: Final[Any] = partial(
    Route, method="GET", reply=bytes, media_type=held_about.ARCHIVE_TYPE, sends=(CONTENT_DISPOSITION,),
)  # fmt: skip
REFUSES: Final = {
    RateLimitedError: "another export of yours is under way",
    OverloadedError: "as many exports are under way as may be",
}

ROUTES: Final = (
    EXPORT(
        path="/me/data", name="export_own_data", handler=held_about.export_own, action=Action.own_data_export,
        tag="Authentication", shows=OWN, refuses=REFUSES,
    ),
    EXPORT(
        path="/admin/users/{user_id}/data", name="export_person", handler=held_about.export_held,
        action=Action.person_export, tag="Admins", shows=held_about.SHOWS, query=held_about.Wanted,
        refuses={NotFoundError: "not of the organisation", **REFUSES},
    ),
    case(
        "POST /admin/users/{user_id}/erasure",
        erasures.request,
        Action.person_erase,
        name="erase_person",
        shows=Shows("erasure", "user_id", "user_id"),
        says="""
        Erase a person: they are locked out at once, and names, addresses, texts and files go everywhere, step
        by step. Statistics, scores and the ledger stay, under an id that leads to nobody. It cannot be taken
        back. Asked again, the same erasure (200).
        """,
    ),
    case(
        "GET /admin/users/{user_id}/erasure",
        erasures.fetch,
        Action.person_erase,
        name="get_erasure",
        shows=Shows("erasure", "user_id", "user_id"),
        says="Return where a person's erasure is, and what has gone so far; 404 where nobody has asked.",
    ),
)  # fmt: skip
