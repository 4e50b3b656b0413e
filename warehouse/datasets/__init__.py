"""
What the warehouse holds, a module for each dataset: its grain, its columns, what they mean.
"""

from typing import Final

from warehouse.datasets.answer_similarity import ANSWER_SIMILARITY
from warehouse.datasets.attempt_activity import ATTEMPT_ACTIVITY
from warehouse.datasets.behavior_analysis import BEHAVIOR_ANALYSIS
from warehouse.datasets.collusion_clusters import COLLUSION_CLUSTERS
from warehouse.datasets.draft_analysis import DRAFT_ANALYSIS
from warehouse.datasets.events import EVENTS
from warehouse.datasets.exam_norms import EXAM_NORMS
from warehouse.datasets.exam_performance_summary import EXAM_PERFORMANCE_SUMMARY
from warehouse.datasets.item_analysis import ITEM_ANALYSIS
from warehouse.datasets.learning_momentum import LEARNING_MOMENTUM
from warehouse.datasets.ledger_events import LEDGER_EVENTS
from warehouse.datasets.performance_metrics import PERFORMANCE_METRICS
from warehouse.datasets.response_times import RESPONSE_TIMES
from warehouse.datasets.risk_snapshots import RISK_SNAPSHOTS
from warehouse.datasets.rule_precision import RULE_PRECISION
from warehouse.datasets.student_risk_summary import STUDENT_RISK_SUMMARY
from warehouse.datasets.submission_items import SUBMISSION_ITEMS
from warehouse.datasets.submissions import SUBMISSIONS
from warehouse.datasets.test_statistics import TEST_STATISTICS
from warehouse.datasets.topic_norms import TOPIC_NORMS

DATASETS: Final = {
    each.name: each
    for each in (
        ANSWER_SIMILARITY,
        ATTEMPT_ACTIVITY,
        BEHAVIOR_ANALYSIS,
        COLLUSION_CLUSTERS,
        DRAFT_ANALYSIS,
        EVENTS,
        EXAM_NORMS,
        ITEM_ANALYSIS,
        LEARNING_MOMENTUM,
        LEDGER_EVENTS,
        RESPONSE_TIMES,
        RISK_SNAPSHOTS,
        RULE_PRECISION,
        SUBMISSIONS,
        SUBMISSION_ITEMS,
        TEST_STATISTICS,
        TOPIC_NORMS,
        ANSWER_SIMILARITY,
        COLLUSION_CLUSTERS,
        EXAM_PERFORMANCE_SUMMARY,
        PERFORMANCE_METRICS,
        STUDENT_RISK_SUMMARY,
    )
}
