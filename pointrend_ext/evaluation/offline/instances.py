"""Saved predictions of instances scored, several models on the same draws of images."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pointrend_ext.evaluation.ap_star import ApStar
from pointrend_ext.evaluation.coco_ap import coco_evaluation, precision_of
from pointrend_ext.evaluation.coco_matches import coco_matches
from pointrend_ext.evaluation.matches import MatchTable, average_precisions
from pointrend_ext.evaluation.offline.data_sets import InstanceData
from pointrend_ext.evaluation.offline.objects import compare_objects
from pointrend_ext.evaluation.offline.record import ObjectExample, ScoreRange
from pointrend_ext.evaluation.offline.scores import ModelScores, Samples
from pointrend_ext.evaluation.precision_table import PrecisionTable, ap_metrics
from pointrend_ext.evaluation.results_file import load_results, tasks_of

__all__ = ["score_instance_files"]

_COCO_METRICS = ("bbox", "segm", "boundary", "ap_star")  # "boundary" is Boundary AP
_LVIS_METRICS = ("bbox", "segm")  # Boundary AP and AP* are defined for COCO's rules
_RELIABILITY_IOUS = (0.50, 0.75, 0.90)
_SCORE_BINS = np.linspace(0, 1, 11)
_FREQUENCIES = ("r", "c", "f")
_LOGGER = logging.getLogger(__name__)


def score_instance_files(
    data: InstanceData,
    files: Mapping[str, str],
    metrics: Sequence[str] | None,
    ap_star_file: str,
    weights: np.ndarray,
) -> tuple[list[ModelScores], tuple[ObjectExample, ...]]:
    """Score results files in COCO's format; errors are those of ``evaluate_files``.

    Args:
        data: what they are scored against.
        files: results file by name of the model.
        metrics: "bbox", "segm", "boundary" (Boundary AP), "ap_star"; None for all that the
            predictions of all models allow.
        ap_star_file: annotations in LVIS's format, for "ap_star".
        weights: (B, I) draws of the images, see ``bootstrap.draw_images``.

    Returns:
        The scores of each model, and the objects in which they differ most.
    """
    _check_metrics(data, metrics, ap_star_file)
    needed = [("segm" if m == "ap_star" else m) for m in metrics] if metrics else None
    results = {name: load_results(file, data.truth, needed) for name, file in files.items()}
    tasks = _tasks(data, list(results.values()), metrics, ap_star_file)
    lvis = ApStar(data.truth.source, data.truth) if data.has_lvis_rules else None
    star = ApStar(ap_star_file, data.truth) if "ap_star" in tasks else None
    models, evaluations = [], {}
    for name, predictions in results.items():
        _LOGGER.info("Scoring %d predictions of %s", len(predictions), name)
        scores: dict[str, Samples] = {}
        reliability: tuple[ScoreRange, ...] = ()
        for task in tasks:
            by_lvis, kind = (star, "segm") if task == "ap_star" else (lvis, task)
            if by_lvis is not None:
                table, matches = by_lvis.precision_and_matches(predictions, kind)
            else:
                evaluation = coco_evaluation(data.truth, predictions, task)
                table = precision_of(evaluation, data.truth)
                matches = coco_matches(evaluation, data.truth.names_by_number)
                if task == "segm":
                    evaluations[name] = evaluation
            scores[task] = _task_scores(table, matches, weights, task)
            if lvis is not None:
                _add_frequencies(scores[task], table.class_names, lvis.frequencies)
            if task == "segm":
                reliability = _reliability(matches)
        models.append(ModelScores(name, files[name], len(predictions), scores, reliability))
    return models, compare_objects(evaluations, data) if evaluations else ()


def _check_metrics(data: InstanceData, metrics: Sequence[str] | None, ap_star_file: str) -> None:
    rules, allowed = ("LVIS's", _LVIS_METRICS) if data.has_lvis_rules else ("COCO's", _COCO_METRICS)
    asked = {*(metrics or ()), *(["ap_star"] if ap_star_file else [])}
    if not asked <= {*allowed} or ("ap_star" in asked and not ap_star_file):
        raise ValueError(
            f"Data set {data.name!r} has {rules} rules: choose from {list(allowed)}, not "
            f"{sorted(asked)}; AP* needs annotations in LVIS's format (--ap-star-file)."
        )


def _tasks(
    data: InstanceData,
    results: list[list[dict[str, Any]]],
    metrics: Sequence[str] | None,
    ap_star_file: str,
) -> list[str]:
    if metrics:
        return [task for task in _COCO_METRICS if task in metrics]
    known = [tasks_of(r) for r in results if r]
    tasks = [t for t in ("bbox", "segm") if all(t in k for k in known)] if known else ["bbox"]
    if "segm" in tasks and not data.has_lvis_rules:
        tasks += ["boundary", *(["ap_star"] if ap_star_file else [])]
    if not tasks:
        raise ValueError(
            "The predictions have neither boxes nor masks in common: score them one by one."
        )
    return tasks


def _task_scores(
    table: PrecisionTable, matches: MatchTable, weights: np.ndarray, task: str
) -> Samples:
    high = task != "bbox"
    values = table.metrics(high_ious=high, every_iou=True)
    ap = average_precisions(matches, weights)
    thresholds, names = matches.iou_thresholds, matches.class_names
    samples = ap_metrics(ap, thresholds, names, high_ious=high, every_iou=True)
    return {name: np.append(value, samples[name]) for name, value in values.items()}


def _add_frequencies(scores: Samples, names: Sequence[str], groups: Sequence[str]) -> None:
    """Add LVIS's APr, APc and APf, means over rare, common and frequent classes."""
    for group in _FREQUENCIES:
        parts = [f"AP-{n}" for n, g in zip(names, groups, strict=True) if g == group]
        known = [scores[n] for n in parts if n in scores and not np.isnan(scores[n][0])]
        if known:
            means = np.ma.masked_invalid(np.stack(known)).mean(axis=0)
            scores[f"AP{group}"] = np.ma.filled(means, np.nan)


def _reliability(matches: MatchTable) -> tuple[ScoreRange, ...]:
    """Return, per range of scores, how many predictions were right, all classes together."""
    scores = np.concatenate([m.scores for m in matches.classes])
    rows = [int(np.argmin(abs(matches.iou_thresholds - iou))) for iou in _RELIABILITY_IOUS]
    is_true = np.concatenate([m.is_true[rows, 0] for m in matches.classes], axis=1)
    is_wrong = np.concatenate([m.is_wrong[rows, 0] for m in matches.classes], axis=1)
    bins = np.clip(np.digitize(scores, _SCORE_BINS) - 1, 0, len(_SCORE_BINS) - 2)
    ranges = []
    for number, (low, high) in enumerate(itertools.pairwise(_SCORE_BINS)):
        inside = bins == number
        right = is_true[:, inside].sum(axis=1)
        counted = right + is_wrong[:, inside].sum(axis=1)
        precision = {
            f"{iou:.2f}": float(r / c) if c else None
            for iou, r, c in zip(_RELIABILITY_IOUS, right, counted, strict=True)
        }
        mean = float(scores[inside].mean()) if inside.any() else None
        bounds = round(float(low), 2), round(float(high), 2)
        ranges.append(ScoreRange(*bounds, int(inside.sum()), mean, precision))
    return tuple(ranges)
