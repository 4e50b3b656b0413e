"""
What is asked of one running stack: the public document's examples as a story, the samples of
proctor-module.txt, a whole exam by a generated client and by hand (spec.md X-3, P-1, decision 6).
"""

import inspect
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from kernel.events import Role
from tests.integration.deploy.test_stack import answer, running_stack
from tests.kits.clusters import laid_state
from tests.kits.exam_day import exam_day
from tests.kits.generated import operations_of, python_client
from tests.kits.persons import Person
from tests.kits.samples import MODULE, play_samples
from tests.kits.secrecy import leaks_in
from tests.kits.story import Story, shown

WITHIN_S = 60.0
STORY = Path(__file__).parent / "story.txt"
# The demo's organisation takes nobody in; sockets are spoken to where they are tried.
UNPLAYED = {"register", "open_live_socket", "open_session_socket", "connect_to_proctor_hub"}


class Caller:
    """Somebody who calls the operations of a generated client; each answer is of its type."""

    def __init__(self, client: ModuleType, url: str, token: str | None = None) -> None:
        self.models: Any = import_module(f"{client.__name__}.models")
        self._operations = operations_of(client)
        whom = {"base_url": url, "verify_ssl": False}
        self._http = (
            client.Client(**whom) if token is None else client.AuthenticatedClient(**whom, token=token)
        )

    def close(self) -> None:
        self._http.get_httpx_client().close()

    def __call__(self, operation: str, *path: Any, **given: Any) -> Any:
        """Return what an operation answers; a problem is an answer too."""
        answer = self._operations[operation].sync_detailed(*path, client=self._http, **given)
        assert answer.parsed is not None, f"{operation}: {answer.status_code} {answer.content!r}"
        return answer.parsed

    def until(self, found: Callable[[Any], Any], operation: str, *path: Any, **given: Any) -> Any:
        """Ask until the answer shows what is waited for, and return it."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            answer = self(operation, *path, **given)
            if found(answer):
                return answer
            assert time.monotonic() < deadline, f"{operation}: last seen {answer}"
            time.sleep(0.2)


class Stack:
    """The running stack, and whoever has signed in by the client that was generated from its document."""

    def __init__(self, local: dict[str, Any], folder: Path) -> None:
        self.local = local
        with urllib.request.urlopen(f"{local['url']}/api/openapi.json", timeout=60) as reply:  # noqa: S310
            self.document = json.loads(reply.read())
        self.client = python_client(self.document, folder, "veritas_exam")
        self.open = ExitStack()

    def signed_in(self, role: str) -> tuple[Caller, UUID]:
        """Sign the demo's account of a role in, and return who that is."""
        account = next(each for each in self.local["accounts"] if each["role"] == role)
        nobody = self.open.enter_context(closing(Caller(self.client, self.local["url"])))
        login = nobody.models.Login(email=account["email"], password=account["password"])
        tokens = nobody("login", body=login)
        caller = Caller(self.client, self.local["url"], tokens.access_token)
        return self.open.enter_context(closing(caller)), tokens.user.id

    def token(self, role: str) -> str:
        """Return an access token of the demo's account of a role."""
        account = next(each for each in self.local["accounts"] if each["role"] == role)
        signed_in = answer(
            f"{self.local['url']}/api/auth/login",
            {"email": account["email"], "password": account["password"]},
        )
        return str(signed_in["access_token"])


@pytest.fixture(scope="module")
def stack(module_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(laid_state(module_folder / "state")) as (_, local):
        stack = Stack(local, tmp_path_factory.mktemp("client"))
        with stack.open:
            yield stack


def test_the_server_takes_every_example_and_answers_like_it_x3(stack: Stack) -> None:
    """Whoever adds an operation adds its example, and a line of the story: who sends it, after what."""
    steps = [line.split() for line in STORY.read_text().splitlines()]
    tokens = {role: stack.token(role) for role in {who for who, *_ in steps} & set(Role)}
    story = Story(stack.local["url"], tokens, stack.document)

    for who, name, *becomes in steps:
        story.play(who, name, *becomes)

    told = {f"{operation}.{word}".removesuffix(".example") for operation, word, _ in shown()}
    assert told - {name for _, name, *_ in steps} == UNPLAYED


@pytest.fixture
async def admin(stack: Stack) -> AsyncIterator[Person]:
    """The demo's admin, by whose client all others of the test ask as well."""
    async with aiohttp.ClientSession() as http:
        yield Person(http, stack.local["url"], stack.token("admin"))


async def test_every_sample_of_the_proctor_document_is_answered_like_it_p1(
    stack: Stack, admin: Person
) -> None:
    """Each in its order, with what happens between them; keys and types are those of the document."""
    teacher = Person(admin.http, admin.url, stack.token("teacher"))

    wrong = await play_samples(admin, teacher)

    assert {title: some for title, some in wrong.items() if some} == {}
    assert wrong.keys() == {sample.title for sample in MODULE.samples}


async def test_verify_candidates_cannot_see_proctor_data_in_a_whole_exam_day_decision_6(
    admin: Person,
) -> None:
    """
    proctor-module.txt, testing checklist: "Verify candidates cannot see proctor data".

    Neither in replies and refusals with their headers, nor in commands and messages of sockets; staff were
    told each of the secrets.
    """
    day = await exam_day(admin)
    staffs = [heard for person in day.staff.values() for heard in person.heard]
    told = b"\n".join(heard.raw for heard in staffs).decode(errors="replace")

    assert [what for what, word in day.words.items() if word not in told] == []
    assert day.numbers
    for name, sitting in day.sittings.items():
        words, heard = day.secrets_from(name), sitting.person.heard
        assert {"socket", "POST /api/proctor/heartbeat"} < {each.asked for each in heard}
        leaks = [(each.asked, each.status, leaks_in(each, words, day.numbers)) for each in heard]
        assert [each for each in leaks if each[-1]] == []
    statuses = {each.status for sitting in day.sittings.values() for each in sitting.person.heard}
    assert {200, 201, 202, 403, 404, 409, 422} - statuses == set()
    found = {what for each in staffs for what in leaks_in(each, day.words, day.numbers)}
    assert {"rule", "member riskScore", "member recentEvents"} < found, "the search finds what there is"


def set_exam(teacher: Caller, candidate: UUID) -> tuple[UUID, dict[str, UUID]]:
    """Write two questions, freeze and set them, and assign the exam; return its id and the questions'."""
    models = teacher.models
    items = {
        "choice": {
            "kind": "single_choice",
            "content": {
                "stem": "Which one?",
                "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}],
            },
            "key": {"choice": "b"},
        },
        "number": {
            "kind": "numeric",
            "content": {"stem": "Six by seven?"},
            "key": {"number": 42, "tolerance": 0},
        },
    }
    questions = {
        name: teacher(
            "create_question", body=models.SaveQuestion.from_dict({"item": item, "points": 2})
        ).question_id
        for name, item in items.items()
    }
    drafted = [models.DraftItem(question_id=each) for each in questions.values()]
    draft = teacher("create_evaluation", body=models.SaveDraft(title="Arithmetic", items=drafted))
    version = teacher("publish_evaluation", draft.evaluation_id)
    new = models.NewExam(
        title="Arithmetic", duration_minutes=30, evaluation_version_id=version.evaluation_version_id
    )
    exam = teacher("create_exam", body=new, idempotency_key=str(uuid4()))
    assert teacher("publish_exam", exam.id).is_published
    assert teacher("assign_exam", exam.id, body=models.Assign(user_ids=[candidate])).count == 1
    return exam.id, questions


def test_a_whole_python_client_is_generated_and_knows_every_reply_x3(stack: Stack) -> None:
    operations, document = operations_of(stack.client), stack.document
    documented = {
        each["operationId"]: each for entry in document["paths"].values() for each in entry.values()
    }

    assert set(operations) == set(documented)
    for name, operation in documented.items():
        module = operations[name]
        assert ("body" in inspect.signature(module.sync_detailed).parameters) == ("requestBody" in operation)
        read = inspect.getsource(module._parse_response)
        assert [status for status in operation["responses"] if f"== {status}:" not in read] == [], name


def test_a_generated_client_drives_a_whole_exam_x3(stack: Stack) -> None:
    teacher, _ = stack.signed_in("teacher")
    candidate, candidate_id = stack.signed_in("student")
    exam_id, questions = set_exam(teacher, candidate_id)
    models = teacher.models

    assert exam_id in {each.id for each in candidate("list_available_exams").exams}
    attempt = candidate("start_attempt", exam_id)
    assert attempt.status == models.AttemptStatus.IN_PROGRESS
    paper = candidate("get_paper", attempt.attempt_id).paper
    assert [each.question_id for each in paper.items] == list(questions.values())
    right = {"choice": {"choice": "b"}, "number": {"number": 42}}
    answers = [
        models.Answer(question_id=questions[name], client_seq=1, response=models.Response.from_dict(response))
        for name, response in right.items()
    ]
    saved = candidate("save_answers", attempt.attempt_id, body=models.SaveAnswers(answers=answers))
    assert all(each.accepted for each in saved.stored)

    taken = models.CreateSession(attempt_id=attempt.attempt_id, mode=models.Mode.SOFT, browser_name="Firefox")
    session = candidate("create_session", body=taken).data
    events = [
        models.EventIn(event_type=models.EventType.TAB_SWITCHED, severity=models.Severity.MEDIUM),
        models.EventIn(event_type=models.EventTypeName.COPYATTEMPT, severity=models.SeverityName.HIGH),
    ]
    batch = models.BulkIn(
        proctor_session_id=session.proctor_session_id,
        events=events,
        client_instance="tab-1",
        client_sequence=1,
    )
    logged = candidate("log_events", body=batch)
    assert (logged.data, logged.ack.acked_through, logged.ack.missing) == (2, 2, [])
    beat = models.HeartbeatIn(proctor_session_id=session.proctor_session_id)
    heartbeat = candidate("send_heartbeat", body=beat, accept_language="ar")
    assert (heartbeat.data.has_warning, heartbeat.data.total_violations) == (False, None)
    single = models.SingleIn(proctor_session_id=session.proctor_session_id, event_type="lunch")
    other = candidate("log_event", body=single).data
    assert (other.event_type, other.event_type_name) == (models.EventType.OTHER, "lunch")

    key = str(uuid4())
    handed_in = candidate("submit_attempt", attempt.attempt_id, body=models.Submit(), idempotency_key=key)
    again = candidate("submit_attempt", attempt.attempt_id, body=models.Submit(), idempotency_key=key)
    assert again.submission_id == handed_in.submission_id
    receipt = candidate.until(
        lambda found: found.ledger.status == "sealed", "get_receipt", attempt.attempt_id
    )
    assert receipt.receipt.content_sha256 == handed_in.content_sha256
    late = candidate(
        "log_event",
        body=models.SingleIn(proctor_session_id=session.proctor_session_id, event_type="tab_switched"),
    )
    assert (type(late), late.code) == (models.Problem, models.ErrorCode.SESSION_NOT_ACTIVE)

    listed = teacher("list_submissions", exam_id).submissions
    assert [each.submission_id for each in listed] == [handed_in.submission_id]
    graded = teacher("get_submission_to_grade", handed_in.submission_id)
    assert sum(each.points for each in graded.items) == 4
    timeline = teacher.until(
        lambda found: found.summary.events >= 4, "get_attempt_monitoring", attempt.attempt_id
    )
    assert {"TabSwitched", "CopyAttempt", "lunch"} <= {each.event_type for each in timeline.events}
    counted = teacher.until(lambda found: found.students, "get_exam_analytics", exam_id)
    assert counted.students[0].student_id == candidate_id

    refused = candidate("get_exam", exam_id)
    assert (type(refused), refused.code, refused.status) == (models.Problem, models.ErrorCode.FORBIDDEN, 403)
    unknown = teacher("get_exam", uuid4())
    assert (unknown.code, unknown.success) == (models.ErrorCode.NOT_FOUND, False)
