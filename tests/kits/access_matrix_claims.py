"""
The rows of claims in the access matrix: the student's claim against their past attempt, which waits to be
acknowledged, and another one that is over.
"""

from typing import Any
from uuid import uuid4

from tests.kits.access_matrix_world import EDITED, JUDGED, LISTED, STUDENTS, VIEWED, Row, World, rows

# Who may handle it comes to what one of them has done: to a claim that is over.
OVER = {name: {"claim_id": "over_claim_id"} for name in ("reviewer", "admin")}
OWN = {"student": 200, "other_student": 404, "stranger": 404}
OWN_CLAIM, CLAIM = "/student/claims/{claim_id}", "/teacher/claims/{claim_id}"


def _said(_: World) -> Any:
    return {"text": f"Look again: {uuid4()}"}


CLAIMS: dict[tuple[str, str], Row] = {
    # Nobody has graded the student's essay yet: 409 is for who may claim as soon as somebody has.
    ("POST", "/student/attempts/{attempt_id}/claims"): Row(
        expected=OWN | {"student": 409},
        path={"attempt_id": "past_attempt_id"},
        body=lambda _: {"subject": "result", "text": "It was right."},
    ),
    ("GET", "/student/claims"): Row(expected=rows(200, *STUDENTS)),
    ("GET", OWN_CLAIM): Row(expected=OWN),
    ("POST", f"{OWN_CLAIM}/statements"): Row(expected=OWN | {"student": 201}, body=_said),
    ("POST", f"{OWN_CLAIM}/withdraw"): Row(
        expected=OWN | {"student": 409}, path={"claim_id": "over_claim_id"}
    ),
    ("POST", f"{OWN_CLAIM}/dispute"): Row(expected=OWN | {"student": 409}, body=_said),  # nothing is resolved
    ("POST", f"{OWN_CLAIM}/bundle"): Row(expected=OWN | {"student": 201}),
    ("GET", f"{OWN_CLAIM}/bundle"): Row(expected=OWN | {"student": 404}),  # none was made
    ("GET", f"{OWN_CLAIM}/evidence/{{evidence_id}}/download-url"): Row(
        expected=OWN | {"student": 403}  # the exam's policy releases no files
    ),
    ("GET", "/teacher/claims"): Row(expected=LISTED),
    ("GET", CLAIM): Row(expected=VIEWED),
    ("POST", f"{CLAIM}/acknowledge"): Row(expected=JUDGED, path_of=OVER),
    ("POST", f"{CLAIM}/statements"): Row(
        expected=VIEWED | rows(201, "teacher", "reviewer", "admin") | rows(403, "assistant"), body=_said
    ),
    ("POST", f"{CLAIM}/escalate"): Row(expected=JUDGED, path_of=OVER),
    ("POST", f"{CLAIM}/resolve"): Row(
        expected=JUDGED | rows(409, "teacher"),  # the other one is over
        path={"claim_id": "over_claim_id"},
        body=lambda _: {"outcome": "rejected", "text_en": "It was not."},
    ),
    ("GET", "/teacher/exams/{exam_id}/claim-policy"): Row(expected=VIEWED),
    ("PUT", "/teacher/exams/{exam_id}/claim-policy"): Row(
        expected=EDITED, body=lambda _: {"window_days": 30}
    ),
}
