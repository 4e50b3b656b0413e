"""
The rows of programmes in the access matrix: the teacher's own, which asks for the exam, and who is enrolled.
"""

from typing import Any

from tests.kits.access_matrix_authoring import AUTHORED, MADE
from tests.kits.access_matrix_claims import OWN
from tests.kits.access_matrix_world import ADMINS, STUDENTS, TEACHERS, Row, World, rows

# Who comes to what one of them has ended: to another one.
OTHER = {"programme_id": "other_programme_id", "enrolment_id": "other_enrolment_id"}
PROGRAMME = "/teacher/programmes/{programme_id}"
CERTIFICATE = "/student/programmes/{enrolment_id}/certificate"


def _asked(world: World) -> Any:
    return {"requirements": [{"kind": "exam", "key": "finals", "exam_id": world.parameters["exam_id"]}]}


PROGRAMMES: dict[tuple[str, str], Row] = {
    # Who may not edit the exam may not ask for it.
    ("POST", "/teacher/programmes"): Row(
        expected=MADE | rows(404, "assistant", "colleague", "rival", "boss"),
        body=lambda world: {"title": "Programming", **_asked(world)},
    ),
    ("GET", "/teacher/programmes"): Row(expected=rows(200, *TEACHERS, *ADMINS)),
    ("GET", PROGRAMME): Row(expected=AUTHORED),
    ("POST", f"{PROGRAMME}/versions"): Row(expected=AUTHORED | rows(201, "teacher", "admin"), body=_asked),
    ("POST", f"{PROGRAMME}/publish"): Row(
        expected=AUTHORED | rows(409, "admin"),
        path={"programme_id": "draft_programme_id"},
        path_of={"admin": {"programme_id": "programme_id"}},
    ),
    ("POST", f"{PROGRAMME}/enrolments"): Row(
        expected=AUTHORED, body=lambda world: {"user_ids": [world.parameters["student_id"]]}
    ),
    ("GET", f"{PROGRAMME}/enrolments"): Row(expected=AUTHORED),
    ("POST", f"{PROGRAMME}/enrolments/{{enrolment_id}}/withdraw"): Row(
        expected=AUTHORED, path_of={"admin": OTHER}
    ),
    ("GET", "/student/programmes"): Row(expected=rows(200, *STUDENTS)),
    ("POST", CERTIFICATE): Row(expected=OWN | {"student": 409}),  # it is not completed yet
    ("GET", CERTIFICATE): Row(expected=OWN | {"student": 404}),  # none was made
}
