"""Reading and checking predictions of instances in COCO's results format."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from pointrend_ext.data.rle import compress_rle
from pointrend_ext.evaluation.coco_truth import CocoTruth

__all__ = ["check_results", "load_results", "tasks_of"]

_NEEDED_BY_TASK = {"bbox": "bbox", "segm": "segmentation", "boundary": "segmentation"}


def load_results(
    json_file: str | os.PathLike[str], truth: CocoTruth, tasks: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Read predictions and check every one of them against the ground truth.

    Args:
        json_file: a list of ``{"image_id", "category_id", "score", "bbox", "segmentation"}`` with
            COCO's ids, such as the ``coco_instances_results.json`` that Detectron2 writes.
        truth: what the predictions will be scored against.
        tasks: what they will be scored by, "bbox", "segm" or "boundary"; None asks for the bbox or
            the segmentation that the first prediction has.

    Returns:
        The predictions, with compressed run-length masks.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a list in JSON, or a prediction that cannot be scored; the message names the
            file and the entry, counted from 0.
    """
    path = os.fspath(json_file)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no results file {path!r}.")
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Results file {path!r} is not valid JSON ({error}). It may be incomplete: write it "
            "again."
        ) from error
    if not isinstance(results, list):
        found = f"a dict with {sorted(results)[:8]}" if isinstance(results, dict) else repr(results)
        raise ValueError(
            f"Results file {path!r} holds {found[:200]}; COCO's results format is a list of "
            "predictions, [{'image_id': ..., 'category_id': ..., 'score': ..., 'segmentation': "
            "...}, ...]."
        )
    return check_results(results, truth, f"Results file {path!r}", tasks)


def tasks_of(results: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """Return "bbox" and "segm" as far as the first prediction has a box and a mask."""
    first = next(iter(results), {})
    return tuple(task for task in ("bbox", "segm") if first.get(_NEEDED_BY_TASK[task]))


def check_results(
    results: list[dict[str, Any]],
    truth: CocoTruth,
    source: str,
    tasks: Sequence[str] | None = None,
    *,
    check_runs: bool = True,
) -> list[dict[str, Any]]:
    """Check predictions against the ground truth.

    Args:
        results: predictions in COCO's results format; not changed.
        truth: what they will be scored against.
        source: where they come from, the beginning of the messages.
        tasks: as in ``load_results``.
        check_runs: whether to decode the run lengths too; not needed for masks that pycocotools
            has encoded.

    Returns:
        The predictions, with compressed run-length masks.

    Raises:
        ValueError: a prediction that cannot be scored; the message names the entry.
    """
    if not all(isinstance(result, dict) for result in results):
        index = next(i for i, result in enumerate(results) if not isinstance(result, dict))
        raise ValueError(f"{source}: entry {index} is {results[index]!r:.100}, not a dict.")
    needed = {_NEEDED_BY_TASK[task] for task in (tasks_of(results) if tasks is None else tasks)}
    checked = []
    for index, result in enumerate(results):
        try:
            checked.append(_checked(result, truth, needed, check_runs))
        except ValueError as error:
            image = f" (image_id {result['image_id']!r})" if "image_id" in result else ""
            raise ValueError(f"{source}: entry {index}{image}: {error}.") from error
    return checked


def _checked(
    result: dict[str, Any], truth: CocoTruth, needed: set[str], check_runs: bool
) -> dict[str, Any]:
    missing = {"image_id", "category_id", "score", *needed} - result.keys()
    if missing:
        raise ValueError(f"it has no {' and no '.join(map(repr, sorted(missing)))}")
    _known(result["image_id"], truth.sizes_hw, "image_id", truth)
    _known(result["category_id"], truth.class_names, "category_id", truth)
    if not _is_number(result["score"]):
        raise ValueError(f"its score is {result['score']!r}, not a finite number")
    if "bbox" in needed:
        _check_box(result["bbox"])
    if "segmentation" not in needed:
        return result
    mask = result["segmentation"]
    size_hw = truth.sizes_hw[result["image_id"]]
    if not isinstance(mask, dict):
        raise ValueError(
            f"its segmentation is a {type(mask).__name__}; results hold run-length masks, "
            "{'size': [height, width], 'counts': ...}"
        )
    if check_runs:
        try:
            return {**result, "segmentation": compress_rle(mask, size_hw)}
        except TypeError as error:
            raise ValueError(f"its run-length mask cannot be read: {error}") from error
    if tuple(mask["size"]) != size_hw:
        raise ValueError(f"its mask has (height, width) {tuple(mask['size'])}, the image {size_hw}")
    return result


def _known(value: Any, known: dict[int, Any], key: str, truth: CocoTruth) -> None:
    if isinstance(value, (Integral, str)) and value in known:
        return
    examples = ", ".join(str(k) for k in list(known)[:5])
    raise ValueError(
        f"its {key} {value!r} is not among the {len(known)} of {truth.source!r} ({examples}"
        f"{', ...' if len(known) > 5 else ''}). Were the predictions made for this data set, with "
        "its own ids?"
    )


def _check_box(box: Any) -> None:
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(map(_is_number, box)):
        raise ValueError(f"its bbox is {box!r:.100}, not 4 numbers [x, y, width, height]")
    if box[2] < 0 or box[3] < 0:
        raise ValueError(
            f"its bbox {box} has a negative width or height; it is [x, y, width, height]"
        )


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and math.isfinite(value)
