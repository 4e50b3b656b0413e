"""
All projections, in the order in which a layer computes them.
"""

from typing import Final

from pipeline.projections import behavior, collusion, drafts, items, momentum, submissions
from pipeline.projections.projection import Projection
from warehouse.datasets.attempt_activity import ATTEMPT_ACTIVITY

PROJECTIONS: Final[tuple[Projection, ...]] = (
    submissions.SUBMITTED,
    submissions.ITEMS,
    collusion.SIMILARITY,
    collusion.CLUSTERS,
    drafts.PASSAGES,
    drafts.ANALYSED,
    behavior.JUDGED,
    momentum.NORMS,
    momentum.MOMENTUM,
    items.ITEMS,
    items.TESTS,
)
# What is published from `reporting.<dataset>`: what is projected, and what the fold keeps up to date.
PUBLISHED: Final = {
    each.name: each
    for each in (ATTEMPT_ACTIVITY, *(every.dataset for every in PROJECTIONS if every.is_published))
}
