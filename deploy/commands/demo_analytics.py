"""
The demo's numbers: how the exam and its items measured, what is thought of one student and why, and whose
answers are alike. Two candidates hand in the same answers, so that there is a pair to find.
"""

import asyncio
from time import monotonic
from typing import Any, Final

from rich.table import Table

from deploy.commands.demo_proctoring import TEMPTED, Desk
from loadtests.client.paper import Hand
from loadtests.client.room import Room

COLLUDING: Final = (3, 4)  # by their places in the room
SKILL: Final = 0.5  # of those two: half of what they share is wrong
COMPARED_MIN: Final = 30  # candidates, under which answers are not compared
WITHIN_S: Final = 90.0
POLL_S: Final = 0.5
ITEMS_SHOWN: Final = 5
STEM_CHARS: Final = 44


def plant(room: Room) -> None:
    """Have two candidates know the same, and nothing else."""
    if len(room.sheets) > max(COLLUDING):
        hand = Hand(seed=room.clients[COLLUDING[0]].seat.session_id, skill=SKILL)
        for place in COLLUDING:
            room.sheets[place].hand = hand


async def show_numbers(desk: Desk) -> bool:
    """Show what the exam's teacher sees of it; True when the pair that was planted was found."""
    numbers = await _numbers(desk)
    if not numbers["tests"]:
        desk.console.print("[red]the exam's numbers did not come in time[/red]")
        return False
    _test(desk, numbers["tests"][0])
    await _items(desk)
    await _student(desk)
    return await _pairs(desk, numbers["collusion"])


async def _numbers(desk: Desk) -> dict[str, Any]:
    """Return the exam's numbers, once all of its submissions are in them, and are compared."""
    path = f"/teacher/exams/{desk.room.exam_id}/analytics?limit=1&totals=true"
    candidates = len(desk.room.clients)
    pairs = candidates * (candidates - 1) // 2 if candidates >= COMPARED_MIN else 0
    deadline = monotonic() + WITHIN_S
    with desk.console.status("waiting until all submissions are counted, and compared with one another"):
        while True:
            numbers: dict[str, Any] = (await desk.get(path))["analytics"]
            counted = sum(each["n"] for each in numbers["tests"])
            compared = (numbers["collusion"] or {}).get("pairs", 0)
            if (counted == candidates and compared >= pairs) or monotonic() > deadline:
                return numbers
            await asyncio.sleep(POLL_S)


def _test(desk: Desk, test: dict[str, Any]) -> None:
    alpha = "-" if test["alpha"] is None else f"{test['alpha']:.2f}"
    between = "" if test["alpha_low"] is None else f" ({test['alpha_low']:.2f} to {test['alpha_high']:.2f})"
    error = "" if test["sem"] is None else f", so that a result is good to {test['sem']:.1f} points"
    desk.say(
        "How the exam measured",
        "GET /api/teacher/exams/{exam_id}/analytics",
        f"{test['n']} submissions of {test['items']} questions: {test['mean']:.1f} points of "
        f"{test['max_points']:.0f} on average, from {test['lowest']:.0f} to {test['highest']:.0f}; "
        f"{test['total_passed']} passed. "
        f"Cronbach's alpha is {alpha}{between}{error}.",
    )


async def _items(desk: Desk) -> None:
    """Show the items that tell candidates apart least, and what was chosen in place of the key."""
    path = f"/teacher/exams/{desk.room.exam_id}/analytics/items"
    found = (await desk.get(f"{path}?sort=point_biserial&limit={ITEMS_SHOWN}"))["items"]
    desk.say(
        "Which questions to look at",
        f"GET /api{path.replace(str(desk.room.exam_id), '{exam_id}')}?sort=point_biserial",
        "The least telling first: r is how an item goes with all the others.",
    )
    table = Table("question", "solved", "r", "left out", "most chosen wrong", "stands out")
    for each in found:
        wrong = max(
            (option for option in each["distractors"] or [] if not option["is_key"]),
            key=lambda option: option["chosen"],
            default=None,
        )
        table.add_row(
            f"{each['position']}. {each['stem'][:STEM_CHARS]}",
            "-" if each["difficulty"] is None else f"{each['difficulty']:.0%}",
            "-" if each["point_biserial"] is None else f"{each['point_biserial']:.2f}",
            str(each["omitted"]),
            "" if wrong is None else f"{wrong['text'] or wrong['option']} ({wrong['share']:.0%})",
            ", ".join(each["flags"]),
        )
    desk.console.print(table)


async def _student(desk: Desk) -> None:
    """Show what is thought of the tempted one's attempt, each reason as a sentence."""
    monitored = f"/teacher/attempts/{desk.room.clients[TEMPTED].seat.attempt_id}/monitoring?limit=1"
    whose = (await desk.get(monitored))["attempt"]
    student = await desk.get(f"/teacher/students/{whose['student_id']}")
    attempt = student["attempts"][0]
    judged = attempt["judgement"]
    desk.say("What is thought of one student, and why", "GET /api/teacher/students/{student_id}")
    if judged is None:
        return
    integrity = "-" if judged["integrity_score"] is None else f"{judged['integrity_score']:.2f}"
    desk.console.print(
        f"{student['full_name']}: {attempt['percentage'] or 0:.0f} %, integrity {integrity} of 1, "
        f"{judged['integrity_band'] or 'no band'}; advised: {judged['recommended_action']}"
    )
    for each in [*judged["alerts"], *judged["reasons"]]:
        desk.console.print(f"  · {each['text']}  [dim]{each['code']}[/dim]")


async def _pairs(desk: Desk, collusion: dict[str, Any] | None) -> bool:
    """Show the pairs whose answers are alike; True when the planted one is the first of them."""
    if collusion is None or not collusion["pairs"]:
        return len(desk.room.clients) < COMPARED_MIN
    path = f"/teacher/exams/{desk.room.exam_id}/analytics/similarity"
    pairs = (await desk.get(f"{path}?limit=3"))["pairs"]
    desk.say(
        "Whose answers are alike",
        "GET /api/teacher/exams/{exam_id}/analytics/similarity",
        f"{collusion['pairs']:,} pairs were compared, {collusion['similar_pairs']} found more alike than "
        "chance explains. Two candidates were made to hand in the same answers, and only the answers tell. "
        "It is an indication, and for a person to decide on.",
    )
    table = Table("pair", "the same", "by chance", "the same and wrong", "p", "q, of all pairs")
    for each in pairs:
        names = [each[side]["student_name"] for side in ("first", "second")]
        table.add_row(
            "\n".join(names), f"{each['matches']} of {each['items']}", f"{each['expected_matches']:.1f}",
            str(each["identical_wrong"]), f"{each['p']:.1e}", f"{each['q']:.1e}",
        )  # fmt: skip
    desk.console.print(table)
    planted = {str(desk.room.clients[place].seat.attempt_id) for place in COLLUDING}
    return bool(pairs) and {pairs[0][each]["attempt_id"] for each in ("first", "second")} == planted
