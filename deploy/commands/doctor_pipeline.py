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
from warehouse.builds import read_manifest
from warehouse.datasets.events import EVENTS
from warehouse.files import ROOT_FAILS, WarehouseError, open_root

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
    yield Finding(
        check="evidence",
        ok=not damaged,
        found=f"{'; '.join(damaged)}" or "no file was found changed",
        mend="bring the files back from a backup, under their keys: they are looked at again each day",
    )
    disk = jobs.look_at_disk(settings, lags)
    yield (
        bucket_finding(settings)
        if disk is None
        else Finding(
            check="warehouse disk",
            ok=disk.free is not None and disk.free > disk.needed,
            found=f"{jobs.in_size(disk.free)} free, {jobs.in_size(disk.needed)} needed for what waits",
            mend=f"make room on the disk of {settings.warehouse}, or set VERITAS_WAREHOUSE",
            required=False,
        )
    )


def bucket_finding(settings: Settings) -> Finding:
    """Say whether the warehouse's bucket answers."""
    try:
        manifest = read_manifest(open_root(settings.warehouse, settings), EVENTS)
        found = "nothing is published yet" if manifest is None else f"{manifest.rows:,} events are archived"
    except (*ROOT_FAILS, WarehouseError, ValueError) as error:
        return Finding(
            check="warehouse bucket",
            ok=False,
            found=f"{settings.warehouse}: {str(error).partition(chr(10))[0]}",
            mend="name bucket and keys in VERITAS_WAREHOUSE, VERITAS_S3_ENDPOINT, VERITAS_S3_REGION, "
            "VERITAS_S3_ACCESS_KEY, VERITAS_S3_SECRET_KEY; what waits is archived once it answers",
        )
    return Finding(check="warehouse bucket", ok=True, found=f"{settings.warehouse}: {found}", mend="")
