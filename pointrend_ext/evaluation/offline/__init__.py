"""Scoring saved predictions of any model, several side by side; ``tools/evaluate.py`` runs it."""

from pointrend_ext.evaluation.offline.data_sets import (
    InstanceData,
    PanopticData,
    SemanticData,
    data_set_of_annotations,
    find_data_set,
    find_panoptic_data,
)
from pointrend_ext.evaluation.offline.options import EvaluationOptions
from pointrend_ext.evaluation.offline.record import (
    Evaluation,
    evaluation_json,
    read_evaluation,
    write_evaluation,
)
from pointrend_ext.evaluation.offline.run import evaluate_files, name_predictions
from pointrend_ext.evaluation.offline.tables import write_csv, written_tables

__all__ = [
    "Evaluation",
    "EvaluationOptions",
    "InstanceData",
    "PanopticData",
    "SemanticData",
    "data_set_of_annotations",
    "evaluate_files",
    "evaluation_json",
    "find_data_set",
    "find_panoptic_data",
    "name_predictions",
    "read_evaluation",
    "write_csv",
    "write_evaluation",
    "written_tables",
]
