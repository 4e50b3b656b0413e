"""Observations, for observers, for the staff of their exams, and for administrators who keep subjects."""

from typing import Final

from core_api.cases import case
from core_api.observations import drafts, finalising, reviewing, subjects, views
from core_api.submissions.asking import asked_in
from kernel.access import Action
from kernel.http.headers import IDEMPOTENCY_KEY
from kernel.http.web import NOBODY, OWN, Retry, Shows

ROUTES: Final = (
    case(
        "POST /observer/exams/{exam_id}/observations", finalising.finalise, Action.observation_finalise,
        name="finalise_observation", shows=OWN, parts={"request": asked_in}, retry=Retry.own_way,
        requires=(IDEMPOTENCY_KEY,),
        says="Finalise an observation: 201 with the receipt the first time, 200 with the same "
        "one after.\n\nThe `Idempotency-Key` is asked for; a retry with another body is a 409.",
    ),
    case(
        "GET /observer/exams/{exam_id}/subjects", views.find_subjects, Action.subject_find,
        name="list_subjects", shows=Shows("students"),
        says="""
        Find whom or what an observation can name, by name: candidates, or with `kind=entity` what is no
        person; those that `q` finds, or all.
        """,
    ),
    case(
        "GET /observer/observations", views.list_own, Action.observation_read,
        name="list_own_observations", shows=Shows("observations", of_oneself=True),
        says="List the caller's own observations, newest first.",
    ),
    case(
        "GET /observer/observations/{submission_id}", finalising.fetch_own, Action.observation_read,
        name="get_observation", shows=Shows("submission", "submission_id", of_oneself=True),
        person=lambda found: views.only_subject(found.observation),
        says="Return one of the observer's own observations, with the very bytes that its hash is of.",
    ),
    case(
        "GET /teacher/exams/{exam_id}/observations", views.list_of_exam, Action.observation_read,
        name="list_observations_of_exam", shows=Shows("exam_observations", "exam_id", of_oneself=True),
        says="List an exam's observations with their subjects, newest first; an observer sees their own.",
    ),
    case(
        "GET /teacher/observations/{submission_id}", views.fetch, Action.observation_read,
        name="get_observation_for_staff", shows=Shows("submission", "submission_id", of_oneself=True),
        person=views.only_subject,
        says="Return an observation with its form, findings, subjects and evidence; the view is recorded.",
    ),
    case(
        "POST /observer/observations/{submission_id}/amendments", finalising.amend,
        Action.observation_finalise, name="amend_observation", shows=OWN, parts={"request": asked_in},
        retry=Retry.own_way, requires=(IDEMPOTENCY_KEY,),
        says="""
        Finalise an observation in the place of one's own, whole, with the reason: 201 with its receipt the
        first time, 200 with the same one after. The first one stays as it is, and says that it was amended.
        """,
    ),
    case(
        "POST /teacher/observations/{submission_id}/reviews", reviewing.review, Action.observation_review,
        name="review_observation", shows=Shows("submission", "submission_id"), status=201,
        person=views.only_subject,
        says="Accept an observation, or return it to its observer to be amended; the last word counts.",
    ),
    case(
        "POST /observer/exams/{exam_id}/observation-drafts", drafts.begin, Action.observation_draft,
        name="create_observation_draft", shows=OWN, status=201,
        says="Begin a draft of an observation, or with `amends` of an amendment.",
    ),
    case(
        "GET /observer/observation-drafts", drafts.list_own, Action.observation_draft,
        name="list_observation_drafts", shows=OWN,
        says="List the caller's own drafts, newest first.",
    ),
    case(
        "GET /observer/observation-drafts/{draft_id}", drafts.fetch, Action.observation_draft,
        name="get_observation_draft", shows=OWN,
        says="Return one of the caller's own drafts.",
    ),
    case(
        "PUT /observer/observation-drafts/{draft_id}", drafts.save, Action.observation_draft,
        name="save_observation_draft", shows=OWN,
        says="Save a draft, whole. Whoever saves names the version that they have read.",
    ),
    case(
        "DELETE /observer/observation-drafts/{draft_id}", drafts.delete, Action.observation_draft,
        name="delete_observation_draft", shows=OWN,
        says="Delete a draft.",
    ),
    case(
        "POST /observer/observation-drafts/{draft_id}/finalise", drafts.finalise, Action.observation_finalise,
        name="finalise_observation_draft", shows=OWN, bodiless=True, retry=Retry.own_way,
        says="""
        Finalise what stands in a draft: 201 with the receipt the first time, 200 with the same one after.
        The draft is gone with that; whatever is wrong with it is named, and it stays.
        """,
    ),
    case(
        "POST /admin/subjects", subjects.create, Action.subject_manage, name="create_subject", shows=NOBODY,
        status=201,
        says="Create a subject that is no person: a room, a machine, a team.",
    ),
    case(
        "GET /admin/subjects", subjects.list_of_organisation, Action.subject_manage,
        name="list_observable_subjects", shows=NOBODY,
        says="List the organisation's subjects that are no people, newest first.",
    ),
    case(
        "GET /admin/subjects/{subject_id}", subjects.fetch, Action.subject_manage, name="get_subject",
        shows=NOBODY,
        says="Return a subject that is no person.",
    ),
    case(
        "PUT /admin/subjects/{subject_id}", subjects.update, Action.subject_manage, name="update_subject",
        shows=NOBODY,
        says="Change a subject; one that is not active is named by no new observation.",
    ),
)  # fmt: skip
