"""
What goes, at its size: a person with twenty attempts among ten million events, and events past their policy.

Everything is rebuilt first, as `veritas rebuild` does it, so that the archive and the numbers stand. Then the
pipeline's own functions work, one process in turns: the steps of the erasure, the numbers that follow, the
warehouse that is published anew; waits that are settings (an hour until builds from before go) are nought.
"""

from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec

from deploy.local.roles import give_passwords
from kernel.privacy import Step
from kernel.settings import Settings, load
from kernel.storage.opening import open_tiers
from loadtests.bench.analytics_steps import in_a_process, rebuild_whole
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError, Servers, open_servers, private_folder
from loadtests.bench.organisation import Extent, Organisation
from pipeline.privacy.erasing import erase_due
from pipeline.projections.turns import project
from pipeline.publications import publish_marked
from pipeline.retention.events import sweep_events
from sql import named
from sql.running import connect, run

ERASING: Final = named("bench_erasing")
EXTENT: Final = Extent(students=5_000, largest=2_000)
SMALL: Final = Extent(exams=40, students=50, attempts=1_000, largest=40, small=20, late=4)
ATTEMPTS: Final = 20  # of whoever is erased
ROUNDS_MAX: Final = 20
PROJECT_S_MAX: Final = 600.0
SWEEP_S: Final = 120.0


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """What `loadtests.bench.lifecycle.LifecycleFigures` says of them."""

    erasure_s: float
    erasure_parts_s: dict[str, float]
    erased_attempts: int
    retention_rows_per_s: float


def measure(extent: Extent, screen: Screen) -> Going:
    """
    Measure on servers of its own.

    Raises:
        BenchError: the erasure does not come to its end, or nothing went by policy.
    """
    with private_folder() as folder, open_servers(folder) as servers:
        made = Organisation(servers.owner, extent)
        made.fill(screen)
        run(servers.owner, ERASING["note_hot"])
        settings = _settings(servers, folder)
        with screen.step("everything rebuilt"):
            in_a_process(rebuild_whole, settings)
        with screen.step("a person erased"):
            attempts, parts = _erase(servers, settings, made)
        with screen.step("events past their policy"):
            per_s = _sweep(settings)
    return Going(
        erasure_s=sum(parts.values()),
        erasure_parts_s=parts,
        erased_attempts=attempts,
        retention_rows_per_s=per_s,
    )


def _settings(servers: Servers, folder: Path) -> Settings:
    places = {
        "VERITAS_EVIDENCE_STORE": str(folder / "hot"),
        "VERITAS_EVIDENCE_COLD_STORE": str(folder / "cold"),
        "VERITAS_ERASURE_SETTLED_S": "0",
        "VERITAS_BUILD_GRACE_S": "0",
        "VERITAS_COHORT_EVERY_S": "0",
        "VERITAS_COHORT_SETTLED_S": "0",
    }
    url = give_passwords(servers.postgres.url)["veritas_pipeline"]
    return load(places, database_url=url, warehouse=str(folder / "warehouse"))


def _erase(servers: Servers, settings: Settings, made: Organisation) -> tuple[int, dict[str, float]]:
    """Erase whoever has twenty attempts; return how many those are, and the seconds by part."""
    (person, attempts) = run(servers.owner, ERASING["find_person"], ATTEMPTS).fetchall()[0]
    run(servers.owner, ERASING["ask_to_erase"], person, made.teacher_id, datetime.now(UTC))
    parts = dict.fromkeys(("steps", "numbers", "published"), 0.0)
    stores = open_tiers(settings)
    for _ in range(ROUNDS_MAX):
        began = perf_counter()
        with connect(settings.database_url) as conn:
            erase_due(conn, stores, settings, now=datetime.now(UTC))
        stepped = perf_counter()
        parts["steps"] += stepped - began
        step, taken = run(servers.owner, ERASING["read_step"]).fetchall()[0]
        if step == Step.done:
            return attempts, parts
        project(settings, seconds_max=PROJECT_S_MAX)
        projected = perf_counter()
        publish_marked(settings)
        parts["numbers"] += projected - stepped
        parts["published"] += perf_counter() - projected
    raise BenchError(f"lifecycle: the erasure waits at {step}, having taken {taken}")


def _sweep(settings: Settings) -> float:
    """Take what is past its policy, for a while; return the rows a second."""
    began = perf_counter()
    with connect(settings.database_url) as conn:
        taken = sweep_events(conn, settings, now=datetime.now(UTC), seconds_max=SWEEP_S)
    if not taken.events or taken.differing:
        raise BenchError(f"lifecycle: {taken.events} events went, {len(taken.differing)} sessions differ")
    return taken.events / (perf_counter() - began)
