"""Which tasks saved predictions of instances are scored by, and why not by others."""

from collections.abc import Mapping, Sequence
from typing import Any

from pointrend_ext.evaluation.mask_quality import OF_OBJECT
from pointrend_ext.evaluation.offline.data_sets import InstanceData
from pointrend_ext.evaluation.offline.options import EvaluationOptions
from pointrend_ext.evaluation.results_file import tasks_of

_AP_STAR, _QUALITY = "ap_star", "mask_quality"
_LVIS_METRICS = ("bbox", "segm", "boundary", _QUALITY)  # "boundary" is Boundary AP
_COCO_METRICS = (*_LVIS_METRICS, _AP_STAR)  # AP* is defined for COCO's classes


def check_request(data: InstanceData, options: EvaluationOptions) -> None:
    """Raise ValueError where a metric that is asked for cannot be computed on the data set."""
    rules, allowed = ("LVIS's", _LVIS_METRICS) if data.has_lvis_rules else ("COCO's", _COCO_METRICS)
    asked, file = {*(options.metrics or ())}, options.ap_star_file
    if not asked <= {*allowed} or (file and data.has_lvis_rules):
        raise ValueError(
            f"Data set {data.name!r} has {rules} rules: choose from {list(allowed)}, not "
            f"{sorted(asked | ({_AP_STAR} if file else set()))}."
        )
    if _AP_STAR in asked and not file:
        raise ValueError("AP* needs annotations in LVIS's format: --ap-star-file.")
    if file and options.metrics and _AP_STAR not in asked:
        raise ValueError(
            f"--ap-star-file is for the metric {_AP_STAR!r}, which is not among --metrics "
            f"{' '.join(options.metrics)}: add it, or leave the file out."
        )
    if asked - {"bbox"} and not data.truth.has_masks:
        raise ValueError(
            f"No annotation of {data.truth.source!r} has a mask ('segmentation'): "
            f"{sorted(asked - {'bbox'})} cannot be computed, 'bbox' can."
        )


def needed_tasks(options: EvaluationOptions) -> list[str] | None:
    """Return what all predictions need to have, as tasks; None where they decide themselves."""
    if options.metrics is None:
        return None
    of_masks = (_AP_STAR, _QUALITY)
    return ["segm" if metric in of_masks else metric for metric in options.metrics]


def choose_tasks(
    data: InstanceData,
    results: Mapping[str, Sequence[dict[str, Any]]],
    options: EvaluationOptions,
) -> tuple[list[str], list[str]]:
    """Choose the tasks of all models from their checked predictions.

    Returns:
        The tasks, and a sentence for each that is not scored although it could have been.

    Raises:
        ValueError: AP* is asked for by its file alone and there are no masks, or nothing is left.
    """
    if options.metrics:
        return [task for task in _COCO_METRICS if task in options.metrics], []
    tasks, notices = [], []
    for task, what in (("bbox", "boxes"), ("segm", "masks")):
        without = [name for name, own in results.items() if own and task not in tasks_of(own)]
        if without:
            notices.append(f"{task} is not scored: the predictions of {without} have no {what}.")
        elif task == "segm" and not data.truth.has_masks:
            notices.append(f"{task} is not scored: no annotation has a mask ('segmentation').")
        else:
            tasks.append(task)
    if options.ap_star_file and "segm" not in tasks:
        raise ValueError(f"AP* (--ap-star-file) is about masks: {' '.join(notices)}")
    if not tasks:
        raise ValueError(f"Nothing can be scored: {' '.join(notices)} Score them one by one.")
    if "segm" in tasks:
        tasks.append("boundary")
        named = [name for name, own in results.items() if any(OF_OBJECT in r for r in own)]
        if named and len(named) < len(results):
            others = [name for name in results if name not in named]
            notices.append(
                f"{_QUALITY} is not scored: the predictions of {others} are not for given boxes."
            )
        elif named:
            tasks.append(_QUALITY)
        tasks += [_AP_STAR] if options.ap_star_file else []
    return tasks, notices
