"""
Settings of what is thought of attempts (spec.md W-1). A row that was computed with others than the defaults
says so in its `metric_version`; who changes one computes the rows anew (`veritas rebuild`).
"""

from typing import Annotated

from kernel.settings.about import about
from kernel.settings.pipeline import Pipeline


class Analytics(Pipeline, frozen=True, kw_only=True):
    """What evidence weighs, and where its bars are."""

    integrity_rules_weight: Annotated[
        float, about("Share of integrity that the rules' risk can take at most.", ge=0, le=1)
    ] = 0.75
    integrity_events_weight: Annotated[
        float, about("The same of events that are out of the ordinary.", ge=0, le=1)
    ] = 0.25
    integrity_times_weight: Annotated[float, about("The same of response times.", ge=0, le=1)] = 0.35
    integrity_similarity_weight: Annotated[
        float, about("The same of answers that agree with another candidate's.", ge=0, le=1)
    ] = 0.60
    integrity_originality_weight: Annotated[float, about("The same of how texts came about.", ge=0, le=1)] = (
        0.40
    )
    dropout_from: Annotated[
        float, about("Probability of leaving from which on a label other than safe is given.", gt=0, lt=1)
    ] = 0.35
    similarity_false_share: Annotated[
        float, about("Share of the pairs called similar that may be so by chance.", gt=0, le=0.1)
    ] = 0.01
