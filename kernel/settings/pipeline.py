"""
Settings of the pipeline and of the ledger.
"""

from typing import Annotated

from kernel.settings.about import about
from kernel.settings.ingest import Ingest


class Pipeline(Ingest, frozen=True, kw_only=True):
    """The pipeline and the ledger."""

    # -- pipeline
    fold_every_ms: Annotated[
        int, about("Milliseconds between two looks at which sessions were touched.", ge=0)
    ] = 500
    fold_heartbeats_s: Annotated[
        float, about("Seconds that heartbeats may wait to be folded; anything else is at once.", ge=0, le=600)
    ] = 60.0
    fold_attempts_max: Annotated[
        int, about("Attempts that a worker folds in one transaction.", ge=1, le=2_000)
    ] = 200
    fold_events_max: Annotated[
        int,
        about(
            "Events that a worker holds in memory; a session with more new ones takes several turns.",
            ge=1,
            le=1_000_000,
        ),
    ] = 50_000
    fold_gather_rows: Annotated[
        int, about("Touches of sessions that are gathered in one statement.", ge=1, le=1_000_000)
    ] = 20_000
    outbox_batch_rows: Annotated[
        int, about("Rows of the outbox handed over in one transaction.", ge=1, le=10_000)
    ] = 1_000
    cohort_every_s: Annotated[
        float, about("Least seconds between two computations of an exam's cohort while it runs.", ge=0)
    ] = 60.0
    cohort_settled_s: Annotated[
        float, about("The same of an exam in which nobody is at work any more.", ge=0)
    ] = 5.0
    cohort_running_max: Annotated[
        int,
        about(
            "Submissions of an exam up to which all of them are looked at together while it runs; those of a"
            " larger one once nobody is at work any more.",
            ge=0,
        ),
    ] = 1_000
    publish_debounce_s: Annotated[
        float, about("Least seconds between two builds of one Parquet dataset.", ge=0)
    ] = 5.0
    build_grace_s: Annotated[int, about("Seconds an old build is kept after it was replaced.", ge=0)] = 600
    warehouse_retry_s_max: Annotated[
        float, about("Longest wait before a job of the warehouse that fails is tried again, seconds.", ge=1)
    ] = 60.0
    behind_after_s: Annotated[
        float, about("Lag of the pipeline that readiness and doctor speak of, seconds.", ge=1)
    ] = 30.0
    erasure_every_s: Annotated[
        float, about("Seconds between two looks at whether somebody is to be erased.", gt=0, le=3_600)
    ] = 5.0
    erasure_settled_s: Annotated[
        int,
        about(
            "Seconds that a proctor session must have ended before its candidate is erased: by then nothing"
            " of it arrives, and Redis has forgotten it.",
            ge=0,
        ),
    ] = 90_000
    pipeline_threads: Annotated[int, about("Worker threads of the pipeline.", ge=1, le=64)] = 2

    # -- ledger (spec.md L-2)
    ledger_origin: Annotated[
        str, about("Name of the ledger, in every signed head.", pattern=r"^[^\s+]{1,100}$(?!\n)")
    ] = "veritas/ledger"
    ledger_key_files: Annotated[
        str,
        about("PEM files of Ed25519 keys, private or public, by comma; the first signs heads, all verify."),
    ] = ""
    ledger_witness_file: Annotated[
        str, about("File on other storage that takes every signed head, append-only; none when empty.")
    ] = ""
    ledger_witness_url: Annotated[
        str,
        about(
            "Address that takes every signed head by POST; none when empty.",
            pattern=r"^(https?://.*)?$(?!\n)",
        ),
    ] = ""
    ledger_seal_ms: Annotated[int, about("Milliseconds between two signed heads.", ge=10)] = 1000
    ledger_batch_events: Annotated[
        int, about("Events given their positions in one transaction.", ge=1, le=100_000)
    ] = 10_000
    ledger_view_window_s: Annotated[
        float,
        about("Who sees the same thing again within this time is counted, with one event in the end.", gt=0),
    ] = 60.0
    ledger_views_max: Annotated[
        int, about("Views that may wait to be written to the ledger, of one process.", ge=1)
    ] = 10_000

    # -- retention (spec.md G-1)
    retention_sweep_s: Annotated[
        float, about("Seconds between sweeps that take what is older than its policy.", gt=0, le=86_400)
    ] = 3600.0
    retention_step_rows: Annotated[
        int, about("Events that one step of a sweep takes, in one transaction.", ge=1, le=10_000_000)
    ] = 200_000
    retention_people_max: Annotated[
        int, about("Erasures of inactive people that are open at a time.", ge=1, le=10_000)
    ] = 100
    retention_restored_days: Annotated[
        int, about("Days that events stay which were brought back from the archive.", ge=1, le=365)
    ] = 7
