"""
Replay a file of real records through the HTTP API, with its own timing or as fast as it goes.

`veritas replay FILE` calls `run`. Each exam and candidate of the file becomes an exam, a candidate and a
proctor session; each row becomes the events that the mapping names; good clients deliver them, and what they
know is compared with the database at the end. A row is stored, or named with its line and why it is not.
"""

import asyncio
import hashlib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import msgspec
import orjson
from rich.console import Console

from kernel.events import HEARTBEAT_INTERVAL_S, EventType, Role
from kernel.files.findings import DOUBTFUL, Finding, Kind, by_kind
from kernel.files.mapping import MappingError
from kernel.files.reading import UnreadableError
from kernel.files.rows import Options
from loadtests.check.figures import figures
from loadtests.check.history import Row, check, rows_of
from loadtests.client.client import Client, Pace
from loadtests.client.log import Created, Log, Refused
from loadtests.client.outbox import OutboxFullError
from loadtests.client.stack import (
    Account,
    Stack,
    StackError,
    launch_links,
    leave,
    local_stack,
    make_candidates,
    open_exam,
    organisation_of,
    sign_in,
    take_seat,
)
from loadtests.replay.mapping import read_mapping
from loadtests.replay.outcome import CANNOT, Outcome, say, show
from loadtests.replay.planning import LINE_MARK, Key, Plan, Planned, line_of, plan
from loadtests.terminal import delivery

EXAM_MINUTES: Final = 1440
GAP_S_MAX: Final = 3600.0  # a mistyped year must not hold a replay up for ever
OFFERED_MAX: Final = 1500  # a client reads on in the file when fewer of its events are unacknowledged
BATCH_EVENTS: Final = 250  # half of a session's burst, so that a batch refused for its rate waits 5 s at most
STORED_WITHIN_S: Final = 120.0
_PLAIN: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# Refusals that are about the event; all others are about the session, the token or the deployment.
_ABOUT_EVENTS: Final = frozenset({400, 413, 415, 422})


def run(
    file: Path,
    mapping: Path | None = None,
    url: str | None = None,
    *,
    ingest_url: str | None = None,
    database_url: str | None = None,
    email: str | None = None,
    password: str | None = None,
    state: Path = Path(".veritas"),
    options: Options | None = None,
    speed: float = 0.0,
    concurrency: int = 128,
    report: Path | None = None,
    findings: Path | None = None,
) -> int:
    """
    Replay a file, print what came of it, and return the exit code.

    Args:
        file: CSV, TSV or NDJSON, packed with gzip or zstd or not; `-` is standard input.
        mapping: TOML (see `loadtests/replay/mapping.py`); a shipped one that fits the columns when absent.
        url: the deployment; the local stack of `state` when absent.
        ingest_url: where events go; `url` when absent.
        database_url: to make candidates and to count back.
        email: a teacher's account.
        password: theirs.
        state: folder of the local stack.
        options: what is known of the file beside its mapping.
        speed: 1 is the file's own pace, 60 a minute in a second, 0 as fast as it goes. Gaps of more than an
            hour are cut to one.
        concurrency: sessions replayed at a time.
        report: where the outcome is written as JSON.
        findings: where everything that is wrong with rows is written, a JSON object in each line.

    Returns:
        0 when every event is stored exactly once; 1 when what was sent is not; 2 when there was nothing to
        replay with, or the file cannot be read; 3 when rows were refused, and the others are stored; 4 when
        there are none.
    """
    console = Console(highlight=False)
    if not math.isfinite(speed):
        say(console, "the speed is a finite number", "red")
        return CANNOT
    try:
        for path in (report, findings):
            if path is not None:
                path.write_bytes(b"")  # what cannot be written is told before anything is sent
        named = None if url is None else _named_stack(url, ingest_url or url, database_url, email, password)
        stack = named or local_stack(state)
        with console.status("reading the file"):
            the_plan = plan(file, read_mapping(mapping) if mapping else None, options)
        outcome, found = asyncio.run(
            replay(file.name, the_plan, stack, speed=speed, concurrency=concurrency, console=console)
        )
    except UnreadableError as error:
        say(console, f"{file} cannot be read: {error}", "red")
        return CANNOT
    except (StackError, MappingError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        say(console, _reason(error), "red")
        return CANNOT
    _write(outcome, found, report, findings)
    show(outcome, console)
    return outcome.code


def _reason(error: Exception) -> str:
    """Return why nothing was done, as a sentence for whoever asked for it."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _write(outcome: Outcome, found: list[Finding], report: Path | None, findings: Path | None) -> None:
    if report:
        report.write_bytes(orjson.dumps(msgspec.to_builtins(outcome), option=orjson.OPT_INDENT_2))
    if findings:
        findings.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in found))


def _named_stack(
    url: str, ingest_url: str, database_url: str | None, email: str | None, password: str | None
) -> Stack:
    if not (database_url and email and password):
        raise StackError(
            "beside its URL, a deployment needs its database URL and a teacher's e-mail and password"
        )
    teacher = Account(email, password, Role.teacher)
    return Stack(url=url, ingest_url=ingest_url, database_url=database_url, accounts=[teacher])


class Sitting(msgspec.Struct, kw_only=True):
    """A replay under way; `ended`: what kept the events of an exam and candidate from being sent."""

    http: aiohttp.ClientSession
    stack: Stack
    speed: float
    gate: asyncio.Semaphore
    log: Log
    clients: dict[Key, Client] = {}
    ended: dict[Key, str] = {}


async def replay(
    name: str, the_plan: Plan, stack: Stack, *, speed: float, concurrency: int, console: Console
) -> tuple[Outcome, list[Finding]]:
    """
    Deliver everything and compare with the database; arguments and errors as of `run`.

    Returns:
        the outcome, and all that is wrong with rows, in the order of their lines.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    exam_ids: dict[str, str] = {}
    rows: list[Row] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        sitting = Sitting(http=http, stack=stack, speed=speed, gate=asyncio.Semaphore(concurrency), log=Log())
        if the_plan.sessions:
            with console.status("making exams, candidates and launch links"):
                exam_ids, links = await invite(http, stack, list(the_plan.sessions))
            started = loop.time()
            async with delivery(sitting.clients.values(), the_plan.events, console):
                await asyncio.gather(
                    *(attend(sitting, key, links[key], events) for key, events in the_plan.sessions.items())
                )
    seconds = loop.time() - started
    session_ids = [client.seat.session_id for client in sitting.clients.values()]
    if session_ids:
        with console.status("counting back from the database"):
            rows = await rows_of(stack.database_url, session_ids)
    missing = _missing(the_plan, sitting, rows)
    found = sorted([*the_plan.findings, *missing], key=lambda finding: finding.line)
    refused = {finding.line for finding in found if finding.refuses}
    here = {finding.line for finding in the_plan.findings if finding.refuses}
    return Outcome(
        file=name,
        read=the_plan.rows,
        sent=the_plan.rows - len(here),
        stored=the_plan.rows - len(refused),
        refused=len(refused),
        doubtful=len({each.line for each in found if each.kind in DOUBTFUL} - refused),
        events=the_plan.events,
        events_stored=sum(_is_ours(row) and not row.dead for row in rows),
        findings=by_kind(found),
        unread=the_plan.unread,
        absent=the_plan.absent,
        session_ids=session_ids,
        exam_ids=exam_ids,
        seconds=seconds,
        figures=figures(sitting.log),
        faults=check(sitting.log, rows).faults,
    ), found


def _is_ours(row: Row) -> bool:
    return row.marker is not None and row.marker.startswith(LINE_MARK)


def _missing(the_plan: Plan, sitting: Sitting, rows: Iterable[Row]) -> list[Finding]:
    """Name the rows of which an event is not stored, once each, with the reason."""
    stored: set[str] = set()
    dead: set[str] = set()
    for row in filter(_is_ours, rows):
        assert row.marker is not None, "ours have one"
        (dead if row.dead else stored).add(row.marker)
    refusals = _refusals(sitting.log)
    found: dict[int, Finding] = {}
    for key, events in the_plan.sessions.items():
        for event in events:
            if event.marker not in stored:
                line = line_of(event.marker)
                refusal = refusals.get(event.marker)
                if event.marker in dead:
                    finding = Finding(line, Kind.dead_letter, "the database refused its event")
                elif refusal is not None and refusal.status in _ABOUT_EVENTS:
                    finding = Finding(line, Kind.refused_by_server, refusal.why)
                else:
                    finding = Finding(line, Kind.not_stored, _why_not(sitting, key, refusal))
                found.setdefault(line, finding)
    return list(found.values())


def _refusals(log: Log) -> dict[str, Refused]:
    """Return the final refusals by the marker of the event."""
    markers: dict[tuple[int, str, int], str] = {}
    found: dict[str, Refused] = {}
    for entry in log:
        match entry:
            case Created():
                markers[entry.session, entry.instance, entry.first] = entry.marker
            case Refused(final=True):
                for seq in range(entry.first, entry.last + 1):
                    found[markers[entry.session, entry.instance, seq]] = entry
    return found


def _why_not(sitting: Sitting, key: Key, refusal: Refused | None) -> str:
    if refusal is not None:
        return f"the server ended its session: {refusal.why}"
    if key in sitting.ended:
        return sitting.ended[key]
    client = sitting.clients.get(key)
    if client is not None and client.stopped_by is not None:
        return f"it was not sent any more: the server ended its session ({client.stopped_by})"
    return f"it was not stored within {STORED_WITHIN_S:.0f} s"


async def invite(
    http: aiohttp.ClientSession, stack: Stack, keys: list[Key]
) -> tuple[dict[str, str], dict[Key, str]]:
    """Make the file's exams and candidates; return exam ids by title, launch links by exam and candidate."""
    token = await sign_in(http, stack.url, stack.account(Role.teacher))
    emails = {candidate: address_of(candidate) for _, candidate in keys}
    await make_candidates(
        stack.database_url, await organisation_of(http, stack.url, token), list(emails.values())
    )
    exam_ids: dict[str, str] = {}
    links: dict[Key, str] = {}
    for title in dict.fromkeys(title for title, _ in keys):
        exam_id = await open_exam(http, stack.url, token, title, EXAM_MINUTES)
        candidates = [candidate for exam, candidate in keys if exam == title]
        of_email = await launch_links(http, stack.url, token, exam_id, [emails[each] for each in candidates])
        exam_ids[title] = str(exam_id)
        links |= {(title, candidate): of_email[emails[candidate]] for candidate in candidates}
    return exam_ids, links


def address_of(candidate: str) -> str:
    """Return an e-mail address for whatever a file calls somebody: another one for every other text."""
    if _PLAIN.fullmatch(candidate) and not candidate.startswith("candidate-"):
        return f"{candidate}@replay.example"
    return f"candidate-{hashlib.sha256(candidate.encode()).hexdigest()[:32]}@replay.example"


async def attend(sitting: Sitting, key: Key, link: str, events: list[Planned]) -> None:
    """One candidate, from the launch link to the end of the session; what fails is theirs alone."""
    async with sitting.gate:
        try:
            seat = await take_seat(sitting.http, sitting.stack, link)
        except StackError as error:
            sitting.ended[key] = f"its session did not begin: {error}"
            return
        # With the file's own timing a client must beat, or its silences are taken for disconnects.
        pace = Pace(
            linger_s=0.05, heartbeat_s=HEARTBEAT_INTERVAL_S if sitting.speed else 0, batch_events=BATCH_EVENTS
        )
        client = Client(sitting.http, seat, sitting.log, pace=pace, seed=seat.session_id)
        sitting.clients[key] = client
        client.start()
        try:
            await _play(client, events, sitting.speed)
            await client.drain(STORED_WITHIN_S)
        except OutboxFullError as error:
            sitting.ended[key] = f"it was not sent any more: {error}"
        await client.close()
        try:
            await leave(sitting.http, sitting.stack, seat)
        except StackError as error:
            sitting.ended.setdefault(key, f"its attempt could not be handed in: {error}")


async def _play(client: Client, events: list[Planned], speed: float) -> None:
    """Take the events down when due: after the file's own gaps divided by `speed`, at once when that is 0."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    before = events[0].at
    for event in events:
        if speed:
            due += min(max((event.at - before).total_seconds(), 0.0), GAP_S_MAX) / speed
            before = max(before, event.at)
            await asyncio.sleep(max(0.0, due - loop.time()))
        while client.outbox.offered >= OFFERED_MAX and client.stopped_by is None:
            await client.progress()
        if client.stopped_by is not None:
            return
        client.record(
            EventType(event.event_type),
            event.severity,
            orjson.loads(event.metadata),
            client_at=event.at,
            marker=event.marker,
        )
