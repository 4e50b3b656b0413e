"""Run one job of the pipeline in a process of its own and kill it (SIGKILL) at a named step."""

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

import msgspec
import psycopg
import pyarrow as pa

from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.detector.turns import detect
from pipeline.fold import connect_to_fold, fold
from pipeline.outbox import read_outbox
from pipeline.projections.turns import project
from pipeline.publications import publish_marked
from pipeline.rebuild import FOLDED, rebuild
from pipeline.retention.events import Taken, sweep_events
from pipeline.retention.people import sweep_people
from pipeline.retention.runtime import sweep_runtime
from pipeline.retention.submissions import sweep_contents
from pipeline.scheduler import gather
from sql.running import connect
from tests.kits.evidence_old import expire
from tests.kits.forks import Forked
from warehouse import publish
from warehouse.builds import Manifest
from warehouse.datasets.events import EVENTS
from warehouse.files import Root, open_root

PUBLISH_STEPS: Final = ("parts_written", "groups_complete", "draft_complete", "swapped")
STEPS: Final[dict[str, tuple[str, ...]]] = {
    "fold": ("claimed", "read", "computed", "stored", "committed"),
    "retain": ("compared", "taken", "dropped"),
    "expire": ("taken", "file_deleted", "deleted"),
    "people": ("asked",),
    "contents": ("taken",),
    "runtime": ("removed",),
    "detect": ("claimed", "looked", "settled", "noted", "committed"),
    "project": ("claimed", "read", "computed", "stored", "committed"),
    "archive": ("planned", *PUBLISH_STEPS, "published", "confirmed"),
    "publish": ("read", *PUBLISH_STEPS, "unmarked"),
    "rebuild": ("planned", *PUBLISH_STEPS, "published", "confirmed", "stored", "read", "unmarked"),
}


def fold_now(settings: Settings, step: publish.Step = publish.no_step) -> int:
    """Gather what was touched and fold all of it, heartbeats too; return how many sessions the turns had."""
    with connect(settings.database_url) as conn:
        gather(conn, msgspec.structs.replace(settings, fold_heartbeats_s=0.0))
    with connect_to_fold(settings) as conn:
        return fold(conn, settings, seconds_max=60.0, step=step)


def drain_outbox(settings: Settings, step: publish.Step) -> None:
    """Read the outbox until it is empty."""
    with connect(settings.database_url) as conn:
        while read_outbox(conn, settings.outbox_batch_rows, step):
            pass


def project_now(settings: Settings, step: publish.Step = publish.no_step) -> int:
    """Read the outbox, and project what is due until nothing is; return how many keys had their turn."""
    drain_outbox(settings, publish.no_step)
    return project(settings, seconds_max=60.0, step=step)


def sweep_now(settings: Settings, now: datetime | None = None, step: publish.Step = publish.no_step) -> Taken:
    """Take the events that are past their policy."""
    with connect(settings.database_url) as conn:
        return sweep_events(conn, settings, now=now or datetime.now(UTC), step=step)


def ask_now(settings: Settings, step: publish.Step = publish.no_step) -> int:
    """Ask for the erasure of whoever is inactive."""
    with connect(settings.database_url) as conn:
        return sweep_people(conn, settings, now=datetime.now(UTC), step=step)


def forget_now(settings: Settings, step: publish.Step = publish.no_step) -> int:
    """Take contents of submissions that are past their policy."""
    with connect(settings.database_url) as conn:
        return sweep_contents(conn, now=datetime.now(UTC), step=step)


def remove_now(settings: Settings, step: publish.Step = publish.no_step) -> int:
    """Take the runtime state that is past its policy; return of how many attempts it went."""
    with connect(settings.database_url) as conn:
        return sweep_runtime(conn, now=datetime.now(UTC), step=step).attempts


JOBS: Final[dict[str, Callable[[Settings, publish.Step], object]]] = {
    "fold": fold_now,
    "archive": archive_events,
    "publish": publish_marked,
    "outbox": drain_outbox,
    "project": project_now,
    "retain": lambda settings, step: sweep_now(settings, step=step),
    "expire": expire,
    "people": ask_now,
    "contents": forget_now,
    "runtime": remove_now,
    "detect": lambda settings, step: detect(settings, seconds_max=60.0, step=step),
    "rebuild": lambda settings, step: rebuild(settings, step=step, only=FOLDED),
}


def dying(at: str) -> publish.Step:
    """Return a step function that kills its own process when the step comes."""

    def step(name: str) -> None:
        if name == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def _job(settings: Settings, job: str, at: str) -> None:
    JOBS[job](settings, dying(at))


def _statements(settings: Settings, job: str, at: int) -> None:
    """Run the job, and die in front of so many-th statement that it sends."""
    sent, send = count(1), psycopg.RawCursor.execute

    def counted(cursor: Any, *given: Any, **more: Any) -> Any:
        if next(sent) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return send(cursor, *given, **more)

    psycopg.RawCursor.execute = counted  # type: ignore[assignment, method-assign]
    JOBS[job](settings, publish.no_step)


def _build(settings: Settings, rows: pa.Table, at: str) -> None:
    put_in_force(open_root(settings.warehouse, settings), rows, dying(at))


def put_in_force(root: Root, rows: pa.Table, step: publish.Step = publish.no_step) -> Manifest:
    """Publish these rows, in two parts, in the place of everything before."""
    half = rows.num_rows // 2
    with publish.begin(root, EVENTS) as draft:
        publish.add(draft, "2026-09-01", rows.slice(0, half))
        publish.add(draft, "2026-09-02", rows.slice(half))
        old = {part for part, _ in publish.previous_parts(draft)}
        watermark = draft.previous.watermark + 1 if draft.previous else 1
        now = datetime.now(UTC)
        return publish.commit(draft, replaced=old, watermark=watermark, as_of=now, now=now, step=step)


def kill_at(job: str, settings: Settings, at: str) -> bool:
    """Run the job until the step, kill it there; False when it ended before coming to it."""
    return _run(_job, settings, job, at)


def kill_at_statement(job: str, settings: Settings, at: int) -> bool:
    """Run the job up to a statement, and kill it there; False when it ended before coming to it."""
    return _run(_statements, settings, job, at)


def kill_publisher_at(settings: Settings, rows: pa.Table, at: str) -> bool:
    """Publish the rows until the step, and kill the publisher there."""
    return _run(_build, settings, rows, at)


def _run(target: Callable[..., None], *arguments: Any) -> bool:
    code = Forked(target, *arguments).wait(60)
    assert code in (0, -signal.SIGKILL), f"the job failed by itself: {code}"
    return code == -signal.SIGKILL
