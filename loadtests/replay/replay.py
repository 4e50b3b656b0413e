"""
Replay a file of real records through the HTTP API, with its own timing or as fast as it goes.

`veritas replay FILE` calls `run`. Each exam and candidate of the file becomes an exam, a candidate and a
proctor session; each row becomes the events that the mapping names; good clients deliver them, and what they
know is compared with the database at the end.
"""

import asyncio
from importlib.resources import files
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import orjson
from rich.console import Console

from kernel.events import HEARTBEAT_INTERVAL_S, EventType, Role
from loadtests.check.figures import Figures, figures
from loadtests.check.history import check, rows_of
from loadtests.client.client import Client, Pace
from loadtests.client.log import Log
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
from loadtests.replay.mapping import (
    ROW_MARK,
    Key,
    Mapping,
    MappingError,
    Plan,
    Planned,
    header_of,
    plan,
    read_mapping,
)
from loadtests.terminal import delivery, figures_table

EXAM_MINUTES: Final = 1440
GAP_S_MAX: Final = 3600.0  # a mistyped year must not hold a replay up for ever
OFFERED_MAX: Final = 1500  # a client reads on in the file when fewer of its events are unacknowledged
BATCH_EVENTS: Final = 250  # half of a session's burst, so that a batch refused for its rate waits 5 s at most
STORED_WITHIN_S: Final = 120.0


class Outcome(msgspec.Struct, kw_only=True):
    """
    What a replay came to: the file, the clients' figures, and what the database was found to hold.

    `exam_ids` by title; `dirt` counts values of the file that cannot be; `faults` is the checker's finding.
    """

    file: str
    rows: int
    events: int
    session_ids: list[int]
    exam_ids: dict[str, str]
    dirt: dict[str, int]
    seconds: float
    figures: Figures
    stored: int
    faults: dict[str, list[str]]

    @property
    def ok(self) -> bool:
        """Tell whether every event of the file is stored exactly once, where it was acknowledged."""
        return not self.faults and self.stored == self.events


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
    speed: float = 0.0,
    concurrency: int = 128,
    limit: int | None = None,
    report: Path | None = None,
) -> int:
    """
    Replay a file, print what came of it, and return the exit code.

    Args:
        file: CSV, TSV or NDJSON, gzip or not.
        mapping: TOML (see `loadtests/replay/mapping.py`); a shipped one that fits the columns when absent.
        url: the deployment; the local stack of `state` when absent.
        ingest_url: where events go; `url` when absent.
        database_url: to make candidates and to count back.
        email: a teacher's account.
        password: theirs.
        state: folder of the local stack.
        speed: 1 is the file's own pace, 60 a minute in a second, 0 as fast as it goes. Gaps of more than an
            hour
            are cut to one.
        concurrency: sessions replayed at a time.
        limit: rows at most.
        report: where the outcome is written as JSON.

    Returns:
        0 when every event is stored exactly once, 1 when not, 2 when there was nothing to replay with.
    """
    console = Console()
    try:
        if url is None:
            stack = local_stack(state)
        else:
            stack = _named_stack(url, ingest_url or url, database_url, email, password)
        chosen = read_mapping(mapping) if mapping else fitting_mapping(file)
        with console.status(f"reading {file.name}"):
            the_plan = plan(file, chosen, limit)
        outcome = asyncio.run(
            replay(file.name, the_plan, stack, speed=speed, concurrency=concurrency, console=console)
        )
    except (StackError, MappingError, OSError) as error:
        console.print(error, style="red")
        return 2
    if report:
        report.write_bytes(orjson.dumps(msgspec.to_builtins(outcome), option=orjson.OPT_INDENT_2))
    show(outcome, console)
    return 0 if outcome.ok else 1


def _named_stack(
    url: str, ingest_url: str, database_url: str | None, email: str | None, password: str | None
) -> Stack:
    if not (database_url and email and password):
        raise StackError(
            "beside its URL, a deployment needs its database URL and a teacher's e-mail and password"
        )
    teacher = Account(email, password, Role.teacher)
    return Stack(url=url, ingest_url=ingest_url, database_url=database_url, accounts=[teacher])


def fitting_mapping(file: Path) -> Mapping:
    """
    Return the first shipped mapping whose columns the file has.

    Raises:
        MappingError: none has.
    """
    for entry in sorted((files("loadtests.replay") / "mappings").iterdir(), key=lambda entry: entry.name):
        mapping = read_mapping(Path(str(entry)))
        if mapping.columns <= header_of(file, mapping):
            return mapping
    raise MappingError(f"no shipped mapping fits {file}; name one")


class Sitting(msgspec.Struct, kw_only=True):
    """A replay under way."""

    http: aiohttp.ClientSession
    stack: Stack
    speed: float
    gate: asyncio.Semaphore
    log: Log
    clients: list[Client] = []


async def replay(
    name: str, the_plan: Plan, stack: Stack, *, speed: float, concurrency: int, console: Console
) -> Outcome:
    """Deliver everything and compare with the database; arguments and errors as of `run`."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        with console.status("making exams, candidates and launch links"):
            exam_ids, links = await invite(http, stack, list(the_plan.sessions))
        sitting = Sitting(http=http, stack=stack, speed=speed, gate=asyncio.Semaphore(concurrency), log=Log())
        started = loop.time()
        async with delivery(sitting.clients, the_plan.events, console):
            await asyncio.gather(
                *(attend(sitting, links[key], events) for key, events in the_plan.sessions.items())
            )
        seconds = loop.time() - started
    session_ids = [client.seat.session_id for client in sitting.clients]
    with console.status("counting back from the database"):
        rows = await rows_of(stack.database_url, session_ids)
        found = check(sitting.log, rows)
    return Outcome(
        file=name,
        rows=the_plan.rows,
        events=the_plan.events,
        session_ids=session_ids,
        exam_ids=exam_ids,
        dirt=dict(the_plan.dirt),
        seconds=seconds,
        figures=figures(sitting.log),
        stored=sum(row.marker is not None and row.marker.startswith(ROW_MARK) for row in rows),
        faults=found.faults,
    )


async def invite(
    http: aiohttp.ClientSession, stack: Stack, keys: list[Key]
) -> tuple[dict[str, str], dict[Key, str]]:
    """Make the file's exams and candidates; return exam ids by title, launch links by exam and candidate."""
    token = await sign_in(http, stack.url, stack.account(Role.teacher))
    emails = {candidate: f"{candidate}@replay.example" for _, candidate in keys}
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


async def attend(sitting: Sitting, link: str, events: list[Planned]) -> None:
    """One candidate, from the launch link to the end of the session."""
    async with sitting.gate:
        seat = await take_seat(sitting.http, sitting.stack, link)
        # With the file's own timing a client must beat, or its silences are taken for disconnects.
        pace = Pace(
            linger_s=0.05, heartbeat_s=HEARTBEAT_INTERVAL_S if sitting.speed else 0, batch_events=BATCH_EVENTS
        )
        client = Client(sitting.http, seat, sitting.log, pace=pace, seed=seat.session_id)
        sitting.clients.append(client)
        client.start()
        await _play(client, events, sitting.speed)
        await client.drain(STORED_WITHIN_S)
        await client.close()
        await leave(sitting.http, sitting.stack, seat)


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
        client.record(
            EventType(event.event_type),
            event.severity,
            orjson.loads(event.metadata),
            client_at=event.at,
            marker=event.marker,
        )


def show(outcome: Outcome, console: Console) -> None:
    """Print what came of a replay."""
    table = figures_table(f"Replay of {outcome.file}", outcome.figures)
    table.add_row("rows in the file", f"{outcome.rows:,}")
    table.add_row("… with values that cannot be", f"{outcome.dirt.get('rows', 0):,}")
    table.add_row("proctor sessions", f"{len(outcome.session_ids):,}")
    table.add_row("events of the file stored", f"{outcome.stored:,} of {outcome.events:,}")
    table.add_row("time", f"{outcome.seconds:.1f} s")
    console.print(table)
    for kind, found in outcome.faults.items():
        console.print(f"{kind}: {len(found)}, such as {'; '.join(found[:3])}", style="red")
    dirt = ", ".join(f"{kind} {count}" for kind, count in outcome.dirt.items() if kind != "rows")
    if dirt:
        console.print(f"Values that cannot be were sent as they stand and named in the metadata: {dirt}.")
    console.print(
        "every event is stored exactly once" if outcome.ok else "NOT everything is stored exactly once"
    )
