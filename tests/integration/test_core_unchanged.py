"""
An act that changes nothing leaves nothing on the ledger, which is never purged (spec.md L-1).

The routes come from the route list: each is sent twice with equal values and without an Idempotency-Key. What
makes something new each time stands in NEW, with the reason.
"""

from typing import Any, Final

from core_api.app import routes
from pipeline.outbox import WAKES
from tests.integration.access_matrix import MATRIX
from tests.integration.access_matrix_world import World, furnish
from tests.integration.core_kit import Answer, Api, Core

Key = tuple[str, str]
NEW: Final[dict[Key, str]] = {
    (
        "POST",
        "/auth/logout",
    ): "the end of the token it comes with; here another each time, else it gets a 401",
    ("POST", "/teacher/exams"): "an exam",
    ("POST", "/teacher/questions"): "a question",
    ("POST", "/teacher/passages"): "a passage",
    ("POST", "/teacher/evaluations"): "an evaluation",
    ("POST", "/teacher/exams/{exam_id}/launch-links"): "links, each of which signs somebody in",
    ("POST", "/teacher/submissions/{submission_id}/grades"): "a revision: somebody has judged once more",
}
LAST: Final = (
    "archive",
    "revoke",
    "cancel",
    "/end",
    "lock",
    "role",
    "DELETE",
    "submit",
    "logout",
    "password",
)
ROWS: Final = "SELECT id, kind FROM ledger_events WHERE kind NOT LIKE '%.viewed'"


async def send(world: World, at: Key, person: str, body: Any) -> Answer:
    row = MATRIX[at]
    names = world.parameters | {name: world.parameters[other] for name, other in row.path.items()}
    path = "/api" + at[1].format(**names)
    return await world.api.call(at[0], path, person, json=body, headers=row.headers)


async def on_ledger(api: Api) -> dict[Any, str]:
    return {row["id"]: row["kind"] for row in await api.owner.fetch(ROWS)}


async def test_whatever_is_done_a_second_time_with_equal_values_leaves_no_event_l1(core: Core) -> None:
    async with core.school() as api:
        world = await furnish(api)
        mutating = sorted(
            {(route.method, route.path) for route in routes() if route.method != "GET" and route.action},
            key=lambda at: (any(word in " ".join(at) for word in LAST), at),
        )
        left: dict[Key, list[str]] = {}
        changed = set()
        for at in mutating:
            person = next(
                name
                for name in ("teacher", "admin", "student", "observer")
                if MATRIX[at].expected.get(name, 500) < 300
            )
            body = MATRIX[at].body(world)
            before = await on_ledger(api)
            first = await send(world, at, person, body)
            between = await on_ledger(api)
            again = await send(world, at, person, body)
            after = await on_ledger(api)
            assert max(first.status, again.status) < 500, (at, first.body, again.body)
            if between != before:
                changed.add(at)
            if after != between:
                left[at] = [kind for number, kind in after.items() if number not in between]

        assert left.keys() == NEW.keys(), left
        assert len(changed) >= 0.7 * len(mutating), sorted(set(mutating) - changed)
        kinds = {row["kind"] for row in await api.owner.fetch("SELECT kind FROM outbox")}
        assert kinds
        assert kinds <= WAKES.keys(), "the outbox's reader knows whom each kind wakes"
