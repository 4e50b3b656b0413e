"""Every act of the API, from the route list and the access matrix, and how somebody who may does it."""

from typing import Any, Final

from core_api.app import routes
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import World
from tests.kits.core import Answer

Key = tuple[str, str]
# of those who may: an observer is asked for what only observers do
ACTORS: Final = ("teacher", "admin", "student", "observer")
LAST: Final = (
    "archive",
    "revoke",
    "cancel",
    "terminate",
    "/end",
    "lock",
    "role",
    "DELETE",
    "submit",
    "logout",
    "password",
    "unpublish",
    "escalate",
    "POST /admin/users/{user_id}/erasure",
    "amendments",
    "PATCH",
)


def acts() -> list[Key]:
    """Return what changes something and needs a token; what takes away what others need comes last."""
    found = {(route.method, route.path) for route in routes() if route.method != "GET" and route.action}
    return sorted(found, key=lambda at: (takes_away(at), at))


def takes_away(at: Key) -> bool:
    """Tell whether an act takes away what others need."""
    return any(word in " ".join(at) for word in LAST)


async def act(world: World, at: Key, body: Any, headers: dict[str, str]) -> Answer:
    """Send it as somebody who may, with the headers that its row has and these."""
    row = MATRIX[at]
    # In the matrix's world there may be nothing to undo yet: then whoever is not forbidden to.
    person = min(ACTORS, key=lambda name: (row.expected.get(name, 500) >= 300, name not in row.expected))
    names = world.parameters | {name: world.parameters[other] for name, other in row.path.items()}
    path = "/api" + at[1].format(**names)
    return await world.api.call(at[0], path, person, json=body, headers=row.headers | headers)
