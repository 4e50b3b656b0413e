"""Programmes: as staff make them and enrol students, and as candidates see theirs."""

from typing import Final

from core_api.cases import case
from core_api.programmes import certificates, enrolments, own, programmes
from kernel.access import Action
from kernel.http.web import NOBODY, OWN, Shows

PROGRAMME: Final = "/teacher/programmes/{programme_id}"
CERTIFICATE: Final = "/student/programmes/{enrolment_id}/certificate"

ROUTES: Final = (
    case(
        "POST /teacher/programmes", programmes.create, Action.programme_write, name="create_programme",
        shows=NOBODY, status=201,
        says="""
        Create a programme with the draft of its first version: requirements over a student's submissions, all
        of which are to be met.
        """,
    ),
    case(
        "GET /teacher/programmes", programmes.list_visible, Action.programme_read, name="list_programmes",
        shows=NOBODY, says="List the caller's programmes, or all of the organisation, newest first.",
    ),
    case(
        f"GET {PROGRAMME}", programmes.fetch, Action.programme_read, name="get_programme", shows=NOBODY,
        says="Return a programme with all its versions and what they ask.",
    ),
    case(
        f"POST {PROGRAMME}/versions", programmes.draft, Action.programme_write,
        name="create_programme_version", shows=NOBODY, status=201,
        says="Draft a further version of a programme.",
    ),
    case(
        f"POST {PROGRAMME}/publish", programmes.publish, Action.programme_write, name="publish_programme",
        shows=NOBODY,
        says="""
        Publish the newest version of a programme; the others are retired. It never changes after that. Who is
        enrolled stays in the version that they are in.
        """,
    ),
    case(
        f"POST {PROGRAMME}/enrolments", enrolments.enrol, Action.programme_write, name="add_enrolments",
        shows=NOBODY,
        says="Enrol students in the published version of a programme, one by one or by their groups.",
    ),
    case(
        f"GET {PROGRAMME}/enrolments", enrolments.list_of_programme, Action.programme_read,
        name="list_enrolments", shows=Shows("programme", "programme_id"),
        says="List who is enrolled in a programme, each with their progress.",
    ),
    case(
        f"POST {PROGRAMME}/enrolments/{{enrolment_id}}/withdraw", enrolments.withdraw, Action.programme_write,
        name="withdraw_enrolment", shows=Shows("programme_enrolment", "enrolment_id"),
        person=lambda found: found.user_id,
        says="Withdraw somebody's enrolment, for good; they may be enrolled anew.",
    ),
    case(
        "GET /student/programmes", own.list_own, Action.programme_follow, name="list_own_programmes",
        shows=OWN, says="List the caller's programmes, what each asks, and how far they are.",
    ),
    case(
        f"POST {CERTIFICATE}", certificates.make, Action.programme_follow, name="make_certificate",
        shows=OWN, status=201,
        says="""
        Certify that the caller has completed a programme, or that this was revoked. As soon as the ledger has
        sealed it, `deploy/verify_export.py --certificate` checks it without us.
        """,
    ),
    case(
        f"GET {CERTIFICATE}", certificates.fetch, Action.programme_follow, name="get_certificate", shows=OWN,
        says="Return the newest certificate of a programme of the caller's, while it holds.",
    ),
)  # fmt: skip
