"""
What follows an exam: a candidate objects to a key, the teacher looks at what putting it right would change,
an admin upholds the claim and applies it, and the candidate takes a bundle of all that away, which is
checked without us; a copy with one word changed is refused.

The teacher has graded the essays, and so resolves no claim about them: somebody without a hand in it does.
"""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final

import orjson
from rich.table import Table

from deploy.commands.demo_proctoring import Desk
from deploy.commands.demo_receipts import verify
from loadtests.client.paper import ITEMS
from loadtests.client.stack import StackError, call

STEM: Final = "What grows when a function calls itself?"
PLACE: Final = 1 + [each["content"]["stem"] for each in ITEMS].index(STEM)
ANSWER: Final = {"choice": "a"}  # the heap
CLAIM: Final = "Where frames are kept on the heap, as in some languages, it is the heap that grows."
REASON_EN: Final = "Both answers are right: the question does not say which language it is about."
REASON_AR: Final = "كلتا الإجابتين صحيحة: السؤال لا يذكر لغة البرمجة المقصودة."
WITHIN_S: Final = 60.0
POLL_S: Final = 0.5


async def afterwards(desk: Desk, admin: str) -> bool:
    """Show a claim, the remediation that it leads to, and its bundle; True when all came to be."""
    candidate, attempt_id = await _claimant(desk, admin)
    body = {"subject": "result", "text": CLAIM}
    claim_id = (await post(desk, f"/student/attempts/{attempt_id}/claims", candidate, body))["claim_id"]
    remediation_id = await _preview(desk)
    await _resolve(desk, admin, claim_id, remediation_id)
    is_told = await _applied(desk, candidate, attempt_id, remediation_id)
    return await _bundle(desk, candidate, claim_id) and is_told


async def _claimant(desk: Desk, admin: str) -> tuple[str, str]:
    """
    Return the token and the attempt of somebody who gave that answer, or of the first one there is.

    A launch link is for its exam alone: whoever claims has a password, which an invitation lets them set.
    """
    room = desk.room
    gave = [place for place, sheet in enumerate(room.sheets[:-1]) if sheet.answer_to(STEM) == ANSWER]
    sheet = room.sheets[gave[0] if gave else 0]
    somebody = orjson.loads((await sheet.fetch_receipt())["content"])["candidate_id"]
    invited = await post(desk, "/admin/users/invitations", admin, {"user_ids": [somebody]})
    accepted = {"token": invited["invitations"][0]["token"], "password": secrets.token_urlsafe(16)}
    token: str = (await post(desk, "/auth/invitation", "", accepted))["access_token"]
    return token, str(sheet.attempt_id)


async def _preview(desk: Desk) -> str:
    """Draft the remediation and show what it would change; return its id."""
    exam = await desk.get(f"/teacher/exams/{desk.room.exam_id}")
    body = {
        "evaluation_version_id": exam["evaluation_version_id"],
        "changes": [{"kind": "accept_answer", "position": PLACE, "response": ANSWER}],
        "reason": CLAIM,
        "note_en": f"Question {PLACE}: “the heap” is right, too.",
        "note_ar": f"السؤال {PLACE}: الإجابة «the heap» صحيحة أيضًا.",
    }
    made = await post(desk, "/teacher/remediations", desk.room.token, body)
    remediation_id: str = made["remediation_id"]
    would = await desk.get(f"/teacher/remediations/{remediation_id}/preview")
    desk.say(
        "A candidate objects, and the teacher looks before anything changes",
        "GET /api/teacher/remediations/{remediation_id}/preview",
        f"“{CLAIM}” A further right answer to question {PLACE} would change:",
    )
    table = Table("results", "would change", "would pass now", "would fail now", "mean", "and then")
    (reached,) = [each for each in would["exams"] if each["exam_id"] == str(desk.room.exam_id)]
    counts = (would[each] for each in ("submissions", "changed", "now_passed", "now_failed"))
    means = (reached[when]["mean"] for when in ("before", "after"))
    table.add_row(*map(str, counts), *("-" if each is None else f"{each:.2f}" for each in means))
    desk.console.print(table)
    return remediation_id


async def _resolve(desk: Desk, admin: str, claim_id: str, remediation_id: str) -> None:
    path = f"/teacher/claims/{claim_id}"
    await post(desk, f"{path}/acknowledge", admin)
    body = {
        "outcome": "upheld",
        "text_en": REASON_EN,
        "text_ar": REASON_AR,
        "remediation_id": remediation_id,
    }
    try:
        await post(desk, f"{path}/resolve", desk.room.token, body)
        teachers = "accepted"
    except StackError as error:
        teachers = "refused" if ": 403 " in str(error) else str(error)
    resolved = await post(desk, f"{path}/resolve", admin, body)
    desk.say(
        "Somebody without a hand in it resolves the claim",
        f"POST /api{path}/resolve",
        f"[bold]{resolved['resolutions'][0]['outcome']}[/bold]: {REASON_EN}",
        f"The same act applies the remediation. The teacher, who has graded, tried it first: {teachers}.",
    )


async def _applied(desk: Desk, candidate: str, attempt_id: str, remediation_id: str) -> bool:
    """Wait until every result is scored anew, and show what the candidate reads of theirs."""
    began, path = monotonic(), f"/teacher/remediations/{remediation_id}"
    with desk.console.status("scoring every submission anew"):
        done = await until(lambda found: found["status"] == "applied", desk, path, desk.room.token)
    progress = done["progress"]
    desk.console.print(
        f"{progress['rescored']} of {progress['submissions']} submissions scored anew in "
        f"{monotonic() - began:.1f} s, {progress['changed']} results changed. The old scores stay."
    )
    shown = await get(desk, f"/student/attempts/{attempt_id}", candidate)
    for each in shown["corrections"]:
        desk.console.print(
            f"The candidate reads: {each['note_en']} / {each['note_ar']} "
            f"{each['percentage_before']:g} % → {each['percentage']:g} %"
        )
    return bool(progress["rescored"] == progress["submissions"])


async def _bundle(desk: Desk, candidate: str, claim_id: str) -> bool:
    """Save the bundle of the claim, and have it checked without us; so a copy that was altered."""
    path = f"/student/claims/{claim_id}/bundle"
    await post(desk, path, candidate)
    with desk.console.status("waiting until the bundle is in the ledger's next signed head"):
        bundle = await until(lambda found: found["ledger"]["status"] == "sealed", desk, path, candidate)
    parts = bundle["parts"]
    altered = bundle | {"parts": parts | {"claim": parts["claim"].replace("upheld", "denied", 1)}}
    _, lines = await verify(desk.key, "--appeal", _save(desk.folder / "appeal.json", bundle))
    _, refused = await verify(desk.key, "--appeal", _save(desk.folder / "altered-appeal.json", altered))
    desk.say(
        "What the candidate takes to whoever hears an appeal",
        f"POST /api{path}",
        f"{', '.join(sorted(parts))}: {sum(map(len, parts.values())):,} characters, checked without Veritas:",
    )
    table = Table(show_header=False)
    table.add_row("the bundle", "\n".join(lines).replace(f"{desk.folder}/", ""))
    table.add_row("one word of it changed", refused[0].replace(f"{desk.folder}/", ""))
    desk.console.print(table)
    return not any(line.startswith("WRONG: ") for line in lines) and refused[0].startswith("WRONG: ")


def _save(path: Path, document: dict[str, Any]) -> Path:
    path.write_bytes(orjson.dumps(document))
    return path


async def get(desk: Desk, path: str, token: str) -> dict[str, Any]:
    """Return what a route answers to somebody."""
    return await call(desk.http, "GET", f"{desk.stack.url}/api{path}", token=token)


async def post(desk: Desk, path: str, token: str, body: object = None) -> dict[str, Any]:
    """Return what a route answers to somebody."""
    return await call(desk.http, "POST", f"{desk.stack.url}/api{path}", token=token, body=body)


async def until(is_so: Callable[[dict[str, Any]], bool], desk: Desk, path: str, token: str) -> dict[str, Any]:
    """Return what a route answers once it is so; raises StackError where that takes too long."""
    deadline = monotonic() + WITHIN_S
    while not is_so(found := await get(desk, path, token)):
        if monotonic() > deadline:
            raise StackError(f"{path} is not as it should be after {WITHIN_S:.0f} s: {found}")
        await asyncio.sleep(POLL_S)
    return found
