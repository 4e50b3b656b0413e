"""
An act that changes nothing leaves nothing on the ledger, which is never purged (spec.md L-1).

The routes come from the route list: each is sent twice with equal values and without an Idempotency-Key. What
makes something new each time stands in NEW, with the reason.
"""

from typing import Any, Final

from pipeline.outbox import WAKES
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import furnish, review_twice
from tests.kits.acts import Key, act, acts
from tests.kits.core import Api, Core

NEW: Final[dict[Key, str]] = {
    (
        "POST",
        "/auth/logout",
    ): "the end of the token it comes with; here another each time, else it gets a 401",
    ("POST", "/admin/users/invitations"): "tokens, each of which ends the one before",
    ("POST", "/proctor/session/{id}/warn"): "a warning: somebody has said it once more",
    ("POST", "/proctor/session/{id}/extra-time"): "minutes more",
    ("POST", "/proctor/exam/{examId}/announce"): "as a warning",
    ("POST", "/teacher/claims/{claim_id}/statements"): "a statement: somebody has said it once more",
    ("POST", "/student/claims/{claim_id}/statements"): "the same",
    ("POST", "/student/claims/{claim_id}/bundle"): "a bundle, of how things stand then",
    ("POST", "/proctor/evidence/request-upload"): "a place for one more piece",
    ("POST", "/proctor/rules"): "a rule",
    ("POST", "/proctor/rules/{rule_id}/toggle"): "the other state",
    ("POST", "/teacher/exams"): "an exam",
    ("POST", "/teacher/questions"): "a question",
    ("POST", "/teacher/passages"): "a passage",
    ("POST", "/teacher/evaluations"): "an evaluation",
    ("POST", "/teacher/exams/{exam_id}/launch-links"): "links, each of which signs somebody in",
    ("POST", "/teacher/remediations"): "a draft",
    ("POST", "/teacher/remediations/{remediation_id}/undo"): "a draft",
    ("POST", "/teacher/programmes"): "a programme",
    ("POST", "/teacher/programmes/{programme_id}/versions"): "a draft",
    ("POST", "/teacher/observations/{submission_id}/reviews"): "a word: somebody has looked once more",
    ("POST", "/admin/legal-holds"): "a hold, which is lifted by itself",
    ("POST", "/teacher/submissions/{submission_id}/grades"): "a revision: somebody has judged once more",
}
ROWS: Final = "SELECT id, kind FROM ledger_events WHERE kind NOT LIKE '%.viewed'"


async def on_ledger(api: Api) -> dict[Any, str]:
    return {row["id"]: row["kind"] for row in await api.owner.fetch(ROWS)}


async def test_whatever_is_done_a_second_time_with_equal_values_leaves_no_event_l1(core: Core) -> None:
    async with core.school() as api:
        world = await furnish(api)
        await review_twice(world)
        left: dict[Key, list[str]] = {}
        changed = set()
        for at in acts():
            body = MATRIX[at].body(world)
            before = await on_ledger(api)
            first = await act(world, at, body, {})
            between = await on_ledger(api)
            again = await act(world, at, body, {})
            after = await on_ledger(api)
            assert max(first.status, again.status) < 500, (at, first.body, again.body)
            if between != before:
                changed.add(at)
            if after != between:
                left[at] = [kind for number, kind in after.items() if number not in between]

        assert left.keys() == NEW.keys(), left
        assert len(changed) >= 0.7 * len(acts()), sorted(set(acts()) - changed)
        kinds = {row["kind"] for row in await api.owner.fetch("SELECT kind FROM outbox")}
        assert kinds
        assert kinds <= WAKES.keys(), "the outbox's reader knows whom each kind wakes"
