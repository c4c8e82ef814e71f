"""Saved predictions of instances scored, several models on the same draws of images."""

import itertools
import logging
from collections.abc import Mapping

import numpy as np

from pointrend_ext.data.findings import Findings
from pointrend_ext.evaluation.ap_star import ApStar
from pointrend_ext.evaluation.coco_ap import MAX_DETECTIONS, coco_evaluation, precision_of
from pointrend_ext.evaluation.coco_matches import coco_matches
from pointrend_ext.evaluation.lvis_package import MAX_LVIS_DETECTIONS
from pointrend_ext.evaluation.mask_quality import MaskQuality, mask_quality
from pointrend_ext.evaluation.matches import MatchTable, average_precisions
from pointrend_ext.evaluation.offline.bootstrap import ModelScores, Samples
from pointrend_ext.evaluation.offline.data_sets import InstanceData
from pointrend_ext.evaluation.offline.instance_tasks import (
    check_request,
    choose_tasks,
    needed_tasks,
)
from pointrend_ext.evaluation.offline.objects import compare_objects
from pointrend_ext.evaluation.offline.options import EvaluationOptions
from pointrend_ext.evaluation.offline.record import ObjectExample, ScoreRange
from pointrend_ext.evaluation.precision_table import PrecisionTable, ap_metrics
from pointrend_ext.evaluation.results_file import load_results
from pointrend_ext.evaluation.results_findings import Limit, find_uncounted, find_unfindable

_RELIABILITY_IOUS = (0.50, 0.75, 0.90)
_SCORE_BINS = np.linspace(0, 1, 11)
_LOGGER = logging.getLogger(__name__)


def score_instance_files(
    data: InstanceData,
    files: Mapping[str, str],
    options: EvaluationOptions,
    weights: np.ndarray,
) -> tuple[list[ModelScores], tuple[ObjectExample, ...], list[str]]:
    """Score results files in COCO's format; errors are those of ``evaluate_files``.

    Args:
        data: what they are scored against.
        files: results file by name of the model.
        options: ``metrics`` are "bbox", "segm", "boundary" (Boundary AP), "mask_quality" of
            predictions for true boxes, "ap_star"; None for all that the predictions of all models
            allow.
        weights: (B, I) draws of the images, see ``bootstrap.draw_images``.

    Returns:
        The scores of each model, the objects in which they differ most, and what is to be noticed.
    """
    check_request(data, options)
    limit = _limit(data, options)
    results, found = {}, {}
    for name, file in files.items():
        found[name] = Findings()
        results[name] = load_results(file, data.truth, needed_tasks(options), found[name])
        find_uncounted(results[name], limit, found[name])
    tasks, not_scored = choose_tasks(data, results, options)
    for_lvis = max(limit.number, MAX_LVIS_DETECTIONS)
    star = ApStar(options.ap_star_file, data.truth, for_lvis) if "ap_star" in tasks else None
    lvis = ApStar(data.truth.source, data.truth, limit.number) if data.has_lvis_rules else None
    models, evaluations, of_quality = [], {}, set()
    for name, predictions in results.items():
        _LOGGER.info("Scoring %d predictions of %s", len(predictions), name)
        scores: dict[str, Samples] = {}
        reliability: tuple[ScoreRange, ...] = ()
        for task in tasks:
            if task == "mask_quality":
                quality = mask_quality(data.truth, predictions, f"Predictions of {name!r}")
                scores[task] = _quality_scores(quality, weights)
                of_quality.add(f"On {data.name} {quality.notice()}.")
                continue
            by_lvis, kind = (star, "segm") if task == "ap_star" else (lvis, task)
            if by_lvis is not None:
                table, matches = by_lvis.precision_and_matches(predictions, kind)
            else:
                evaluation = coco_evaluation(data.truth, predictions, task, limit.number)
                table = precision_of(evaluation, data.truth)
                matches = coco_matches(evaluation, data.truth.names_by_number)
                if task == "segm":
                    evaluations[name] = evaluation
            scores[task] = _task_scores(table, matches, weights, task)
            if lvis is not None:
                lvis.add_frequencies(scores[task], table.class_names)
            if task == "segm":
                reliability = _reliability(matches)
        models.append(ModelScores(name, files[name], len(predictions), scores, reliability))
    examples = compare_objects(evaluations, data) if evaluations else ()
    notices = _notices(data, options, limit, found)
    if star is not None:
        notices += [f"Annotations {star.path!r}: {line}" for line in star.findings.lines()]
    return models, examples, [*notices, *not_scored, *of_quality]


def _limit(data: InstanceData, options: EvaluationOptions) -> Limit:
    by_rule = MAX_LVIS_DETECTIONS if data.has_lvis_rules else MAX_DETECTIONS
    number = options.max_detections or by_rule
    return Limit(number, not data.has_lvis_rules, "--max-detections changes that")


def _notices(
    data: InstanceData, options: EvaluationOptions, limit: Limit, found: Mapping[str, Findings]
) -> list[str]:
    """Return what annotations and predictions have told, a line each."""
    truth = data.truth
    sources = [
        (f"Annotations {truth.source!r}", truth.findings),
        (f"Annotations {truth.source!r}", find_unfindable(truth.dataset["annotations"], limit)),
        *((f"Predictions of {name!r}", findings) for name, findings in found.items()),
    ]
    lines = [f"{source}: {line}" for source, own in sources for line in own.lines()]
    empty = [name for name, findings in found.items() if not findings.num_checked]
    if empty:
        lines.append(f"There is no prediction of {empty}.")
    if options.max_detections:
        lines.append(f"--max-detections: {limit.number} predictions of {limit.of} count.")
    return lines


def _task_scores(
    table: PrecisionTable, matches: MatchTable, weights: np.ndarray, task: str
) -> Samples:
    high = task != "bbox"
    values = table.metrics(high_ious=high, every_iou=True)
    ap = average_precisions(matches, weights)
    thresholds, names = matches.iou_thresholds, matches.class_names
    samples = ap_metrics(ap, thresholds, names, high_ious=high, every_iou=True)
    return {name: np.append(value, samples[name]) for name, value in values.items()}


def _quality_scores(quality: MaskQuality, weights: np.ndarray) -> Samples:
    everything = np.ones((1, weights.shape[1]), dtype=np.int64)
    return quality.means(np.concatenate([everything, weights]))


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
