"""
The access matrix as data: every route that asks for a token, and how it answers each person (spec.md A-4).

The paths name things of the student, the teacher and their organisation:

own      student (their attempt, their session), teacher (made the exam), admin (their organisation)
granted  reviewer (may look and see analytics), assistant (a teacher who may look and nothing more), observer
other    other_student, colleague (a teacher), outsider (a reviewer), watcher (an observer): the same
         organisation, nothing granted
foreign  stranger (a student), rival (a teacher), boss (an admin): of another organisation

A row says what happens to everybody whose role has an entry in the access table; all others get a 403, and
need not be written down. The rows of authoring, assignments, answers and submissions stand in
access_matrix_authoring.py, those of claims in access_matrix_claims.py. A new route without a row fails the
test.
"""

from uuid import uuid4

from tests.kits.access_matrix_authoring import AUTHORING, CANDIDATE
from tests.kits.access_matrix_claims import CLAIMS
from tests.kits.access_matrix_programmes import PROGRAMMES
from tests.kits.access_matrix_world import (
    ADMINISTERED,
    ADMINS,
    EDITED,
    ENDED,
    EVERYBODY,
    JUDGED,
    LISTED,
    OBSERVED,
    OBSERVERS,
    ONCE,
    PEOPLE,
    STUDENTS,
    TEACHERS,
    VIEWED,
    Row,
    imported,
    rows,
)
from tests.kits.core import PASSWORD

NOTHING_TO_UNDO = VIEWED | rows(409, "teacher", "assistant", "reviewer", "admin")

RULE = {
    "nameEn": "Any blur", "nameAr": "أي فقدان للتركيز", "eventType": 3, "thresholdCount": 1, "riskPoints": 5,
}  # fmt: skip
MATRIX: dict[tuple[str, str], Row] = {
    ("POST", "/auth/logout"): Row(expected=rows(200, *EVERYBODY)),
    ("GET", "/me"): Row(expected=rows(200, *EVERYBODY)),
    ("GET", "/me/data"): Row(expected=rows(200, *PEOPLE)),
    ("GET", "/admin/users/{user_id}/data"): Row(expected=ADMINISTERED),
    ("PUT", "/me"): Row(
        expected={name: 200 for name in EVERYBODY if name != "service"}, body=lambda _: {"full_name": "N"}
    ),
    ("PUT", "/me/password"): Row(
        expected={name: 200 for name in EVERYBODY if name != "service"}
        | rows(403, "assistant", "outsider", "watcher"),  # made without a password
        body=lambda _: {"current_password": PASSWORD, "new_password": "another horse entirely"},
    ),
    ("GET", "/student/exams/available"): Row(expected=rows(200, *STUDENTS)),
    ("POST", "/student/exams/{exam_id}/start"): Row(
        expected={"student": 200, "other_student": 404, "stranger": 404}  # assigned to the student
    ),
    ("GET", "/student/attempts/{attempt_id}"): Row(
        expected={"student": 200, "other_student": 404, "stranger": 404}
    ),
    ("POST", "/proctor/session"): Row(
        expected={"student": 200, "other_student": 404, "stranger": 404},
        body=lambda world: {"attemptId": world.parameters["attempt_id"], "mode": 1},
    ),
    ("GET", "/proctor/session/attempt/{attemptId}"): Row(
        expected={"student": 200, "other_student": 404, "stranger": 404} | VIEWED
    ),
    ("POST", "/proctor/session/{id}/end"): Row(
        expected={"student": 200, "other_student": 404, "stranger": 404} | ADMINISTERED
    ),
    ("POST", "/teacher/exams"): Row(
        expected=rows(201, *TEACHERS, *ADMINS), body=lambda _: {"title": "Mine", "duration_minutes": 60}
    ),
    ("POST", "/teacher/exams/import"): Row(
        expected=rows(200, *TEACHERS, *ADMINS),
        body=lambda _: {"exams": f"title,durationMinutes,groups\n{uuid4()},60,*"},
    ),
    ("POST", "/teacher/exams/{exam_id}/publish"): Row(expected=EDITED),
    ("POST", "/teacher/exams/{exam_id}/unpublish"): Row(expected=EDITED),
    ("POST", "/teacher/exams/{exam_id}/launch-links"): Row(
        expected=EDITED | {"teacher": 201, "admin": 201},
        body=lambda world: {"student_ids": [world.parameters["user_id"]]},
    ),
    ("GET", "/teacher/exams/{exam_id}/analytics"): Row(expected=EDITED),
    ("GET", "/teacher/exams/{exam_id}/analytics/items"): Row(expected=EDITED),
    ("GET", "/teacher/exams/{exam_id}/analytics/similarity"): Row(expected=EDITED),
    ("GET", "/teacher/exams/{exam_id}/export/csv"): Row(expected=EDITED),
    ("GET", "/teacher/exams/{exam_id}/export/parquet"): Row(expected=EDITED),
    ("GET", "/teacher/exams/{exam_id}/export/xapi"): Row(expected=EDITED),
    ("GET", "/teacher/exams/{exam_id}/export/caliper"): Row(expected=EDITED),
    ("GET", "/student/export/csv"): Row(expected=rows(200, *STUDENTS)),
    ("GET", "/student/export/xapi"): Row(expected=rows(200, *STUDENTS)),
    ("GET", "/student/export/caliper"): Row(expected=rows(200, *STUDENTS)),
    ("GET", "/teacher/attempts/{attempt_id}/monitoring"): Row(expected=VIEWED),
    ("GET", "/teacher/dashboard"): Row(expected=rows(200, *TEACHERS, *ADMINS)),
    ("GET", "/teacher/students/flagged"): Row(expected=rows(200, *TEACHERS, *ADMINS)),
    ("GET", "/teacher/students/{student_id}"): Row(expected=EDITED | rows(404, "assistant")),
    ("GET", "/teacher/alerts"): Row(expected=rows(200, *TEACHERS, *ADMINS)),
    ("POST", "/teacher/attempts/{attempt_id}/alerts/acknowledge"): Row(
        expected=EDITED | rows(404, "assistant"), body=lambda _: {"codes": ["DROPOUT"]}
    ),
    ("GET", "/proctor/session/{id}"): Row(expected=VIEWED),
    ("GET", "/proctor/sessions"): Row(expected=LISTED),
    ("GET", "/proctor/sessions/exam/{examId}"): Row(expected=VIEWED),
    ("GET", "/proctor/dashboard/exam/{examId}"): Row(expected=VIEWED),
    ("GET", "/proctor/live/exam/{examId}"): Row(expected=VIEWED),
    ("POST", "/proctor/live/exam/{examId}/ticket"): Row(expected=VIEWED),
    ("GET", "/proctor/live/exam/{examId}/stream"): Row(expected=VIEWED),
    ("GET", "/proctor/live/exam/{examId}/socket"): Row(
        expected=VIEWED
        | rows(426, "teacher", "assistant", "reviewer", "admin")  # asked for without WebSocket
    ),
    ("POST", "/hubs/proctor/negotiate"): Row(expected=LISTED),
    ("GET", "/hubs/proctor"): Row(expected=dict.fromkeys(LISTED, 426)),
    ("GET", "/proctor/session/{id}/events"): Row(expected=VIEWED),
    ("GET", "/proctor/session/{id}/events/{type}"): Row(expected=VIEWED),
    ("POST", "/proctor/session/{id}/cancel"): Row(expected=ADMINISTERED),
    # The teacher is at work on the session: nobody else decides on it meanwhile.
    ("POST", "/proctor/decision"): Row(
        expected=JUDGED,
        body=lambda world: {"proctorSessionId": int(world.parameters["past_session_id"]), "status": 2},
    ),
    ("POST", "/proctor/decision/override"): Row(
        expected=ADMINISTERED,
        body=lambda world: {
            "decisionId": int(world.parameters["decision_id"]),
            "newStatus": 2,
            "overrideReason": "Seen.",
        },
    ),
    ("POST", "/proctor/session/{id}/review"): Row(
        expected=JUDGED | rows(409, "teacher"),
        path={"id": "doubled_session_id"},
        body=lambda _: {"status": 2},
    ),
    ("GET", "/proctor/session/{id}/reviews"): Row(expected=VIEWED, path={"id": "past_session_id"}),
    ("GET", "/proctor/review-agreement"): Row(expected=LISTED),
    ("GET", "/proctor/pending-review"): Row(expected=LISTED),
    ("POST", "/proctor/pending-review/next"): Row(expected=LISTED),
    ("GET", "/proctor/session/{id}/decision"): Row(expected=VIEWED, path={"id": "past_session_id"}),
    ("POST", "/proctor/session/{id}/claim"): Row(expected=JUDGED, path={"id": "past_session_id"}),
    ("DELETE", "/proctor/session/{id}/claim"): Row(
        expected=JUDGED | rows(204, "teacher", "admin") | rows(403, "reviewer"),
        path={"id": "past_session_id"},
    ),
    ("POST", "/proctor/session/{id}/warn"): Row(expected=VIEWED, body=lambda _: {"textEn": "Sit down."}),
    ("POST", "/proctor/session/{id}/flag"): Row(expected=VIEWED, body=lambda _: {"reason": "Talks."}),
    ("POST", "/proctor/session/{id}/unflag"): Row(expected=NOTHING_TO_UNDO),
    ("POST", "/proctor/session/{id}/pause"): Row(expected=ONCE, path_of=ENDED),
    ("POST", "/proctor/session/{id}/resume"): Row(expected=NOTHING_TO_UNDO),
    ("POST", "/proctor/session/{id}/terminate"): Row(
        expected=ONCE, path_of=ENDED, body=lambda _: {"reason": "Somebody else sat there."}
    ),
    ("POST", "/proctor/session/{id}/extra-time"): Row(
        expected=VIEWED, body=lambda _: {"minutes": 5, "reason": "The fire alarm."}
    ),
    ("POST", "/proctor/exam/{examId}/announce"): Row(
        expected=VIEWED, body=lambda _: {"room": {"wholeExam": True}, "textEn": "Ten minutes left."}
    ),
    ("POST", "/proctor/exam/{examId}/act"): Row(
        expected=VIEWED,
        body=lambda _: {"room": {"wholeExam": True}, "action": "flag", "count": 1, "reason": "Noise."},
    ),
    ("GET", "/proctor/session/{id}/actions"): Row(expected=VIEWED),
    ("GET", "/proctor/session/{id}/commands"): Row(expected=CANDIDATE),
    ("POST", "/proctor/session/{id}/ticket"): Row(expected=CANDIDATE),
    ("GET", "/proctor/session/{id}/socket"): Row(expected=CANDIDATE | {"student": 426}),  # no WebSocket
    ("POST", "/proctor/session/{id}/commands/{commandId}/confirm"): Row(expected=CANDIDATE),
    ("POST", "/proctor/session/{id}/calculate-risk"): Row(expected=VIEWED),
    ("GET", "/proctor/session/{id}/risk/snapshots"): Row(expected=VIEWED),
    ("GET", "/proctor/session/{id}/risk/adjustments"): Row(expected=VIEWED),
    ("POST", "/proctor/session/{id}/risk/adjustments"): Row(
        expected=EDITED | rows(201, "teacher", "admin"),
        body=lambda world: {"ruleId": int(world.parameters["rule_id"]), "percent": 0, "reason": f"{uuid4()}"},
    ),
    ("GET", "/proctor/rules"): Row(expected=rows(200, *ADMINS)),
    ("POST", "/proctor/rules"): Row(
        expected=rows(201, *ADMINS), body=lambda _: RULE | {"nameEn": f"Rule {uuid4()}"}
    ),
    ("POST", "/proctor/rules/what-if"): Row(expected=rows(200, *ADMINS), body=lambda _: {"rules": [RULE]}),
    ("GET", "/proctor/rules/{rule_id}"): Row(expected=ADMINISTERED),
    ("PUT", "/proctor/rules/{rule_id}"): Row(expected=ADMINISTERED, body=lambda _: RULE),
    ("POST", "/proctor/rules/{rule_id}/toggle"): Row(expected=ADMINISTERED),
    ("DELETE", "/proctor/rules/{rule_id}"): Row(expected=ADMINISTERED),
    # Nothing is sealed in the matrix's world: 409 is for who may have the proof as soon as there is one.
    ("GET", "/ledger/head"): Row(expected=rows(404, *PEOPLE)),
    ("GET", "/ledger/consistency"): Row(expected=rows(404, *PEOPLE)),
    ("GET", "/ledger/events"): Row(expected=rows(200, *ADMINS)),
    ("GET", "/admin/audit-logs"): Row(expected=rows(200, *ADMINS)),
    ("GET", "/ledger/events/{event_id}/proof"): Row(
        expected=rows(404, *PEOPLE) | rows(409, "reviewer", "admin")
    ),
    ("POST", "/observer/exams/{exam_id}/observations"): Row(
        expected={"observer": 201, "watcher": 404},
        body=lambda world: {"subject_ids": [world.parameters["user_id"]], "items": []},
        headers={"Idempotency-Key": "another"},
    ),
    ("GET", "/observer/exams"): Row(expected=rows(200, *OBSERVERS)),
    ("GET", "/observer/exams/{exam_id}/form"): Row(expected=VIEWED | OBSERVED),
    ("GET", "/teacher/exams/{exam_id}/form"): Row(expected=VIEWED | OBSERVED),
    ("GET", "/observer/exams/{exam_id}/subjects"): Row(expected=OBSERVED),
    ("GET", "/observer/observations"): Row(expected=LISTED | rows(200, *OBSERVERS)),
    ("GET", "/observer/observations/{submission_id}"): Row(
        expected=dict.fromkeys(LISTED, 404) | OBSERVED, path={"submission_id": "observation_id"}
    ),
    ("POST", "/observer/observations/{submission_id}/amendments"): Row(
        expected=OBSERVED | {"observer": 201},
        path={"submission_id": "observation_id"},
        body=lambda world: {"subject_ids": [world.parameters["user_id"]], "items": [], "reason": "A slip."},
        headers={"Idempotency-Key": "amended"},
    ),
    ("POST", "/observer/exams/{exam_id}/observation-drafts"): Row(
        expected=OBSERVED | {"observer": 201}, body=lambda _: {}
    ),
    ("GET", "/observer/observation-drafts"): Row(expected=rows(200, *OBSERVERS)),
    ("GET", "/observer/observation-drafts/{draft_id}"): Row(expected=OBSERVED),
    ("PUT", "/observer/observation-drafts/{draft_id}"): Row(
        expected=OBSERVED,
        body=lambda world: {"version": 1, "content": {"subject_ids": [world.parameters["user_id"]]}},
    ),
    ("DELETE", "/observer/observation-drafts/{draft_id}"): Row(expected=OBSERVED | {"observer": 204}),
    ("POST", "/observer/observation-drafts/{draft_id}/finalise"): Row(expected=OBSERVED | {"observer": 201}),
    ("POST", "/teacher/observations/{submission_id}/reviews"): Row(
        expected=VIEWED | rows(201, "teacher", "reviewer", "admin") | rows(403, "assistant"),
        path={"submission_id": "observation_id"},
        body=lambda _: {"verdict": "accepted", "reason": "As I saw it."},
    ),
    ("POST", "/admin/subjects"): Row(
        expected=rows(201, *ADMINS), body=lambda _: {"name": f"Bench {uuid4()}", "category": "bench"}
    ),
    ("GET", "/admin/subjects"): Row(expected=rows(200, *ADMINS)),
    ("GET", "/admin/subjects/{subject_id}"): Row(expected=ADMINISTERED),
    ("PUT", "/admin/subjects/{subject_id}"): Row(
        expected=ADMINISTERED, body=lambda _: {"description": f"By the window. {uuid4()}"}
    ),
    ("GET", "/teacher/exams/{exam_id}/observations"): Row(expected=VIEWED | OBSERVED),
    ("GET", "/teacher/observations/{submission_id}"): Row(
        expected=VIEWED | OBSERVED, path={"submission_id": "observation_id"}
    ),
    ("GET", "/teacher/students"): Row(expected=rows(200, *TEACHERS, *ADMINS)),
    ("GET", "/teacher/groups"): Row(expected=rows(200, *TEACHERS, *ADMINS)),
    ("GET", "/teacher/groups/{group_id}/students"): Row(
        expected=rows(200, "teacher", "assistant", "colleague", "admin") | rows(404, "rival", "boss")
    ),
    ("GET", "/admin/users"): Row(expected=rows(200, *ADMINS)),
    ("POST", "/admin/users"): Row(
        expected=rows(201, *ADMINS), body=lambda _: {"email": f"{uuid4()}@x.example", "role": "student"}
    ),
    ("POST", "/admin/users/import"): Row(
        expected=rows(200, *ADMINS), body=lambda _: {"users": f"email,name\n{uuid4()}@x.example,New"}
    ),
    ("POST", "/admin/results/import"): Row(
        expected=rows(200, *ADMINS), body=lambda _: imported(f"{uuid4()}", "Brought along")
    ),
    ("POST", "/admin/users/invitations"): Row(
        expected={"admin": 201, "boss": 422},
        body=lambda world: {"user_ids": [str(world.api.people["assistant"].id)]},
    ),
    ("GET", "/admin/users/{user_id}"): Row(expected=ADMINISTERED),
    ("POST", "/admin/users/{user_id}/erasure"): Row(
        expected={"admin": 201, "boss": 404}, path={"user_id": "leaver_id"}
    ),
    # Nobody has asked for it.
    ("GET", "/admin/users/{user_id}/erasure"): Row(
        expected=rows(404, "admin", "boss"), path={"user_id": "leaver_id"}
    ),
    ("POST", "/admin/users/{user_id}/lock"): Row(expected=ADMINISTERED),
    ("POST", "/admin/users/{user_id}/unlock"): Row(expected=ADMINISTERED),
    ("PUT", "/admin/users/{user_id}/role"): Row(expected=ADMINISTERED, body=lambda _: {"role": "observer"}),
    ("GET", "/admin/users/{user_id}/student-profile"): Row(expected=ADMINISTERED),
    ("PUT", "/admin/users/{user_id}/student-profile"): Row(
        expected=ADMINISTERED, body=lambda _: {"cohort": "2026"}
    ),
    ("GET", "/admin/organisation"): Row(expected=rows(200, *ADMINS)),
    ("PUT", "/admin/organisation"): Row(
        expected=rows(200, *ADMINS), body=lambda _: {"registration_open": True}
    ),
    ("GET", "/admin/allowed-origins"): Row(expected=rows(200, *ADMINS)),
    ("PUT", "/admin/allowed-origins"): Row(
        expected=rows(200, *ADMINS), body=lambda _: {"origins": ["https://exams.example.org"]}
    ),
    ("GET", "/admin/retention"): Row(expected=rows(200, *ADMINS)),
    ("PUT", "/admin/retention"): Row(expected=rows(200, *ADMINS), body=lambda _: {"events_days": 60}),
    ("GET", "/admin/retention/forecast"): Row(expected=rows(200, *ADMINS)),
    ("GET", "/admin/legal-holds"): Row(expected=rows(200, *ADMINS)),
    ("POST", "/admin/legal-holds"): Row(
        expected={"admin": 201, "boss": 404},
        body=lambda world: {"kind": "person", "target_id": world.parameters["user_id"], "reason": "Suit."},
    ),
    ("POST", "/admin/legal-holds/{hold_id}/lift"): Row(
        expected=ADMINISTERED, body=lambda _: {"reason": "It is over."}
    ),
    ("GET", "/admin/exams/{exam_id}/permissions"): Row(expected=ADMINISTERED),
    ("POST", "/admin/exams/{exam_id}/permissions"): Row(
        expected=ADMINISTERED, body=lambda world: {"user_id": str(world.api.people["colleague"].id)}
    ),
    ("DELETE", "/admin/exams/{exam_id}/permissions/{user_id}"): Row(
        expected={"admin": 204, "boss": 404}, path={"user_id": "reviewer_id"}
    ),
    ("GET", "/admin/groups"): Row(expected=rows(200, *ADMINS)),
    ("POST", "/admin/groups"): Row(expected=rows(201, *ADMINS), body=lambda _: {"name": "5c"}),
    ("GET", "/admin/groups/{group_id}"): Row(expected=ADMINISTERED),
    ("PUT", "/admin/groups/{group_id}"): Row(expected=ADMINISTERED, body=lambda _: {"name": "6d"}),
    ("DELETE", "/admin/groups/{group_id}"): Row(expected={"admin": 204, "boss": 404}),
    ("GET", "/admin/groups/{group_id}/members"): Row(expected=ADMINISTERED),
    ("POST", "/admin/groups/{group_id}/members"): Row(
        expected=ADMINISTERED, body=lambda world: {"user_ids": [str(world.api.people["other_student"].id)]}
    ),
    ("DELETE", "/admin/groups/{group_id}/members/{user_id}"): Row(expected={"admin": 204, "boss": 404}),
} | AUTHORING
MATRIX |= CLAIMS | PROGRAMMES
