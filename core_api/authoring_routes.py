"""
Handlers for who writes exams: terms, passages, questions, evaluations.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from aiohttp import web

from core_api import content, evaluations, questions
from core_api.actors import actor_of
from core_api.database import POOL, connection
from core_api.wire import read_json, uuid_in_path
from kernel.access import Action
from kernel.web import NOBODY, Route, decode_query, send_json


async def create_term(request: web.Request) -> web.Response:
    """Make a term or a skill: 201, or 200 with the one of that name."""
    command = await read_json(request, content.NewTerm)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        term, created = await content.create_term(conn, actor_of(request), command, now=datetime.now(UTC))
    return send_json(term, status=201 if created else 200)


async def list_terms(request: web.Request) -> web.Response:
    """List the organisation's terms and skills, newest first."""
    query = decode_query(request, content.ListTerms)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await content.list_terms(conn, actor_of(request), query))


async def create_passage(request: web.Request) -> web.Response:
    """Make a passage."""
    return await _save_passage(request, None)


async def update_passage(request: web.Request) -> web.Response:
    """Save a passage as a new version."""
    return await _save_passage(request, uuid_in_path(request, "passage_id"))


async def _save_passage(request: web.Request, passage_id: UUID | None) -> web.Response:
    command = await read_json(request, content.SavePassage)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        passage = await content.save_passage(
            conn, actor_of(request), passage_id, command, now=datetime.now(UTC)
        )
    return send_json(passage, status=201 if passage_id is None else 200)


async def passage(request: web.Request) -> web.Response:
    """Return a passage, or an older version of it."""
    passage_id = uuid_in_path(request, "passage_id")
    query = decode_query(request, content.WhichVersion)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await content.fetch_passage(conn, actor_of(request), passage_id, query.version))


async def list_passages(request: web.Request) -> web.Response:
    """List passages, newest first."""
    query = decode_query(request, content.ListPassages)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await content.list_passages(conn, actor_of(request), query))


async def archive_passage(request: web.Request) -> web.Response:
    """Take a passage out of use; what was published keeps it."""
    passage_id = uuid_in_path(request, "passage_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(
            await content.archive_passage(conn, actor_of(request), passage_id, now=datetime.now(UTC))
        )


async def create_question(request: web.Request) -> web.Response:
    """Make a question."""
    return await _save_question(request, None)


async def update_question(request: web.Request) -> web.Response:
    """Save a question as a new version; what was published keeps the old one."""
    return await _save_question(request, uuid_in_path(request, "question_id"))


async def _save_question(request: web.Request, question_id: UUID | None) -> web.Response:
    command = await read_json(request, questions.SaveQuestion)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        question = await questions.save(conn, actor_of(request), question_id, command, now=datetime.now(UTC))
    return send_json(question, status=201 if question_id is None else 200)


async def question(request: web.Request) -> web.Response:
    """Return a question with its key, or an older version of it."""
    question_id = uuid_in_path(request, "question_id")
    query = decode_query(request, content.WhichVersion)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await questions.fetch(conn, actor_of(request), question_id, query.version))


async def list_questions(request: web.Request) -> web.Response:
    """List questions, newest first."""
    query = decode_query(request, questions.ListQuestions)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await questions.list_own(conn, actor_of(request), query))


async def archive_question(request: web.Request) -> web.Response:
    """Take a question out of use; what was published keeps it."""
    question_id = uuid_in_path(request, "question_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await questions.archive(conn, actor_of(request), question_id, now=datetime.now(UTC)))


async def create_evaluation(request: web.Request) -> web.Response:
    """Make an evaluation with its first draft."""
    return await _save_draft(request, None)


async def save_draft(request: web.Request) -> web.Response:
    """Replace the draft of an evaluation; after a publication this begins the next version."""
    return await _save_draft(request, uuid_in_path(request, "evaluation_id"))


async def _save_draft(request: web.Request, evaluation_id: UUID | None) -> web.Response:
    command = await read_json(request, evaluations.SaveDraft)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        draft = await evaluations.save_draft(
            conn, actor_of(request), evaluation_id, command, now=datetime.now(UTC)
        )
    return send_json(draft, status=201 if evaluation_id is None else 200)


async def publish_evaluation(request: web.Request) -> web.Response:
    """Freeze the draft for ever. Publishing again without a draft changes nothing."""
    evaluation_id = uuid_in_path(request, "evaluation_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(
            await evaluations.publish(conn, actor_of(request), evaluation_id, now=datetime.now(UTC))
        )


async def evaluation(request: web.Request) -> web.Response:
    """Return an evaluation's newest version, or an older one, with its items and key."""
    evaluation_id = uuid_in_path(request, "evaluation_id")
    query = decode_query(request, content.WhichVersion)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await evaluations.fetch(conn, actor_of(request), evaluation_id, query.version))


async def list_evaluations(request: web.Request) -> web.Response:
    """List evaluations by their newest version, newest first."""
    query = decode_query(request, evaluations.ListEvaluations)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await evaluations.list_own(conn, actor_of(request), query))


ROUTES: Final = (
    Route(
        method="POST", path="/teacher/terms", handler=create_term, action=Action.content_write,
        tag="Authoring", body=content.NewTerm, reply=content.Term, status=201, also_status=(200,),
    ),
    Route(
        method="GET", path="/teacher/terms", shows=NOBODY,
        handler=list_terms, action=Action.content_read, tag="Authoring",
        query=content.ListTerms, reply=content.Terms,
    ),
    Route(
        method="POST", path="/teacher/passages", handler=create_passage, action=Action.content_write,
        tag="Authoring", body=content.SavePassage, reply=content.Passage, status=201,
    ),
    Route(
        method="GET", path="/teacher/passages", shows=NOBODY,
        handler=list_passages, action=Action.content_read,
        tag="Authoring", query=content.ListPassages, reply=content.Passages,
    ),
    Route(
        method="GET", path="/teacher/passages/{passage_id}", shows=NOBODY,
        handler=passage, action=Action.content_read,
        tag="Authoring", query=content.WhichVersion, reply=content.Passage,
    ),
    Route(
        method="PUT", path="/teacher/passages/{passage_id}", handler=update_passage,
        action=Action.content_write, tag="Authoring", body=content.SavePassage, reply=content.Passage,
    ),
    Route(
        method="POST", path="/teacher/passages/{passage_id}/archive", handler=archive_passage,
        action=Action.content_write, tag="Authoring", reply=content.Passage,
    ),
    Route(
        method="POST", path="/teacher/questions", handler=create_question, action=Action.content_write,
        tag="Authoring", body=questions.SaveQuestion, reply=questions.Question, status=201,
    ),
    Route(
        method="GET", path="/teacher/questions", shows=NOBODY,
        handler=list_questions, action=Action.content_read,
        tag="Authoring", query=questions.ListQuestions, reply=questions.Questions,
    ),
    Route(
        method="GET", path="/teacher/questions/{question_id}", shows=NOBODY,
        handler=question, action=Action.content_read,
        tag="Authoring", query=content.WhichVersion, reply=questions.Question,
    ),
    Route(
        method="PUT", path="/teacher/questions/{question_id}", handler=update_question,
        action=Action.content_write, tag="Authoring", body=questions.SaveQuestion, reply=questions.Question,
    ),
    Route(
        method="POST", path="/teacher/questions/{question_id}/archive", handler=archive_question,
        action=Action.content_write, tag="Authoring", reply=questions.Question,
    ),
    Route(
        method="POST", path="/teacher/evaluations", handler=create_evaluation, action=Action.content_write,
        tag="Authoring", body=evaluations.SaveDraft, reply=evaluations.WholeVersion, status=201,
    ),
    Route(
        method="GET", path="/teacher/evaluations", shows=NOBODY,
        handler=list_evaluations, action=Action.content_read,
        tag="Authoring", query=evaluations.ListEvaluations, reply=evaluations.Versions,
    ),
    Route(
        method="GET", path="/teacher/evaluations/{evaluation_id}", shows=NOBODY,
        handler=evaluation,
        action=Action.content_read, tag="Authoring", query=content.WhichVersion,
        reply=evaluations.WholeVersion,
    ),
    Route(
        method="PUT", path="/teacher/evaluations/{evaluation_id}/draft", handler=save_draft,
        action=Action.content_write, tag="Authoring", body=evaluations.SaveDraft,
        reply=evaluations.WholeVersion,
    ),
    Route(
        method="POST", path="/teacher/evaluations/{evaluation_id}/publish", handler=publish_evaluation,
        action=Action.content_write, tag="Authoring", reply=evaluations.WholeVersion,
    ),
)  # fmt: skip
