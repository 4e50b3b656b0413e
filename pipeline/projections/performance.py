"""
Exams and students in a row each.
"""

from typing import Final

from pipeline.features.exam_performance import exam_performance_summary
from pipeline.features.strengths import strengths_by
from pipeline.features.student_performance import performance_metrics, student_risk_summary
from pipeline.projections.projection import Layer, Projection
from warehouse.datasets.exam_performance_summary import EXAM_PERFORMANCE_SUMMARY
from warehouse.datasets.performance_metrics import PERFORMANCE_METRICS
from warehouse.datasets.student_risk_summary import STUDENT_RISK_SUMMARY

EXAMS: Final = Projection(
    layer=Layer.exam,
    dataset=EXAM_PERFORMANCE_SUMMARY,
    takes=("exams", "exam_sums"),
    compute=lambda frames, _: exam_performance_summary(frames["exams"], frames["exam_sums"]),
)
STUDENTS: Final = Projection(
    layer=Layer.student,
    dataset=PERFORMANCE_METRICS,
    takes=("submissions", "submission_items", "behavior_analysis", "exams", "topics"),
    compute=lambda frames, _: performance_metrics(
        frames["submissions"],
        frames["behavior_analysis"],
        frames["exams"],
        strengths_by(frames["topics"], frames["submissions"], frames["submission_items"]),
    ),
)
RISKS: Final = Projection(
    layer=Layer.student,
    dataset=STUDENT_RISK_SUMMARY,
    takes=("attempts", "behavior_analysis", "exams"),
    compute=lambda frames, _: student_risk_summary(
        frames["attempts"], frames["behavior_analysis"], frames["exams"]
    ),
)
