"""For who writes exams: terms, passages, questions, evaluations."""

from typing import Final

from core_api.authoring import content, evaluations, questions
from core_api.cases import case
from kernel.access import Action
from kernel.http.web import NOBODY

ROUTES: Final = (
    case(
        content.create_term, name="create_term", method="POST", path="/teacher/terms",
        action=Action.content_write, tag="Authoring",
        says="Make a term or a skill: 201, or 200 with the one of that name.",
    ),
    case(
        content.list_terms, name="list_terms", method="GET", path="/teacher/terms",
        action=Action.content_read, tag="Authoring", shows=NOBODY,
        says="List the organisation's terms and skills, newest first.",
    ),
    case(
        content.save_passage, name="create_passage", method="POST", path="/teacher/passages",
        action=Action.content_write, tag="Authoring", status=201, given={"passage_id": None},
        says="Make a passage.",
    ),
    case(
        content.list_passages, name="list_passages", method="GET", path="/teacher/passages",
        action=Action.content_read, tag="Authoring", shows=NOBODY,
        says="List passages, newest first.",
    ),
    case(
        content.fetch_passage, name="passage", method="GET", path="/teacher/passages/{passage_id}",
        action=Action.content_read, tag="Authoring", shows=NOBODY,
        says="Return a passage, or an older version of it.",
    ),
    case(
        content.save_passage, name="update_passage", method="PUT", path="/teacher/passages/{passage_id}",
        action=Action.content_write, tag="Authoring",
        says="Save a passage as a new version.",
    ),
    case(
        content.archive_passage, name="archive_passage", method="POST",
        path="/teacher/passages/{passage_id}/archive", action=Action.content_write, tag="Authoring",
        says="Take a passage out of use; what was published keeps it.",
    ),
    case(
        questions.save, name="create_question", method="POST", path="/teacher/questions",
        action=Action.content_write, tag="Authoring", status=201, given={"question_id": None},
        says="Make a question.",
    ),
    case(
        questions.list_own, name="list_questions", method="GET", path="/teacher/questions",
        action=Action.content_read, tag="Authoring", shows=NOBODY,
        says="List questions, newest first.",
    ),
    case(
        questions.fetch, name="question", method="GET", path="/teacher/questions/{question_id}",
        action=Action.content_read, tag="Authoring", shows=NOBODY,
        says="Return a question with its answer key, or an older version of it.",
    ),
    case(
        questions.save, name="update_question", method="PUT", path="/teacher/questions/{question_id}",
        action=Action.content_write, tag="Authoring",
        says="Save a question as a new version; what was published keeps the old one.",
    ),
    case(
        questions.archive, name="archive_question", method="POST",
        path="/teacher/questions/{question_id}/archive", action=Action.content_write, tag="Authoring",
        says="Take a question out of use; what was published keeps it.",
    ),
    case(
        evaluations.save_draft, name="create_evaluation", method="POST", path="/teacher/evaluations",
        action=Action.content_write, tag="Authoring", status=201, given={"evaluation_id": None},
        says="Make an evaluation with its first draft.",
    ),
    case(
        evaluations.list_own, name="list_evaluations", method="GET", path="/teacher/evaluations",
        action=Action.content_read, tag="Authoring", shows=NOBODY,
        says="List evaluations by their newest version, newest first.",
    ),
    case(
        evaluations.fetch, name="evaluation", method="GET", path="/teacher/evaluations/{evaluation_id}",
        action=Action.content_read, tag="Authoring", shows=NOBODY,
        says="Return an evaluation's newest version, or an older one, with its questions and answer keys.",
    ),
    case(
        evaluations.save_draft, name="save_draft", method="PUT",
        path="/teacher/evaluations/{evaluation_id}/draft", action=Action.content_write, tag="Authoring",
        says="Replace the draft of an evaluation; after a publication this begins the next version.",
    ),
    case(
        evaluations.publish, name="publish_evaluation", method="POST",
        path="/teacher/evaluations/{evaluation_id}/publish", action=Action.content_write, tag="Authoring",
        says="Freeze the draft for ever. Publishing again without a draft changes nothing.",
    ),
)  # fmt: skip
