"""Metrics, and which of them a data set is evaluated with."""

from pointrend_ext.evaluation.build import build_evaluator
from pointrend_ext.evaluation.coco import HIGH_IOUS, InstanceEvaluator, average_precision_at

__all__ = ["HIGH_IOUS", "InstanceEvaluator", "average_precision_at", "build_evaluator"]
