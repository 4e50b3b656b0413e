"""
The access matrix's rows of content, exams, assignments, answers, submissions and evidence (spec.md A-4, E-1
to S-3, V-1 to V-3).

Content is its author's and the admin's: whoever was granted the exam sees the exam, and not what it was made
from. Terms alone belong to the whole organisation.
"""

from typing import Any
from uuid import uuid4

from tests.kits.access_matrix_world import (
    ADMINS,
    EDITED,
    LISTED,
    STUDENTS,
    TEACHERS,
    VIEWED,
    Row,
    World,
    rows,
)
from tests.kits.authoring import ITEMS, RIGHT, answer
from tests.kits.evidence import SAMPLE
from tests.kits.remediations import WORDS

CANDIDATE = {"student": 200, "other_student": 404, "stranger": 404}
AUTHORED = rows(200, "teacher", "admin") | rows(404, "assistant", "colleague", "rival", "boss")
MADE = rows(201, *TEACHERS, *ADMINS)
LISTED_TO_AUTHORS = rows(200, *TEACHERS, *ADMINS)
DRAFTS = "/student/attempts/{attempt_id}/answers/{question_id}/drafts"
ASSIGNMENT = "/teacher/exams/{exam_id}/assignments/{assignment_id}"


def _passage(_: World) -> Any:
    return {"title": "A text", "body": "Of its author."}


def _question(_: World) -> Any:
    return {"item": {"kind": "essay", **ITEMS["essay"]}}


def _answers(world: World) -> Any:
    return {"answers": [answer(world.parameters["question_id"], 1, **RIGHT["essay"])]}


def _evidence(world: World) -> Any:
    return SAMPLE | {"proctorSessionId": int(world.parameters["id"])}


def _chunks(_: World) -> Any:
    return {"chunks": [{"number": 1, "checksum": "0" * 64, "size": 1}]}


SENT = CANDIDATE | {"observer": 404, "watcher": 404}
PIECE = "/proctor/evidence/{evidence_id}"

EVIDENCE: dict[tuple[str, str], Row] = {
    ("POST", "/proctor/evidence/request-upload"): Row(expected=SENT | {"student": 201}, body=_evidence),
    ("POST", f"{PIECE}/chunks"): Row(expected=SENT, body=_chunks, path={"evidence_id": "recording_id"}),
    ("GET", f"{PIECE}/chunks"): Row(expected=SENT | VIEWED),
    ("POST", f"{PIECE}/confirm"): Row(expected=SENT),
    ("GET", "/proctor/session/{id}/evidence"): Row(expected=VIEWED),
    ("GET", f"{PIECE}/download-url"): Row(expected=VIEWED),
    # Nothing is sealed in the matrix's world.
    ("GET", "/proctor/session/{id}/evidence/custody"): Row(
        expected=VIEWED | rows(409, "teacher", "assistant", "reviewer", "admin")
    ),
}
AUTHORING: dict[tuple[str, str], Row] = EVIDENCE | {
    ("GET", "/student/dashboard"): Row(expected=rows(200, *STUDENTS)),
    ("GET", "/student/attempts/{attempt_id}/paper"): Row(expected=CANDIDATE),
    ("PUT", "/student/attempts/{attempt_id}/answers"): Row(expected=CANDIDATE, body=_answers),
    ("GET", "/student/attempts/{attempt_id}/answers"): Row(expected=CANDIDATE),
    ("GET", DRAFTS): Row(expected=CANDIDATE, path={"attempt_id": "past_attempt_id"}),
    ("GET", f"{DRAFTS}/{{client_seq}}"): Row(expected=CANDIDATE, path={"attempt_id": "past_attempt_id"}),
    ("POST", "/student/attempts/{attempt_id}/submit"): Row(
        expected=CANDIDATE | {"student": 201}, body=_answers
    ),
    ("POST", "/student/exams/{attempt_id}/submit"): Row(expected=CANDIDATE | {"student": 201}, body=_answers),
    ("GET", "/student/attempts/{attempt_id}/submission"): Row(
        expected=CANDIDATE, path={"attempt_id": "past_attempt_id"}
    ),
    ("GET", "/student/attempts/{attempt_id}/receipt"): Row(
        expected=CANDIDATE, path={"attempt_id": "past_attempt_id"}
    ),
    ("POST", "/teacher/terms"): Row(expected=MADE, body=lambda _: {"kind": "skill", "name": str(uuid4())}),
    ("GET", "/teacher/terms"): Row(expected=LISTED_TO_AUTHORS),
    ("POST", "/teacher/passages"): Row(expected=MADE, body=_passage),
    ("GET", "/teacher/passages"): Row(expected=LISTED_TO_AUTHORS),
    ("GET", "/teacher/passages/{passage_id}"): Row(expected=AUTHORED),
    ("PUT", "/teacher/passages/{passage_id}"): Row(expected=AUTHORED, body=_passage),
    ("POST", "/teacher/passages/{passage_id}/archive"): Row(expected=AUTHORED),
    ("POST", "/teacher/questions"): Row(expected=MADE, body=_question),
    ("GET", "/teacher/questions"): Row(expected=LISTED_TO_AUTHORS),
    ("GET", "/teacher/questions/{question_id}"): Row(expected=AUTHORED),
    ("PUT", "/teacher/questions/{question_id}"): Row(expected=AUTHORED, body=_question),
    ("POST", "/teacher/questions/{question_id}/archive"): Row(expected=AUTHORED),
    ("POST", "/teacher/evaluations"): Row(expected=MADE, body=lambda _: {"title": "Mine"}),
    ("GET", "/teacher/evaluations"): Row(expected=LISTED_TO_AUTHORS),
    ("GET", "/teacher/evaluations/{evaluation_id}"): Row(expected=AUTHORED),
    ("PUT", "/teacher/evaluations/{evaluation_id}/draft"): Row(
        expected=AUTHORED, body=lambda _: {"title": "Next"}
    ),
    ("POST", "/teacher/evaluations/{evaluation_id}/publish"): Row(expected=AUTHORED),
    ("GET", "/teacher/exams"): Row(expected=LISTED),
    ("GET", "/teacher/exams/{exam_id}"): Row(expected=VIEWED),
    ("PATCH", "/teacher/exams/{exam_id}"): Row(expected=EDITED, body=lambda _: {"title": "Geometry"}),
    ("POST", "/teacher/exams/{exam_id}/archive"): Row(expected=EDITED),
    ("POST", "/teacher/exams/{exam_id}/assignments"): Row(
        expected=EDITED | {"teacher": 201, "admin": 201},
        body=lambda world: {"user_ids": [world.parameters["user_id"]]},
    ),
    ("GET", "/teacher/exams/{exam_id}/assignments"): Row(expected=EDITED),
    ("GET", ASSIGNMENT): Row(expected=EDITED),
    ("POST", f"{ASSIGNMENT}/revoke"): Row(expected=EDITED),
    ("GET", f"{ASSIGNMENT}/overrides"): Row(expected=EDITED),
    ("PUT", f"{ASSIGNMENT}/overrides/{{user_id}}"): Row(
        expected=EDITED, body=lambda _: {"reason": "Agreed.", "extra_minutes": 5}
    ),
    ("DELETE", f"{ASSIGNMENT}/overrides/{{user_id}}"): Row(
        expected=EDITED | {"teacher": 204, "admin": 204},
        path_of={"admin": {"assignment_id": "group_assignment_id"}},
    ),
    ("GET", "/teacher/exams/{exam_id}/submissions"): Row(expected=VIEWED),
    ("GET", "/teacher/submissions/{submission_id}"): Row(expected=VIEWED),
    ("POST", "/teacher/submissions/{submission_id}/grades"): Row(
        expected=EDITED | {"teacher": 201, "admin": 201},
        body=lambda _: {"grades": [{"position": 1, "points": 1}]},
    ),
    ("GET", "/teacher/remediations"): Row(expected=LISTED),
    ("POST", "/teacher/remediations"): Row(
        expected=EDITED | {"teacher": 201, "admin": 201},
        body=lambda world: {
            "evaluation_version_id": world.parameters["evaluation_version_id"],
            "changes": [{"kind": "full_points", "position": 1}],
            **WORDS,
        },
    ),
    ("GET", "/teacher/remediations/{remediation_id}"): Row(expected=VIEWED),
    ("GET", "/teacher/remediations/{remediation_id}/preview"): Row(expected=EDITED),
    ("GET", "/teacher/remediations/{remediation_id}/changes"): Row(expected=EDITED),
    # Of an exam that the assistant does not see; applied before, so that nothing goes on behind the requests.
    ("POST", "/teacher/remediations/{remediation_id}/apply"): Row(
        expected=EDITED | {"teacher": 202, "assistant": 404, "admin": 202},
        path={"remediation_id": "applied_remediation_id"},
    ),
    ("POST", "/teacher/remediations/{remediation_id}/cancel"): Row(
        expected=EDITED, path={"remediation_id": "put_away_remediation_id"}
    ),
    ("POST", "/teacher/remediations/{remediation_id}/undo"): Row(
        expected=EDITED | {"teacher": 201, "assistant": 404, "admin": 201},
        path={"remediation_id": "applied_remediation_id"},
        body=lambda _: WORDS,
    ),
}
