"""
Norms of exams, and by them how each candidate's work goes on.
"""

from typing import Final

from pipeline.features.norms import exam_norms
from pipeline.features.standing import standing
from pipeline.projections.projection import Layer, Projection
from warehouse.datasets.exam_norms import EXAM_NORMS
from warehouse.datasets.learning_momentum import LEARNING_MOMENTUM

# A trigger marks the candidates whose entry in the norms has changed: 0068_draft_analysis.sql.
NORMS: Final = Projection(
    layer=Layer.exam,
    dataset=EXAM_NORMS,
    takes=("results", "qualities"),
    compute=lambda frames, _: exam_norms(frames["results"], frames["qualities"]),
)
MOMENTUM: Final = Projection(
    layer=Layer.student,
    dataset=LEARNING_MOMENTUM,
    takes=("submissions", "draft_analysis", "norms"),
    compute=lambda frames, _: standing(frames["submissions"], frames["draft_analysis"], frames["norms"]),
)
