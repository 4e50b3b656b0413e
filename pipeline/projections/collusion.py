"""
Answers of an exam's attempts compared with one another: their similarity and its clusters, their times,
and what is usual in each topic.

An exam is compared anew whenever something of it has changed and its turn has come; a large one, once nobody
is at work any more (`reading.COHORTS`): until then it has no rows.
"""

from typing import Final

from pipeline.features.collusion import clusters
from pipeline.features.response_times import response_times
from pipeline.features.similarity import Bar, answer_similarity
from pipeline.features.strengths import topic_norms
from pipeline.projections.projection import Layer, Projection
from warehouse.datasets.answer_similarity import ANSWER_SIMILARITY
from warehouse.datasets.collusion_clusters import COLLUSION_CLUSTERS
from warehouse.datasets.response_times import RESPONSE_TIMES
from warehouse.datasets.topic_norms import TOPIC_NORMS

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
TIMES: Final = Projection(
    layer=Layer.exam,
    dataset=RESPONSE_TIMES,
    takes=("cohort_submissions", "cohort_items"),
    compute=lambda frames, _: response_times(frames["cohort_submissions"], frames["cohort_items"]).drop(
        "student_id"
    ),
)
TOPICS: Final = Projection(
    layer=Layer.exam,
    dataset=TOPIC_NORMS,
    takes=("cohort_submissions", "cohort_items"),
    compute=lambda frames, _: topic_norms(frames["cohort_submissions"], frames["cohort_items"]),
)
CLUSTERS: Final = Projection(
    layer=Layer.exam,
    dataset=COLLUSION_CLUSTERS,
    takes=("answer_similarity",),
    compute=lambda frames, _: clusters(frames["answer_similarity"]),
)
