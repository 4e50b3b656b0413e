"""
Answer similarity of an exam's attempts, and the clusters of it.

An exam is compared anew whenever something of it has changed and its turn has come; a large one, once nobody
is at work any more (`reading.COHORTS`): until then it has no rows.
"""

from typing import Final

from pipeline.features.collusion import clusters
from pipeline.features.similarity import Bar, answer_similarity
from pipeline.projections.projection import Layer, Projection
from warehouse.datasets.answer_similarity import ANSWER_SIMILARITY
from warehouse.datasets.collusion_clusters import COLLUSION_CLUSTERS

SIMILARITY: Final = Projection(
    layer=Layer.exam,
    dataset=ANSWER_SIMILARITY,
    takes=("cohort_submissions", "cohort_items", "cohort_contacts"),
    compute=lambda frames, settings: answer_similarity(
        frames["cohort_submissions"],
        frames["cohort_items"],
        frames["cohort_contacts"],
        bar=Bar(settings.similarity_false_share),
    ),
)
CLUSTERS: Final = Projection(
    layer=Layer.exam,
    dataset=COLLUSION_CLUSTERS,
    takes=("answer_similarity",),
    compute=lambda frames, _: clusters(frames["answer_similarity"]),
)
