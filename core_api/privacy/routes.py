"""A person's own data, as an admin asks for its erasure."""

from typing import Final

from core_api.cases import case
from core_api.privacy import erasures
from kernel.access import Action
from kernel.http.web import Shows

ROUTES: Final = (
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
)
