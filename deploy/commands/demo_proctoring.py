"""
The demo's review: who was silent and why, whose session comes first, what explains its score, the score
computed again, the decision, and the evidence with everybody who had to do with it.

Three candidates are given something to do, so that there is something to see; everybody else acts as dice
say.
"""

import asyncio
import struct
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from deploy.commands.demo_receipts import verify
from kernel.events import DecisionStatus, EvidenceType, Role
from kernel.risk import POINT
from kernel.settings import Settings
from loadtests.client.behaviour import Part, asleep, cut_off, tempted
from loadtests.client.client import Seat
from loadtests.client.room import Room
from loadtests.client.stack import Stack, StackError, call
from pipeline.replays import Replay, replay
from sql.running import connect
from warehouse.files import open_root

TEMPTED: Final = 0  # who is tempted, by their place in the room
SILENT: Final = {1: cut_off, 2: asleep}
OFFLINE_S: Final = 48.0  # past the 45 s from which a silence is recorded
LONG_S: Final = 60  # an exam that is long enough for one
ACTS_OF_EXAM: Final = 12  # one of the tempted one's acts takes so small a part of the exam
WITHIN_S: Final = 45.0
POLL_S: Final = 0.25
QUEUE_SHOWN: Final = 3
SIDE: Final = 240  # pixels of the picture
WHAT_HAPPENED: Final = {
    "evidence.requested": "asked where to send it",
    "evidence.uploaded": "sent it; its SHA-256 was computed here",
    "evidence.confirmed": "confirmed that this is all",
    "evidence.granted": "was given an address to fetch it",
    "evidence.viewed": "fetched it",
    "custody.viewed": "asked for this list",
}


def cast(seconds: int) -> dict[int, Part]:
    """Return what the first candidates do; silences are for exams that are long enough."""
    parts: dict[int, Part] = {TEMPTED: partial(tempted, every_s=seconds / ACTS_OF_EXAM)}
    if seconds >= LONG_S:
        parts |= {place: partial(part, offline_s=OFFLINE_S) for place, part in SILENT.items()}
    return parts


# -- evidence


def picture() -> bytes:
    """Return a PNG, as a page's screenshot would be: an image in grey, dark to light."""
    lines = b"".join(b"\x00" + bytes((x + y) * 255 // (2 * SIDE) for x in range(SIDE)) for y in range(SIDE))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _part(b"IHDR", head)
        + _part(b"IDAT", zlib.compress(lines))
        + _part(b"IEND", b"")
    )


def _part(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


async def send_picture(http: aiohttp.ClientSession, stack: Stack, seat: Seat) -> int:
    """Send a screenshot as a page does: ask where to, put it there, confirm; return its number."""
    file, evidence = picture(), f"{stack.url}/api/proctor/evidence"
    asked = {
        "proctorSessionId": seat.session_id,
        "type": int(EvidenceType.ScreenCapture),
        "fileName": "screen.png",
        "contentType": "image/png",
    }
    given = (await call(http, "POST", f"{evidence}/request-upload", token=seat.token, body=asked))["data"]
    headers = {"Content-Type": "image/png"}
    async with http.put(stack.url + given["uploadUrl"], data=file, headers=headers) as reply:
        if reply.status != HTTPStatus.OK:
            raise StackError(f"PUT {given['uploadUrl']}: {reply.status} {await reply.text()}")
    closing = {"checksum": sha256(file).hexdigest(), "fileSize": len(file)}
    number: int = given["evidenceId"]
    await call(http, "POST", f"{evidence}/{number}/confirm", token=seat.token, body=closing)
    return number


# -- the review


class Desk:
    """Where an exam is reviewed; `key` is the ledger's public one, what is checked is saved in `folder`."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        stack: Stack,
        room: Room,
        console: Console,
        key: str,
        folder: Path,
    ) -> None:
        self.http = http
        self.stack = stack
        self.room = room
        self.console = console
        self.key = key
        self.folder = folder

    async def get(self, path: str) -> dict[str, Any]:
        """Return what a route answers to the exam's teacher."""
        return await call(self.http, "GET", f"{self.stack.url}/api{path}", token=self.room.token)

    async def post(self, path: str, body: object = None) -> dict[str, Any]:
        """Return what a route answers to the exam's teacher."""
        url = f"{self.stack.url}/api{path}"
        reply: dict[str, Any] = (await call(self.http, "POST", url, token=self.room.token, body=body))["data"]
        return reply

    def say(self, title: str, route: str, *sentences: str) -> None:
        """Print what is shown next, where it comes from, and how to read it."""
        self.console.print(f"\n[bold]{title}[/bold]  [dim]{route}[/dim]")
        for sentence in sentences:
            self.console.print(sentence)


async def review(desk: Desk, evidence_id: int, seconds: int) -> bool:
    """Show the review; True when all that was promised came to be."""
    sound = not seconds >= LONG_S or await _silences(desk)
    suspect = desk.room.clients[TEMPTED].seat
    await _queue(desk)
    sound &= await _score(desk, suspect.session_id)
    await _decision(desk, suspect.session_id)
    return sound & await _custody(desk, suspect.session_id, evidence_id)


async def _silences(desk: Desk) -> bool:
    """Show two silences of the same length, and how differently they are judged."""
    desk.say(
        "Who was silent, and why",
        "GET /api/teacher/attempts/{attempt_id}/monitoring",
        "Two clients were not heard for more than 45 seconds. One had no network, and sent afterwards what "
        "had happened meanwhile: that silence is explained, and costs nothing. Nothing explains the other's.",
    )
    table = Table("candidate", "silent", "heartbeats missed", "filled later", "judged", "risk")
    gaps = [gap for place in SILENT for gap in await _judged(desk, desk.room.clients[place].seat)]
    for name, gap, score, rules in gaps:
        table.add_row(
            name,
            f"{gap['duration_s']:.0f} s",
            str(gap["missed"]),
            f"{gap['covered']} of {gap['missed']}",
            gap["classification"],
            f"{score:g}  {rules}".strip(),
        )
    desk.console.print(table)
    return {gap["classification"] for _, gap, _, _ in gaps} == {"network", "unexplained"}


async def _judged(desk: Desk, seat: Seat) -> list[tuple[str, dict[str, Any], float, str]]:
    """Return a candidate's silences, once they are judged, with the score of the session."""
    deadline = monotonic() + WITHIN_S
    with desk.console.status("waiting until the silences are judged: what fills one may come later"):
        while True:
            found = await desk.get(f"/teacher/attempts/{seat.attempt_id}/monitoring?limit=1")
            gaps = found["heartbeat_gaps"]
            if (gaps and all(gap["classification"] for gap in gaps)) or monotonic() > deadline:
                break
            await asyncio.sleep(POLL_S)
    scored = await desk.post(f"/proctor/session/{seat.session_id}/calculate-risk")
    rules = ", ".join(each["ruleName"] for each in scored["triggeredRules"])
    name = found["attempt"]["student_name"]
    return [(name, gap, scored["riskScore"], rules) for gap in gaps if gap["classification"]]


async def _queue(desk: Desk) -> None:
    """Show who is looked at first."""
    pending = await desk.get(f"/proctor/pending-review?examId={desk.room.exam_id}&limit={QUEUE_SHOWN}")
    desk.say(
        "What the reviewer sees first",
        "GET /api/proctor/pending-review",
        "Sessions that have ended and wait for a decision, the highest score first. What the numbers speak "
        "for stands beside; it decides nothing.",
    )
    table = Table("candidate", "peak", "level", "violations", "the numbers speak for", "because")
    for each in pending["data"]:
        advice = each["recommendation"]
        table.add_row(
            each["candidateName"],
            "-" if each["peakRiskScore"] is None else f"{each['peakRiskScore']:g}",
            each["riskLevel"] or "-",
            str(each["totalViolations"]),
            "-" if advice is None else f"{advice['recommendedStatusName']} ({advice['confidence']:.0%})",
            "" if advice is None else "\n".join(advice["reasons"]),
        )
    desk.console.print(table)


async def _score(desk: Desk, session_id: int) -> bool:
    """Show one score with its trace, and that it comes out again."""
    path = f"/proctor/session/{session_id}"
    kept = (await desk.get(f"{path}/risk/snapshots?limit=200"))["data"]
    events = (await desk.get(f"{path}/events?severityMin=1&limit=200"))["data"]
    desk.say(
        "Where one score comes from",
        f"GET /api{path}/risk/snapshots",
        "Each step is kept, with what caused it: "
        + " → ".join(f"{each['riskScore']:g} ({each['cause']})" for each in reversed(kept))
        + ". For every point of the last one there is a rule, in the version that the session began with, "
        "and the events that met it:",
    )
    desk.console.print(_trace(kept[0]["triggeredRules"], events))
    deadline = monotonic() + WITHIN_S
    with desk.console.status("waiting for the Parquet archive, to compute the score from it as well"):
        while (found := await asyncio.to_thread(_replayed, desk.stack, session_id)).from_archive is None:
            if monotonic() > deadline:
                break
            await asyncio.sleep(POLL_S)
    desk.say("The same score again", f"veritas risk replay {session_id}")
    table = Table(show_header=False)
    table.add_row("as it was stored", _points(found.snapshot.score))
    table.add_row("from the numbers of its trace", _points(found.from_trace))
    table.add_row("from the events in the database", _points(found.from_events and found.from_events[0]))
    table.add_row("from the events in Parquet files", _points(found.from_archive and found.from_archive[0]))
    desk.console.print(table)
    return found.is_equal and None not in {found.from_events, found.from_archive}


def _replayed(stack: Stack, session_id: int) -> Replay:
    """Return a session's newest score, computed again. Blocking."""
    with connect(stack.database_url) as conn:
        found = replay(conn, open_root(stack.warehouse, Settings()), session_id, limit=1)
    if not found:
        raise StackError(f"session {session_id} has no score")
    return found[0]


def _points(score: int | None) -> str:
    return "not there" if score is None else f"{score / POINT:g}"


def _trace(rules: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> Table:
    known = {each["id"]: f"{each['eventTypeName']} #{each['sequenceNumber']}" for each in events}
    table = Table("rule", "version", "counts within", "times", "points", "events")
    for each in rules:
        window = f"{each['windowSeconds']} s" if each["windowSeconds"] else "the session"
        told = ", ".join(known.get(number, str(number)) for number in each["eventIds"])
        row = (
            each["ruleName"],
            each["ruleVersion"],
            window,
            each["triggerCount"],
            f"{each['riskPoints']:g}",
            told,
        )
        table.add_row(*map(str, row))
    return table


async def _decision(desk: Desk, session_id: int) -> None:
    """Decide about a session for good."""
    body = {
        "proctorSessionId": session_id,
        "status": int(DecisionStatus.Suspicious),
        "decisionReasonEn": "Left fullscreen and opened the developer tools after several tab switches.",
        "decisionReasonAr": "خروج من وضع ملء الشاشة وفتح أدوات المطوّر بعد تبديل متكرر بين علامات التبويب.",
        "finalize": True,
    }
    made = await desk.post("/proctor/decision", body)
    desk.say("What a person decides", "POST /api/proctor/decision")
    how = f"[bold]{made['statusName']}[/bold], by {made['decidedByName']}"
    desk.console.print(f"{how}: {made['decisionReasonEn']}")
    desk.console.print(
        "It is final: only an admin's override changes it, with a reason, and both stay on record. The "
        "candidate sees neither the score nor this."
    )


async def _custody(desk: Desk, session_id: int, evidence_id: int) -> bool:
    """Show one file, fetch it, and list everybody who had to do with it."""
    given = (await desk.get(f"/proctor/evidence/{evidence_id}/download-url"))["data"]
    async with desk.http.get(desk.stack.url + given["downloadUrl"]) as reply:
        fetched = await reply.read()
    is_same = fetched == picture() and sha256(fetched).hexdigest() == given["checksum"]
    path = f"/proctor/session/{session_id}/evidence/custody?evidenceId={evidence_id}"
    deadline = monotonic() + WITHIN_S
    with desk.console.status("waiting until the look at the evidence is in the ledger's next signed head"):
        while True:
            custody = (await desk.get(path))["data"]
            events = [orjson.loads(each["body"]) | each for each in custody["events"]]
            sealed = {each["kind"] for each in events if each["position"] is not None}
            if {"evidence.viewed", "evidence.granted"} <= sealed or monotonic() > deadline:
                break
            await asyncio.sleep(POLL_S)
    same = "the same bytes that the candidate sent" if is_same else "[red]other bytes![/red]"
    desk.say(
        "One piece of evidence, and who had to do with it",
        f"GET /api{path}",
        f"{given['fileName']}, {given['fileSize']:,} bytes, SHA-256 {given['checksum'][:16]}…: what its "
        f"reviewer fetched are {same}.",
    )
    desk.console.print(_chain(events, custody["head"]["size"]))
    checked = await _checked(desk, custody, fetched)
    return is_same and checked and {"evidence.requested", "evidence.uploaded", "evidence.confirmed"} < sealed


async def _checked(desk: Desk, custody: dict[str, Any], fetched: bytes) -> bool:
    """Save the custody and the file, and have both checked without us; so a file that was changed."""
    saved, file, other = (desk.folder / each for each in ("custody.json", "screen.png", "changed.png"))
    saved.write_bytes(orjson.dumps(custody))
    file.write_bytes(fetched)
    other.write_bytes(fetched[:-1] + bytes([fetched[-1] ^ 1]))
    _, lines = await verify(desk.key, "--custody", saved, "--file", file)
    _, refused = await verify(desk.key, "--custody", saved, "--file", other)
    desk.console.print("Checked without Veritas, by deploy/verify_export.py:")
    table = Table(show_header=False)
    table.add_row("the file and its custody", "\n".join(lines).replace(f"{desk.folder}/", ""))
    table.add_row("one bit of the file changed", refused[0].replace(f"{desk.folder}/", ""))
    desk.console.print(table)
    return not any(line.startswith("WRONG: ") for line in lines) and refused[0].startswith("WRONG: ")


def _chain(events: Sequence[dict[str, Any]], size: int) -> Table:
    table = Table("when (UTC)", "who", "what", f"place in the ledger, of {size:,} signed")
    for each in events:
        when = datetime.fromisoformat(each["occurred_at"])
        place = "-" if each["position"] is None else f"{each['position']:,}"
        who = "candidate" if each["actor_role"] == Role.student else each["actor_role"]
        table.add_row(f"{when:%H:%M:%S.%f}"[:-3], who, WHAT_HAPPENED.get(each["kind"], each["kind"]), place)
    return table
