"""The checks of `veritas doctor` on the pipeline: its backlog, damaged evidence, the warehouse's disk."""

from collections.abc import Iterator
from typing import Final

import psycopg

from deploy.commands.findings import Finding
from kernel.settings import Settings
from pipeline import jobs
from pipeline.detector import is_installed
from sql import named
from sql.running import connect, one, run

DEPLOY: Final = named("deploy")
DETECTIONS: Final = named("detections")
SHOWN_MAX: Final = 20  # pieces of evidence


def pipeline_findings(settings: Settings, url: str) -> Iterator[Finding]:
    """Say what the pipeline is behind with, and what its disk has."""
    try:
        with connect(url) as conn:
            lags = jobs.read_lags(conn)
            said = jobs.behind(conn, settings)
            unseen = one(conn, DETECTIONS["count_waiting"], jobs.COUNTED_MAX)
            damaged = [
                f"evidence {number} was found changed or missing, last on {at:%d %b %H:%M}"
                for number, at in run(conn, DEPLOY["list_damaged_evidence"], SHOWN_MAX).fetchall()
            ]
    except psycopg.Error as error:
        yield Finding(
            check="pipeline",
            ok=False,
            found=str(error).strip(),
            mend="name the owner's URL in VERITAS_OWNER_DATABASE_URL",
            required=False,
        )
        return
    yield Finding(
        check="pipeline",
        ok=not said,
        found=" ".join(said) or "nothing waits for long, no job fails",
        mend="make room on the warehouse's disk, or see the pipeline's log; what waits is taken up by itself",
        required=False,
    )
    yield Finding(
        check="face detector",
        ok=is_installed(),
        found=f"{'there' if is_installed() else 'not installed'}; pictures and videos that wait: {unseen:,}",
        mend="optional: `make detector` installs it (docs/detectors.md); what waits is looked at then",
        required=False,
    )
    disk = jobs.look_at_disk(settings, lags)
    yield Finding(
        check="evidence",
        ok=not damaged,
        found=f"{'; '.join(damaged)}" or "no file was found changed",
        mend="bring the files back from a backup, under their keys: they are looked at again each day",
    )
    yield Finding(
        check="warehouse disk",
        ok=disk.free is not None and disk.free > disk.needed,
        found=f"{jobs.in_size(disk.free)} free, {jobs.in_size(disk.needed)} needed for what waits",
        mend=f"make room on the disk of {settings.warehouse}, or set VERITAS_WAREHOUSE",
        required=False,
    )
