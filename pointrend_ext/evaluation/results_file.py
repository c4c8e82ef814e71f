"""Reading and checking predictions of instances in COCO's results format."""

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import pycocotools.mask as mask_util

from pointrend_ext.data.coco import lvis_class_ids
from pointrend_ext.data.coco.masks import is_finite
from pointrend_ext.data.findings import Cause, Findings, Kind, first_of
from pointrend_ext.data.rle import compress_rle
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.results_findings import find_oddities, place_of
from pointrend_ext.evaluation.shards import parse_entries, read_shards

BOX_FROM_MASK = Cause(Kind.CHANGED, "predictions without a box, which got that of their mask")

_NEEDED_BY_TASK = {"bbox": "bbox", "segm": "segmentation", "boundary": "segmentation"}
_LOGGER = logging.getLogger(__name__)

_Rule = tuple[Callable[[Any], bool], str]
"""Whether a value is right, and in words what it is then."""


def load_results(
    json_file: str | os.PathLike[str],
    truth: CocoTruth,
    tasks: Sequence[str] | None = None,
    found: Findings | None = None,
) -> list[dict[str, Any]]:
    """Read predictions and check every one of them against the ground truth.

    Args:
        json_file: a list of ``{"image_id", "category_id", "score", "bbox", "segmentation"}`` with
            COCO's ids, such as the ``coco_instances_results.json`` that Detectron2 writes; or the
            folder of an evaluation that was interrupted while it scored (``shards``).
        truth: as in ``check_results``, like what is returned.
        tasks: likewise.
        found: gets what is odd; by default it is logged.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a list of dicts in JSON, or see ``check_results``.
    """
    source = f"Results file {os.fspath(json_file)!r}"
    results = read_results(json_file)
    findings = Findings() if found is None else found
    results = check_results(results, truth, source, tasks, findings)
    if found is None:
        findings.log(_LOGGER, source)
    return results


def read_results(json_file: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read predictions, not yet checked; see ``load_results``."""
    if os.path.isdir(json_file):
        return read_shards(json_file)
    return parse_entries(Path(json_file).read_bytes(), f"Results file {os.fspath(json_file)!r}")


def contiguous_class_ids(metadata: Any, truth: CocoTruth) -> Mapping[Any, int]:
    """Return the class numbers of models by the ids that annotations and results have.

    Where the metadata does not say, Cityscapes' classes are numbered in the order of their ids,
    LVIS's as ``to_lvis_records`` does, also where a file lacks some; of others the ids are the
    numbers.

    Args:
        metadata: of the data set, Detectron2's.
        truth: its annotations.
    """
    stated = metadata.get("thing_dataset_id_to_contiguous_id", None)
    if stated is not None:
        return stated
    kind = metadata.get("evaluator_type", None)
    if kind == "lvis":
        return lvis_class_ids(truth.class_names)
    in_order = kind == "cityscapes_instance"
    return {own: i if in_order else own for i, own in enumerate(truth.class_names)}


def tasks_of(results: Sequence[dict[str, Any]], source: str = "Predictions") -> tuple[str, ...]:
    """Return "bbox" and "segm" as far as all predictions have boxes and masks.

    A prediction with a mask needs no box where others have one: it follows from the mask.

    Raises:
        ValueError: some have masks and others none, so that neither task would score them all.
    """
    has_box = [bool(result.get("bbox")) for result in results]
    has_mask = [bool(result.get("segmentation")) for result in results]
    if any(has_mask) and not all(has_mask):
        raise ValueError(
            f"{source}: {has_mask.count(False)} of {len(results)} predictions have no "
            f"segmentation, such as entry {has_mask.index(False)}, and the others have one. Give "
            "all of them masks, or score the boxes alone (--metrics bbox)."
        )
    if any(has_box) and not all(map(any, zip(has_box, has_mask, strict=True))):
        raise ValueError(
            f"{source}: {has_box.count(False)} of {len(results)} predictions have neither bbox nor "
            f"segmentation, such as entry {has_box.index(False)}: remove them or give them one."
        )
    return ("bbox",) * any(has_box) + ("segm",) * any(has_mask)


def check_results(
    results: list[dict[str, Any]],
    truth: CocoTruth,
    source: str,
    tasks: Sequence[str] | None = None,
    found: Findings | None = None,
    *,
    check_runs: bool = True,
) -> list[dict[str, Any]]:
    """Check predictions in COCO's results format, which are not changed, against the ground truth.

    Args:
        results: the predictions.
        truth: what they will be scored against.
        source: where they come from, the beginning of the messages.
        tasks: what they will be scored by; None for those of ``tasks_of``.
        found: counts what is changed, and with ``check_runs`` what is odd.
        check_runs: whether to decode run lengths too; pycocotools' own need no check.

    Returns:
        The predictions, with compressed run-length masks and, for "bbox", boxes.

    Raises:
        ValueError: a prediction that cannot be scored; the message names the entry, from 0.
    """
    tasks = tasks_of(results, source) if tasks is None else tasks
    needed = {_NEEDED_BY_TASK[task] for task in tasks}
    findings = Findings() if found is None else found
    findings.num_checked += len(results)
    known: dict[str, _Rule] = {
        "image_id": _among(truth.sizes_hw, truth.source),
        "category_id": _among(truth.class_names, truth.source),
        "score": (_is_number, "a finite number"),
    }
    rules = known | {key: _SHAPE_RULES[key] for key in needed}
    rules_without_box = known | {"segmentation": _SHAPE_RULES["segmentation"]}
    checked = []
    for index, result in enumerate(results):
        box_is_mask = "bbox" in needed and not result.get("bbox") and result.get("segmentation")
        own_rules = rules_without_box if box_is_mask else rules
        place = place_of(index, result)
        try:
            _check(result, own_rules, results)
            if "segmentation" in own_rules:
                result = _with_mask(result, truth.sizes_hw[result["image_id"]], check_runs)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{source}: {place}: {error}.") from error
        if box_is_mask:
            result = {**result, "bbox": mask_util.toBbox(result["segmentation"]).tolist()}
            findings.add(BOX_FROM_MASK, place)
        checked.append(result)
    if check_runs:
        find_oddities(checked, truth.sizes_hw, needed, findings)
    return checked


def _check(
    result: dict[str, Any], rules: Mapping[str, _Rule], results: list[dict[str, Any]]
) -> None:
    """Raise ValueError for the first value that is not right, with how many there are of it."""
    for key, (is_right, words) in rules.items():
        value = result.get(key)
        if not is_right(value):
            number = sum(not is_right(other.get(key)) for other in results)
            others = f"; so it is with {number} of {len(results)} predictions" * (number > 1)
            raise ValueError(
                f"its {key} {value!r:.100}{_hint(value, is_right)} is not {words}{others}"
            )


def _hint(value: Any, is_right: Callable[[Any], bool]) -> str:
    """Say how to write a value that is right in another type."""
    if isinstance(value, str):
        for number in (int, float):
            with contextlib.suppress(ValueError):
                if is_right(number(value)):
                    return " (it is text: write it without quotes)"
    elif isinstance(value, float) and value.is_integer() and is_right(int(value)):
        return f" (write {int(value)})"
    elif is_right(str(value)):
        return f" (there it is text: {str(value)!r})"
    return ""


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
    examples = first_of([*map(repr, known)], 5)
    words = (
        f"among the {len(known)} of {source!r} ({examples}), for which the predictions have to be "
        "made, with its own ids"
    )
    return lambda value: _is_id(value) and value in known, words


def _is_id(value: Any) -> bool:
    return isinstance(value, (Integral, str)) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and is_finite(value)


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
