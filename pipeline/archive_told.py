"""
The files of the event archive on the ledger: after retention they are the only copy of old events (spec.md
W-2).

An event says of each day that a batch changed which files the day has from then on, with hash and rows; the
latest one that names a day is what holds. An archive that begins from nothing says so: what was told before
is no more. What is told is planned with the batch, before its files are in force, and told in the transaction
that confirms it: a crash in between loses and doubles nothing.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from kernel.ledger.event import SYSTEM, LedgerEvent, body_of, event_id_at, read_body
from kernel.ledger.kinds import Kind, about
from sql import named
from sql.running import Connection, one, run
from warehouse.archived import days_of
from warehouse.builds import Part, list_parts, read_manifest, sha256_of
from warehouse.datasets.events import EVENTS
from warehouse.files import Root
from warehouse.publish import Draft, previous_parts

WATERMARKS: Final = named("watermarks")
INSTALLATION: Final = UUID(int=0)  # the organisation of what is everybody's
FILES_MAX: Final = 200  # of one event, whose bytes are bounded


class File(Struct, frozen=True, order=True):
    """A file of a day."""

    file: str
    sha256: str
    rows: int


class Telling(Struct, frozen=True):
    """What is told of a batch: the files of each day that it changed; `is_anew` where nothing was before."""

    is_anew: bool
    days: dict[str, list[File]]


class Report(Struct):
    """What a check has found: files that hold, and in words what is wrong, and what should be known."""

    files: int = 0
    rows: int = 0
    findings: list[str] = []
    remarks: list[str] = []


class ForeignArchiveError(Exception):
    """A file of the archive is not what the ledger says: nothing goes, or comes back, that rests on it."""


class Archive(Struct):
    """The archive in force, and which of its files were found to be what the ledger says."""

    root: Root
    told: dict[str, dict[str, File]]
    sound: set[str] = msgspec.field(default_factory=set)

    def addresses(self, first_at: datetime, last_at: datetime) -> tuple[int, list[str]]:
        """
        Return the archive's last batch, and the files of the days from one moment's to the other's.

        Raises:
            ForeignArchiveError: one of them is not what the ledger says.
        """
        manifest = read_manifest(self.root, EVENTS)
        if manifest is None:
            return 0, []
        parts = list_parts(self.root, EVENTS, manifest, days_of(first_at, last_at))
        found = [(part, key) for part, key in parts if part.rows]
        for part, key in found:
            self._check(key, part.partition, part.file)
        return manifest.watermark, [f"{self.root.location}/{key}" for _, key in found]

    def _check(self, key: str, day: str, name: str) -> None:
        if key in self.sound:
            return
        told = self.told.get(day, {}).get(name)
        with self.root.open(key) as file:
            sha256 = sha256_of(file)
        if told is None or told.sha256 != sha256:
            raise ForeignArchiveError(f"{name}: the ledger does not have it so")
        self.sound.add(key)


def open_archive(conn: Connection, root: Root) -> Archive:
    """Return the archive of a warehouse as the ledger has it now."""
    return Archive(root, told_files(conn)[0])


def plan(conn: Connection, batch: int, draft: Draft, replaced: Collection[Part]) -> None:
    """Plan what is told of a batch, whose parts are all in the draft."""
    is_anew = draft.previous is None or not draft.previous.rows
    is_whole = is_anew or not one(conn, WATERMARKS["is_archive_told"], INSTALLATION)
    days = {part.partition for part in draft.parts}
    kept = [part for part, _ in previous_parts(draft, None if is_whole else days) if part not in replaced]
    telling = Telling(is_anew, _by_day([*kept, *draft.parts]))
    run(conn, WATERMARKS["plan_telling"], batch, msgspec.json.encode(telling).decode())


def _by_day(parts: Iterable[Part]) -> dict[str, list[File]]:
    days: dict[str, list[File]] = {}
    for part in parts:
        if part.rows:
            days.setdefault(part.partition, []).append(File(part.file, part.sha256, part.rows))
    return {day: sorted(files) for day, files in sorted(days.items())}


def confirm(conn: Connection, batch: int, now: datetime) -> None:
    """Confirm a batch that is published, and tell of it, in the caller's transaction."""
    planned = one(conn, WATERMARKS["read_telling"], batch)
    told = [] if planned is None else list(events_of(batch, msgspec.json.decode(planned, type=Telling), now))
    ids, moments = [event.event_id for event in told], [event.occurred_at for event in told]
    run(conn, WATERMARKS["confirm_batch"], batch, ids, moments, [body_of(event) for event in told])


def events_of(
    batch: int, telling: Telling, now: datetime, *, files_max: int = FILES_MAX
) -> Iterator[LedgerEvent]:
    """
    Yield the events of a telling, as many as its files need, a microsecond apart, which orders them; the
    first one says that it is anew.
    """
    rows = [(day, file) for day, files in telling.days.items() for file in files]
    for place, first in enumerate(range(0, len(rows), files_max)):
        at = now + place * timedelta(microseconds=1)
        days: dict[str, list[dict[str, object]]] = {}
        for day, file in rows[first : first + files_max]:
            days.setdefault(day, []).append(msgspec.to_builtins(file))
        yield LedgerEvent(
            event_id=event_id_at(at),
            organisation_id=INSTALLATION,
            occurred_at=at,
            kind=Kind.archive_published,
            aggregate_type=about(Kind.archive_published).aggregate,
            aggregate_id=str(batch),
            actor_id=None,
            actor_role=SYSTEM,
            detail={"is_anew": telling.is_anew and not place, "days": days},
        )


def told_files(conn: Connection) -> tuple[dict[str, dict[str, File]], list[str]]:
    """Return the files of each day by their names, as the ledger has them, and what should be known."""
    return gathered(read_body(body) for (body,) in run(conn, WATERMARKS["list_told_archive"], INSTALLATION))


def gathered(events: Iterable[LedgerEvent]) -> tuple[dict[str, dict[str, File]], list[str]]:
    """Return what events of the archive say together, in their order; as `told_files`."""
    days: dict[str, dict[str, File]] = {}
    batches: dict[str, str] = {}
    remarks = []
    for event in events:
        telling = msgspec.convert(event.detail, Telling)
        if telling.is_anew and days:
            count = sum(map(len, days.values()))
            remarks.append(f"at {event.occurred_at} the archive began anew; {count} files were told before")
            days, batches = {}, {}
        for day, files in telling.days.items():
            if batches.get(day) != event.aggregate_id:  # else the day goes on in this event
                days[day], batches[day] = {}, event.aggregate_id
            days[day] |= by_name(files)
    return days, remarks


def by_name(files: Iterable[File]) -> dict[str, File]:
    """Return files by their names."""
    return {file.file: file for file in files}


def check(conn: Connection, root: Root) -> Report:
    """
    Hold every file of the archive in force against what the ledger says of it, byte for byte.

    A batch that is published and not confirmed counts as told: whoever goes on with it tells of it.
    """
    manifest = read_manifest(root, EVENTS)
    if manifest is None:
        return Report()
    planned = one(conn, WATERMARKS["read_telling"], manifest.watermark)
    days, remarks = told_files(conn)
    if planned is not None:
        days |= {
            day: by_name(files) for day, files in msgspec.json.decode(planned, type=Telling).days.items()
        }
    now_in_force = read_manifest(root, EVENTS)
    if now_in_force is None or now_in_force.name != manifest.name:
        return check(conn, root)  # of one moment, or the one would not fit the other
    report = Report(remarks=remarks)
    missing = {(day, name): file for day, files in days.items() for name, file in files.items()}
    for part, key in list_parts(root, EVENTS, manifest):
        if part.rows:
            told = missing.pop((part.partition, part.file), None)
            _check_file(report, root, part, key, told)
    report.findings += [f"{name}: the ledger has it on {day}, the archive has not" for day, name in missing]
    return report


def _check_file(report: Report, root: Root, part: Part, key: str, told: File | None) -> None:
    if told is None:
        report.findings.append(f"{part.file}: the ledger does not speak of it")
        return
    try:
        with root.open(key) as file:
            sha256 = sha256_of(file)
    except FileNotFoundError:
        report.findings.append(f"{part.file}: it is not there")
        return
    if (sha256, part.rows) != (told.sha256, told.rows):
        report.findings.append(f"{part.file}: it is another than the ledger says")
        return
    report.files += 1
    report.rows += part.rows
