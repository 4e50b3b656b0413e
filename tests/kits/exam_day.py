"""
A whole exam day on a running stack, in which every secret is a word of its own (spec.md, decision 6).

Two candidates sit an exam, are warned, paused, flagged and terminated, send evidence and events that rules
count, hand in, are observed, reviewed, decided upon and overridden, and ask all that there is to ask. What
they were told on the way is in their `heard`, what staff were told in theirs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from msgspec import Struct

from tests.kits.persons import WITHIN_S, Heard, Person, enrol, set_exam

STAFF: Final = "masters.example"
PUPILS: Final = "pupils.example"
FILM: Final = b"\x1aE\xdf\xa3 the first bytes of a film"
# What the day's own rule makes of an event: scores are numbers that stand nowhere else.
POINTS: Final = 13.37
# What ends a sign-in, and what tells of no candidate: files, and the document itself.
UNASKED: Final = ("/auth/logout", "/me/password", "/docs/{name}", "/openapi.json", "/docs")


class Sitting(Struct):
    """A candidate at the exam."""

    person: Person
    user_id: str
    attempt_id: str = ""
    session_id: int = 0
    evidence_id: int = 0
    event_id: int = 0


class Day:
    """Who is there, and what is secret: words by what they are, and numbers that only staff see."""

    def __init__(self, admin: Person) -> None:
        self.admin = admin
        self.staff: dict[str, Person] = {}
        self.words: dict[str, str] = {}
        self.numbers: set[float] = set()
        self.sittings: dict[str, Sitting] = {}
        self.exam_id = ""
        self.questions: list[str] = []

    def secret(self, of: str) -> str:
        """Return a word that stands nowhere else, and is told to no candidate."""
        self.words[of] = f"heron-{of.replace(' ', '-')}"
        return self.words[of]

    async def hire(self, name: str, role: str) -> Person:
        """Make a member of staff, of whom no candidate hears."""
        self.staff[role], user_id = await enrol(self.admin, name, role, domain=STAFF)
        self.words |= {f"{role}'s name": name, f"{role}'s id": user_id, "addresses of staff": f"@{STAFF}"}
        return self.staff[role]

    async def pupil(self, name: str) -> Sitting:
        """Make a candidate."""
        person, user_id = await enrol(self.admin, name, "student", domain=PUPILS)
        self.sittings[name] = Sitting(person, user_id)
        return self.sittings[name]

    def secrets_from(self, name: str) -> dict[str, str]:
        """Return what a candidate must not have been told: what is staff's, and what is the other's."""
        found = dict(self.words)
        for other, sitting in self.sittings.items():
            if other != name:
                found |= {
                    f"{other}'s name": other, f"{other}'s address": other.lower().replace(" ", "."),
                    f"{other}'s id": sitting.user_id, f"{other}'s attempt": sitting.attempt_id,
                    f"{other}'s event": str(sitting.event_id),
                }  # fmt: skip
        return found


async def exam_day(admin: Person) -> Day:
    """Let a whole day pass, and return it."""
    day = Day(admin)
    boss = await day.hire("Cordelia Yffingdale", "admin")
    teacher = await day.hire("Zerlinda Quokkafield", "teacher")
    reviewer = await day.hire("Barnabas Wrenthorpe", "reviewer")
    observer = await day.hire("Theodora Muskgrove", "observer")
    ada, bob = [await day.pupil(name) for name in ("Ottoline Fennimore", "Crispin Vandeleur")]
    rule = await boss.must("POST /api/proctor/rules", _rule(day))
    day.exam_id, day.questions = await set_exam(teacher, "Arithmetic", ada.user_id, bob.user_id)
    for user_id in (day.words["reviewer's id"], day.words["observer's id"]):
        await boss.must(f"POST /api/admin/exams/{day.exam_id}/permissions", {"user_id": user_id})
    for sitting in (ada, bob):
        await _begin(day, sitting)
    async with _listening(ada.person, ada.session_id), _listening(bob.person, bob.session_id):
        for sitting in (ada, bob):
            await _work(day, sitting)
        await _scored(day, reviewer, ada, bob)
        await _act(day, teacher, boss, ada, rule["data"]["id"])
        for sitting in (ada, bob):
            await _work(day, sitting)
        await _end(day, teacher, ada, bob)
    await _observe(day, observer, ada)
    await _review(day, ada, bob)
    await _look(day, ada, bob)
    document = await Person(admin.http, admin.url).must("GET /api/openapi.json")
    for about in (ada, bob):
        for request in _requests(document, day, about):
            await ada.person.ask(request, None if request.startswith(("GET", "DELETE")) else {})
    return day


def _rule(day: Day) -> dict[str, Any]:
    return {
        "nameEn": day.secret("rule"), "nameAr": day.secret("rule in Arabic"),
        "descriptionEn": day.secret("description of the rule"), "isActive": True, "eventType": 7,
        "thresholdCount": 1, "windowSeconds": 0, "riskPoints": POINTS, "maxTriggers": 3,
    }  # fmt: skip


async def _begin(day: Day, sitting: Sitting) -> None:
    """Let a candidate find the exam, begin it, and take up the session."""
    person = sitting.person
    await person.must("GET /api/student/exams/available")
    begun = await person.must(f"POST /api/student/exams/{day.exam_id}/start")
    sitting.attempt_id = begun["attempt_id"]
    await person.must(f"GET /api/student/attempts/{sitting.attempt_id}/paper")
    taken = await person.must("POST /api/proctor/session", {"attemptId": sitting.attempt_id, "mode": 2})
    sitting.session_id = taken["data"]["proctorSessionId"]
    sitting.evidence_id = await _send(person, "seat.webm", proctorSessionId=sitting.session_id)


async def _send(person: Person, file_name: str, **of: Any) -> int:
    """Let somebody send evidence of a session or for an exam, and return its id."""
    asked = {"type": 1, "fileName": file_name, "contentType": "video/webm", **of}
    place = (await person.must("POST /api/proctor/evidence/request-upload", asked))["data"]
    await person.must(f"PUT {place['uploadUrl']}", FILM, Content_Type="video/webm", Authorization="")
    await person.must(f"POST /api/proctor/evidence/{place['evidenceId']}/confirm", {})
    return int(place["evidenceId"])


async def _work(day: Day, sitting: Sitting) -> None:
    """Let a candidate save an answer and their client report, by each of its ways, what rules count."""
    person, session = sitting.person, {"proctorSessionId": sitting.session_id}
    answers = [{"question_id": day.questions[0], "client_seq": 1, "response": {"choice": "b"}}]
    await person.must(f"PUT /api/student/attempts/{sitting.attempt_id}/answers", {"answers": answers})
    logged = await person.must("POST /api/proctor/event", {**session, "eventType": 7, "severity": 3})
    sitting.event_id = logged["data"]["id"]
    events = [{"eventType": kind} for kind in (7, 2, 2, 2, 2, 5, 5)]
    await person.must("POST /api/proctor/events/bulk", {**session, "events": events})
    keys = {"attempt_id": sitting.attempt_id, "event_type": "keystroke"}
    await person.must("POST /api/monitor/events", keys)
    for language in ("en", "ar"):
        await person.must("POST /api/proctor/heartbeat", session, Accept_Language=language)


async def _scored(day: Day, reviewer: Person, *sittings: Sitting) -> None:
    """Wait until staff see a score that the day's own rule has made, and look at all that they may."""
    for each in sittings:
        session = f"/api/proctor/session/{each.session_id}"
        await reviewer.until(lambda reply: (reply["data"]["riskScore"] or 0) > POINTS, f"GET {session}")
        risk = await reviewer.must(f"POST {session}/calculate-risk")
        assert day.words["rule"] in str(risk), "the day's rule makes the score"


async def _act(day: Day, teacher: Person, boss: Person, ada: Sitting, rule_id: int) -> None:
    """Let staff do in a session all that they can, and give the candidate's client time to hear of it."""
    session = f"/api/proctor/session/{ada.session_id}"
    await teacher.must(f"POST {session}/warn", {"textEn": "Look ahead.", "reason": day.secret("warning")})
    await teacher.must(f"POST {session}/flag", {"reason": day.secret("flag")})
    await teacher.must(f"POST {session}/pause", {"reason": day.secret("pause")})
    await ada.person.ask(f"PUT /api/student/attempts/{ada.attempt_id}/answers", {"answers": []})
    await ada.person.ask(f"GET /api/student/attempts/{ada.attempt_id}/paper")
    await ada.person.must(f"POST /api/student/exams/{day.exam_id}/start")
    await teacher.must(f"POST {session}/resume", {"reason": day.secret("resumption")})
    await teacher.must(f"POST {session}/extra-time", {"minutes": 5, "reason": day.secret("extra time")})
    announced = {"room": {"wholeExam": True}, "textEn": "Ten minutes.", "reason": day.secret("announcement")}
    await teacher.must(f"POST /api/proctor/exam/{day.exam_id}/announce", announced)
    adjusted = {"ruleId": rule_id, "percent": 50, "reason": day.secret("adjustment")}
    await boss.must(f"POST {session}/risk/adjustments", adjusted)
    commands = await ada.person.until(lambda reply: len(reply["data"]) >= 5, f"GET {session}/commands")
    await ada.person.must(f"POST {session}/commands/{commands['data'][0]['id']}/confirm")
    beat = {"proctorSessionId": ada.session_id, "confirmedCommands": [commands["data"][1]["id"]]}
    await ada.person.must("POST /api/proctor/heartbeat", beat)


async def _end(day: Day, teacher: Person, ada: Sitting, bob: Sitting) -> None:
    """Let one hand in and the other be terminated; their clients go on for a moment."""
    why = {"reason": day.secret("termination")}
    await teacher.must(f"POST /api/proctor/session/{bob.session_id}/terminate", why)
    await ada.person.must(f"POST /api/student/attempts/{ada.attempt_id}/submit", {})
    for each in (ada, bob):
        refused = await each.person.ask("POST /api/proctor/heartbeat", {"proctorSessionId": each.session_id})
        assert refused.status in {202, 409}, refused
        await each.person.ask(f"POST /api/student/attempts/{each.attempt_id}/submit", {})


async def _observe(day: Day, observer: Person, ada: Sitting) -> None:
    """Let an observer record a finding about a candidate, with evidence."""
    evidence_id = await _send(observer, "finding.webm", examId=day.exam_id)
    finding = {
        "subject_ids": [ada.user_id],
        "items": [{"question_id": day.questions[1], "response": {"text": day.secret("finding")}}],
        "evidence": [{"evidence_id": evidence_id}],
    }
    path = f"/api/observer/exams/{day.exam_id}/observations"
    await observer.must(f"POST {path}", finding, Idempotency_Key="a-finding")


async def _review(day: Day, ada: Sitting, bob: Sitting) -> None:
    """
    Let the attempts be looked at and decided, by one and by two who do not agree, with an admin between them;
    and decided otherwise, again by the admin.
    """
    boss, teacher, reviewer = (day.staff[role] for role in ("admin", "teacher", "reviewer"))
    for each in (ada, bob):
        await reviewer.must(f"GET /api/proctor/session/{each.session_id}/evidence")
        await reviewer.must(f"GET /api/proctor/evidence/{each.evidence_id}/download-url")
    await reviewer.must(f"POST /api/proctor/session/{ada.session_id}/claim")
    await reviewer.must("POST /api/proctor/decision", _decision(day, ada, status=3, finalize=False))
    await _seen(ada)
    await reviewer.must("POST /api/proctor/decision", _decision(day, ada, status=4, finalize=True))
    await teacher.must(f"PATCH /api/teacher/exams/{day.exam_id}", {"double_review": True})
    for person, status in ((reviewer, 2), (teacher, 4)):
        review = {"status": status, **_reasons(day, "review")}
        await person.must(f"POST /api/proctor/session/{bob.session_id}/review", review)
        await _seen(bob)
    await boss.must("POST /api/proctor/decision", _decision(day, bob, status=4, finalize=True))
    for each in (ada, bob):
        await _seen(each)
        made = await boss.must(f"GET /api/proctor/session/{each.session_id}/decision")
        overridden = {
            "decisionId": made["data"]["id"], "newStatus": 2, "overrideReason": day.secret("override"),
            "decisionReasonEn": day.secret("reason of the override"),
        }  # fmt: skip
        await boss.must("POST /api/proctor/decision/override", overridden)
        await _seen(each)


def _decision(day: Day, sitting: Sitting, **more: Any) -> dict[str, Any]:
    return {"proctorSessionId": sitting.session_id, **_reasons(day, "decision"), **more}


def _reasons(day: Day, of: str) -> dict[str, str]:
    return {
        "decisionReasonEn": day.secret(f"reason of the {of}"),
        "decisionReasonAr": day.secret(f"reason of the {of} in Arabic"),
        "internalNotes": day.secret(f"notes of the {of}"),
    }


async def _seen(sitting: Sitting) -> None:
    """Let a candidate look at what became of their attempt."""
    attempt = f"/api/student/attempts/{sitting.attempt_id}"
    for path in (attempt, f"{attempt}/receipt", f"{attempt}/submission", "/api/student/dashboard"):
        await sitting.person.ask(f"GET {path}")
    await sitting.person.must(f"GET /api/proctor/session/attempt/{sitting.attempt_id}")


async def _look(day: Day, *sittings: Sitting) -> None:
    """Let staff look at all that was recorded, and take note of every score that anybody ever had."""
    boss, reviewer, observer = (day.staff[role] for role in ("admin", "reviewer", "observer"))
    await boss.must("GET /api/proctor/rules")
    await boss.must(f"GET /api/admin/exams/{day.exam_id}/permissions")
    (made,) = (await observer.must("GET /api/observer/observations"))["observations"]
    await observer.must(f"GET /api/observer/observations/{made['submission_id']}")
    for each in sittings:
        session = f"/api/proctor/session/{each.session_id}"
        for what in ("", "/events", "/actions", "/decision", "/reviews", "/risk/adjustments"):
            await reviewer.must(f"GET {session}{what}")
        kept = await reviewer.must(f"GET {session}/risk/snapshots")
        scores = {one[name] for one in kept["data"] for name in ("riskScore", "peakRiskScore")}
        day.numbers |= {score for score in scores if score % 1}  # whole ones stand elsewhere, too


def _requests(document: Any, day: Day, about: Sitting) -> Iterator[str]:
    """Yield every operation's method and address, about a candidate and their attempt."""
    known = {
        "attempt_id": about.attempt_id, "attemptId": about.attempt_id, "id": about.session_id,
        "exam_id": day.exam_id, "examId": day.exam_id, "user_id": about.user_id, "type": 7, "commandId": 1,
        "evidence_id": about.evidence_id, "rule_id": 1, "question_id": day.questions[0],
    }  # fmt: skip
    for path, entry in document["paths"].items():
        if path.endswith(UNASKED):
            continue
        address = path
        for parameter, value in known.items():
            address = address.replace(f"{{{parameter}}}", str(value))
        yield from (f"{method.upper()} {address.translate({123: None, 125: None})}" for method in entry)


@asynccontextmanager
async def _listening(person: Person, session_id: int) -> AsyncIterator[None]:
    """Hear what comes to a client's socket, until the server closes it: the session has ended by then."""
    session = f"/api/proctor/session/{session_id}"
    ticket = (await person.must(f"POST {session}/ticket"))["data"]["ticket"]

    async def listen() -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                person.heard.append(Heard("socket", 101, {}, message.data.encode()))

    async with person.http.ws_connect(f"{person.url}{session}/socket", params={"ticket": ticket}) as socket:
        listening = asyncio.create_task(listen())
        try:
            yield
            async with asyncio.timeout(WITHIN_S):
                await listening
        finally:
            listening.cancel()
