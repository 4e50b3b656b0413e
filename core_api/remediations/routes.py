"""Keys put right after the exam."""

from typing import Final

from core_api.cases import case
from core_api.remediations import applying, preview, remediations
from kernel.access import Action
from kernel.http.web import NOBODY, Shows

ROUTES: Final = (
    case(
        "POST /teacher/remediations", remediations.draft, Action.remediation_write, name="draft_remediation",
        shows=NOBODY, status=201,
        says="""
        Draft a remediation of one published version: another key, a further accepted answer, a question that
        is dropped, weighs otherwise, or gives everybody its points. It holds once it is applied.
        """,
    ),
    case(
        "GET /teacher/remediations", remediations.list_visible, Action.remediation_read,
        name="list_remediations", shows=NOBODY,
        says="List the remediations that reach an exam which the caller sees, newest first.",
    ),
    case(
        "GET /teacher/remediations/{remediation_id}", remediations.fetch, Action.remediation_read,
        name="get_remediation", shows=NOBODY,
        says="Return a remediation: what it changes and why, and how far it is.",
    ),
    case(
        "GET /teacher/remediations/{remediation_id}/preview", preview.preview, Action.remediation_write,
        name="preview_remediation", shows=Shows("remediation", "remediation_id"),
        says="""
        Return what a draft would do, without touching anything: how many results change, who would pass or
        fail, and each exam's results before and after.
        """,
    ),
    case(
        "GET /teacher/remediations/{remediation_id}/changes", preview.list_changes, Action.remediation_write,
        name="list_remediation_changes", shows=Shows("remediation", "remediation_id"),
        says="List whose results a draft would change and by how much; or did, once it was applied.",
    ),
    case(
        "POST /teacher/remediations/{remediation_id}/apply", applying.begin, Action.remediation_write,
        name="apply_remediation", shows=NOBODY, status=202,
        says="""
        Apply a remediation: from now on whatever is scored is scored by the new key, and all submissions from
        before are rescored, each in a new revision. `progress` says how far that is.
        """,
    ),
    case(
        "POST /teacher/remediations/{remediation_id}/cancel", remediations.cancel, Action.remediation_write,
        name="cancel_remediation", shows=NOBODY,
        says="Put a draft away for good.",
    ),
    case(
        "POST /teacher/remediations/{remediation_id}/undo", remediations.undo, Action.remediation_write,
        name="undo_remediation", shows=NOBODY, status=201,
        says="""
        Draft the remediation that takes this one back; once it is applied, scores are what they were without
        it.
        """,
    ),
)  # fmt: skip
