"""For who writes exams: terms, passages, questions, evaluations."""

from functools import partial
from typing import Final

from core_api.authoring import content, evaluations, questions
from core_api.cases import case
from kernel.access import Action
from kernel.http.web import NOBODY

authored = partial(case, tag="Authoring")

ROUTES: Final = (
    authored(
        "POST /teacher/terms", content.create_term, Action.content_write, name="create_term",
        says="Make a term or a skill: 201, or 200 with the one of that name.",
    ),
    authored(
        "GET /teacher/terms", content.list_terms, Action.content_read, name="list_terms", shows=NOBODY,
        says="List the organisation's terms and skills, newest first.",
    ),
    authored(
        "POST /teacher/passages", content.save_passage, Action.content_write, name="create_passage",
        status=201, given={"passage_id": None},
        says="Make a passage.",
    ),
    authored(
        "GET /teacher/passages", content.list_passages, Action.content_read,
        name="list_passages", shows=NOBODY,
        says="List passages, newest first.",
    ),
    authored(
        "GET /teacher/passages/{passage_id}", content.fetch_passage, Action.content_read, name="get_passage",
        shows=NOBODY,
        says="Return a passage, or an older version of it.",
    ),
    authored(
        "PUT /teacher/passages/{passage_id}", content.save_passage, Action.content_write,
        name="update_passage",
        says="Save a passage as a new version.",
    ),
    authored(
        "POST /teacher/passages/{passage_id}/archive", content.archive_passage, Action.content_write,
        name="archive_passage",
        says="Take a passage out of use; what was published keeps it.",
    ),
    authored(
        "POST /teacher/questions", questions.save, Action.content_write, name="create_question", status=201,
        given={"question_id": None},
        says="Make a question.",
    ),
    authored(
        "GET /teacher/questions", questions.list_own, Action.content_read, name="list_questions",
        shows=NOBODY,
        says="List questions, newest first.",
    ),
    authored(
        "GET /teacher/questions/{question_id}", questions.fetch, Action.content_read, name="get_question",
        shows=NOBODY,
        says="Return a question with its answer key, or an older version of it.",
    ),
    authored(
        "PUT /teacher/questions/{question_id}", questions.save, Action.content_write, name="update_question",
        says="Save a question as a new version; what was published keeps the old one.",
    ),
    authored(
        "POST /teacher/questions/{question_id}/archive", questions.archive, Action.content_write,
        name="archive_question",
        says="Take a question out of use; what was published keeps it.",
    ),
    authored(
        "POST /teacher/evaluations", evaluations.save_draft, Action.content_write, name="create_evaluation",
        status=201, given={"evaluation_id": None},
        says="Make an evaluation with its first draft.",
    ),
    authored(
        "GET /teacher/evaluations", evaluations.list_own, Action.content_read, name="list_evaluations",
        shows=NOBODY,
        says="List evaluations by their newest version, newest first.",
    ),
    authored(
        "GET /teacher/evaluations/{evaluation_id}", evaluations.fetch, Action.content_read,
        name="get_evaluation",
        shows=NOBODY,
        says="Return an evaluation's newest version, or an older one, with its questions and answer keys.",
    ),
    authored(
        "PUT /teacher/evaluations/{evaluation_id}/draft", evaluations.save_draft, Action.content_write,
        name="save_evaluation_draft",
        says="Replace the draft of an evaluation; after a publication this begins the next version.",
    ),
    authored(
        "POST /teacher/evaluations/{evaluation_id}/publish", evaluations.publish, Action.content_write,
        name="publish_evaluation",
        says="Freeze the draft for ever. Publishing again without a draft changes nothing.",
    ),
)  # fmt: skip
