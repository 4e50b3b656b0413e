"""
Settings about exams: attempts, watching and acting while they run, risk, reviews, claims, programmes.
"""

from typing import Annotated

from kernel.settings.about import about
from kernel.settings.people import People


class Exams(People, frozen=True, kw_only=True):
    """Attempts, watching and acting while exams run, risk, reviews, claims, programmes."""

    # -- attempts (spec.md D-2)
    expiry_sweep_s: Annotated[
        float, about("Seconds between sweeps for attempts past their end.", gt=0, le=3600)
    ] = 5.0

    # -- keys put right after the exam (spec.md M-1)
    remediation_sweep_s: Annotated[
        float, about("Seconds between looks for remediations that are to be applied.", gt=0, le=3600)
    ] = 1.0

    # -- watching an exam live (spec.md U-1)
    stream_ticket_s: Annotated[
        int, about("Life of an unused ticket that opens a stream or a socket, seconds.", ge=5, le=600)
    ] = 60
    live_turn_ms: Annotated[
        int, about("How long changes of watched exams are gathered before they are told.", ge=20, le=5000)
    ] = 250
    live_ping_s: Annotated[
        float, about("Seconds without a change after which a watcher gets a ping.", gt=0, le=60)
    ] = 15.0
    live_resume_s: Annotated[
        int,
        about("How long ago a watcher may have been cut off and still go on from there.", ge=10, le=3600),
    ] = 300
    live_waiting_max: Annotated[
        int, about("Messages that may wait for one watcher; with more the watch ends.", ge=2, le=10_000)
    ] = 64
    live_sessions_max: Annotated[
        int, about("Running sessions of one exam that a watcher is shown at first, the newest.", ge=1)
    ] = 10_000
    live_alerts_max: Annotated[int, about("Alerts of one exam in one message.", ge=1, le=1000)] = 100
    live_watches_max: Annotated[int, about("Watches of one process at once.", ge=1)] = 2000
    live_account_watches_max: Annotated[int, about("Watches of one account and process at once.", ge=1)] = 20
    client_sockets_max: Annotated[
        int, about("Sockets of candidates' clients that one process keeps open.", ge=1)
    ] = 20_000

    # -- what staff do while an exam runs (spec.md P-4)
    pause_minutes_max: Annotated[
        int,
        about(
            "How long one attempt may be paused, all its pauses together; then its clock runs again.",
            ge=1,
            le=10_080,
        ),
    ] = 60
    pauses_end_with_window: Annotated[
        bool,
        about("Whether the exam's window, with extra time, ends an attempt that was paused, too."),
    ] = False
    pause_grace_s: Annotated[
        float,
        about("How long after a pause began what was typed before is still saved.", ge=0, le=600),
    ] = 30.0
    room_acts_max: Annotated[
        int, about("Sessions that are paused, resumed and so on by one request.", ge=1, le=10_000)
    ] = 500
    room_announcements_max: Annotated[
        int, about("Sessions that one announcement reaches.", ge=1, le=100_000)
    ] = 10_000

    # -- risk (spec.md R-2)
    risk_rules_max: Annotated[int, about("Risk rules that one organisation may have.", ge=7, le=1000)] = 100
    what_if_sessions_max: Annotated[
        int, about("Past sessions that a draft of risk rules may be tried on at a time.", ge=1)
    ] = 10_000
    what_if_events_max: Annotated[int, about("Events that those sessions may have in all.", ge=1)] = 2_000_000

    # -- reviews (spec.md C-1)
    review_claim_s: Annotated[
        int,
        about(
            "How long a session is a reviewer's alone after the last thing that they did about it, seconds.",
            ge=10,
            le=86_400,
        ),
    ] = 900

    # -- claims (spec.md M-2)
    claim_window_days: Annotated[
        int,
        about(
            "Days after a result was shown in which it may be claimed against, where its exam's policy says"
            " nothing; 0: not at all.",
            ge=0,
            le=365,
        ),
    ] = 14
    claim_acknowledge_days: Annotated[
        int, about("Days in which staff acknowledge a claim; then it is disputed by itself.", ge=1, le=365)
    ] = 5
    claim_resolve_days: Annotated[
        int,
        about("Days in which a claim that was acknowledged is resolved; then it is disputed.", ge=1, le=365),
    ] = 14
    claim_answer_days: Annotated[
        int,
        about(
            "Days in which a candidate answers a question about their claim; then it expires.", ge=1, le=365
        ),
    ] = 14
    claim_disputable_days: Annotated[
        int, about("Days in which a candidate may dispute the resolution of their claim.", ge=1, le=365)
    ] = 14
    claim_dispute_days: Annotated[
        int, about("Days in which a disputed claim is resolved for good.", ge=1, le=365)
    ] = 21
    claim_remind_days: Annotated[
        int, about("Days before a claim's deadline on which whoever has to act is reminded.", ge=0, le=365)
    ] = 2
    claim_statements_max: Annotated[
        int, about("Statements of both sides in one claim, together.", ge=2, le=1000)
    ] = 50
    claim_sweep_s: Annotated[
        float, about("Seconds between sweeps for claims' reminders and deadlines.", gt=0, le=86_400)
    ] = 30.0
    # -- programmes (spec.md M-3)
    programme_sweep_s: Annotated[
        float, about("Seconds between sweeps for enrolments that are to be judged.", gt=0, le=86_400)
    ] = 5.0

    # -- what candidates see
    show_numbers_to_candidates: Annotated[
        bool,
        about("Put the violation count and the risk score into candidates' replies (spec.md, decision 6)."),
    ] = False
