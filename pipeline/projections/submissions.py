"""
Submissions and their items as everything else is computed from them.
"""

from typing import Final

from pipeline.features import responses
from pipeline.projections.projection import Layer, Projection
from warehouse.datasets.submission_items import SUBMISSION_ITEMS
from warehouse.datasets.submissions import SUBMISSIONS

SUBMITTED: Final = Projection(
    layer=Layer.attempt,
    dataset=SUBMISSIONS,
    takes=("handed_in",),
    compute=lambda frames, _: frames["handed_in"],
)
ITEMS: Final = Projection(
    layer=Layer.attempt,
    dataset=SUBMISSION_ITEMS,
    takes=("submissions", "handed_in_items", "form_items", "item_events"),
    compute=lambda frames, _: responses.spelt(
        frames["submissions"], frames["handed_in_items"], frames["form_items"], frames["item_events"]
    ),
)
