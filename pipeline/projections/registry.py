"""
All projections, in the order in which a layer computes them.
"""

from typing import Final

from pipeline.projections import (
    anomalies,
    behavior,
    collusion,
    drafts,
    items,
    momentum,
    performance,
    submissions,
)
from pipeline.projections.projection import Projection
from warehouse.datasets.attempt_activity import ATTEMPT_ACTIVITY
from warehouse.datasets.ledger_events import LEDGER_EVENTS
from warehouse.datasets.risk_snapshots import RISK_SNAPSHOTS
from warehouse.datasets.rule_precision import RULE_PRECISION

PROJECTIONS: Final[tuple[Projection, ...]] = (
    submissions.SUBMITTED,
    submissions.ITEMS,
    collusion.SIMILARITY,
    collusion.CLUSTERS,
    collusion.TIMES,
    collusion.TOPICS,
    drafts.PASSAGES,
    drafts.ANALYSED,
    anomalies.CELLS,
    anomalies.NORMED,
    behavior.JUDGED,
    momentum.NORMS,
    momentum.MOMENTUM,
    items.ITEMS,
    items.TESTS,
    performance.EXAMS,
    performance.STUDENTS,
    performance.RISKS,
)
# What is published as it is marked: what is projected, what the fold keeps up to date, and what is read from
# durable tables (`pipeline/durable.py`).
PUBLISHED: Final = {
    each.name: each
    for each in (
        ATTEMPT_ACTIVITY,
        LEDGER_EVENTS,
        RISK_SNAPSHOTS,
        RULE_PRECISION,
        *(every.dataset for every in PROJECTIONS if every.is_published),
    )
}
