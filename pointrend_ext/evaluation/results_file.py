"""Reading and checking predictions of instances in COCO's results format."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any

from pointrend_ext.data.rle import compress_rle
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.typed_json import read_typed_json

__all__ = ["check_results", "load_results", "tasks_of"]

_NEEDED_BY_TASK = {"bbox": "bbox", "segm": "segmentation", "boundary": "segmentation"}

_Rule = tuple[Callable[[Any], bool], str]
"""Whether a value is right, and in words what it is then."""


def load_results(
    json_file: str | os.PathLike[str], truth: CocoTruth, tasks: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Read predictions and check every one of them against the ground truth.

    Args:
        json_file: a list of ``{"image_id", "category_id", "score", "bbox", "segmentation"}`` with
            COCO's ids, such as the ``coco_instances_results.json`` that Detectron2 writes.
        truth: as in ``check_results``, like what is returned.
        tasks: likewise.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a list of dicts in JSON, or a prediction that cannot be scored; the message
            names the file and the entry, counted from 0.
    """
    results = read_typed_json(json_file, list[dict[str, Any]], "Results file")
    return check_results(results, truth, f"Results file {os.fspath(json_file)!r}", tasks)


def tasks_of(results: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Return "bbox" and "segm" as far as the first prediction has a box and a mask."""
    first = results[0] if results else {}
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
        tasks: what they will be scored by, "bbox", "segm" or "boundary"; None asks for the bbox or
            the segmentation that the first prediction has.
        check_runs: whether to decode the run lengths too; not needed for masks that pycocotools
            has encoded.

    Returns:
        The predictions, with compressed run-length masks.

    Raises:
        ValueError: a prediction that cannot be scored; the message names the entry.
    """
    rules: dict[str, _Rule] = {
        "image_id": _among(truth.sizes_hw, truth.source),
        "category_id": _among(truth.class_names, truth.source),
        "score": (_is_number, "a finite number"),
    }
    for task in tasks_of(results) if tasks is None else tasks:
        rules[_NEEDED_BY_TASK[task]] = _SHAPE_RULES[_NEEDED_BY_TASK[task]]
    checked = []
    for index, result in enumerate(results):
        try:
            for key, (is_right, words) in rules.items():
                if not is_right(result.get(key)):
                    raise ValueError(f"its {key} {result.get(key)!r:.100} is not {words}")
            if "segmentation" in rules:
                result = _with_mask(result, truth.sizes_hw[result["image_id"]], check_runs)
        except (ValueError, TypeError) as error:
            image = f"image_id {result.get('image_id')!r}"
            raise ValueError(f"{source}: entry {index} ({image}): {error}.") from error
        checked.append(result)
    return checked


def _with_mask(
    result: dict[str, Any], size_hw: tuple[int, int], check_runs: bool
) -> dict[str, Any]:
    mask = result["segmentation"]
    if check_runs:
        return {**result, "segmentation": compress_rle(mask, size_hw)}
    if tuple(mask["size"]) != size_hw:
        raise ValueError(f"its mask has (height, width) {tuple(mask['size'])}, the image {size_hw}")
    return result


def _among(known: Mapping[Any, Any], source: str) -> _Rule:
    examples = ", ".join(map(str, [*known][:5])) + (", ..." if len(known) > 5 else "")
    words = (
        f"among the {len(known)} of {source!r} ({examples}). Were the predictions made for this "
        "data set, with its own ids?"
    )
    return lambda value: isinstance(value, (Integral, str)) and value in known, words


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def _is_box(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) and len(value) == 4
    return is_list and all(map(_is_number, value)) and min(value[2:]) >= 0


_SHAPE_RULES: dict[str, _Rule] = {
    "bbox": (_is_box, "4 numbers [x, y, width, height] of no negative size"),
    "segmentation": (
        lambda value: isinstance(value, dict),
        "a run-length mask {'size': [height, width], 'counts': ...}",
    ),
}
