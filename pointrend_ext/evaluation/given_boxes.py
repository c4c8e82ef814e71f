"""Evaluations on boxes that are given (``TEST.GIVEN_BOXES``): which, and how they reach the model.

The model is wrapped by the engine (``modeling.given_boxes``), which reads ``given`` of its inputs.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances

from pointrend_ext.data.findings import Cause, Findings, Kind
from pointrend_ext.evaluation.cityscapes import cityscapes_truth
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.mask_quality import GIVEN_IDS
from pointrend_ext.evaluation.results_file import contiguous_class_ids, load_results
from pointrend_ext.evaluation.results_findings import place_of

GROUND_TRUTH = "ground_truth"
_ARCHITECTURE = "GeneralizedRCNN"
_CITYSCAPES = "cityscapes_instance"
_OUTSIDE = Cause(Kind.LEFT_OUT, "detections whose box has no area inside the image")
_LOGGER = logging.getLogger(__name__)


def check_given_boxes(cfg: CfgNode, dataset_name: str) -> None:
    """Try what an evaluation on given boxes needs, before a model is built.

    Raises:
        ValueError: the model cannot take boxes or needs some, or they are not of the data set.
        FileNotFoundError: ``TEST.GIVEN_BOXES`` is neither a file nor another known value.
    """
    value, model = cfg.TEST.GIVEN_BOXES, cfg.MODEL.META_ARCHITECTURE
    if not value:
        if (model, cfg.MODEL.PROPOSAL_GENERATOR.NAME) == (_ARCHITECTURE, "GivenBoxes"):
            raise ValueError(
                "A model of MODEL.PROPOSAL_GENERATOR.NAME 'GivenBoxes' finds no objects: set "
                f"TEST.GIVEN_BOXES {GROUND_TRUTH!r} or a file of detections, or DATASETS.TEST '()'."
            )
        return
    if model != _ARCHITECTURE or not cfg.MODEL.MASK_ON:
        raise ValueError(
            f"TEST.GIVEN_BOXES is {value!r}, but a model of MODEL.META_ARCHITECTURE {model!r} and "
            f"MODEL.MASK_ON {cfg.MODEL.MASK_ON} predicts no masks for boxes: use {_ARCHITECTURE} "
            "with MASK_ON True, or leave TEST.GIVEN_BOXES empty."
        )
    if value == GROUND_TRUTH:
        truth = instance_truth(dataset_name)
        truth.check_objects()
        if not truth.has_masks:
            raise ValueError(
                f"TEST.GIVEN_BOXES is {GROUND_TRUTH!r}, but no annotation of {truth.source!r} has "
                "a mask ('segmentation') that predictions could be compared with."
            )
        return
    if not Path(value).is_file():
        raise FileNotFoundError(
            f"TEST.GIVEN_BOXES is {value!r}, which is neither '' (the model's own boxes), "
            f"{GROUND_TRUTH!r}, nor a file of detections in COCO's results format."
        )
    if len(cfg.DATASETS.TEST) > 1:
        raise ValueError(
            f"TEST.GIVEN_BOXES is the file {value!r} of one data set, but DATASETS.TEST names "
            f"{len(cfg.DATASETS.TEST)}: evaluate them one by one."
        )
    load_detections(value, instance_truth(dataset_name), Findings())


def add_given_boxes(
    cfg: CfgNode, dataset_name: str, records: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Add the boxes of ``TEST.GIVEN_BOXES`` to the records of a test set.

    Returns:
        New records with ``given``: Instances in pixels of the image with ``pred_boxes`` (clipped to
        the image), ``pred_classes`` and ``scores`` (1 for true boxes); of true boxes, all objects
        but crowds in the order of their file, and their ids under ``GIVEN_IDS``.
    """
    value, truth = cfg.TEST.GIVEN_BOXES, instance_truth(dataset_name)
    if value == GROUND_TRUTH:
        entries = [
            {**a, "score": 1.0} for a in truth.dataset["annotations"] if not a.get("iscrowd", 0)
        ]
    else:
        found = Findings()
        entries = load_detections(value, truth, found)
        found.log(_LOGGER, f"Given boxes {value!r}")
    of_image = defaultdict(list)
    for entry in entries:
        of_image[entry["image_id"]].append(entry)
    metadata = MetadataCatalog.get(dataset_name)
    class_ids = contiguous_class_ids(metadata, truth)
    with_boxes = []
    for record in records:
        own, size_hw = of_image[record["image_id"]], truth.sizes_hw[record["image_id"]]
        added: dict[str, Any] = {"given": _instances(own, size_hw, class_ids)}
        if value == GROUND_TRUTH:
            added[GIVEN_IDS] = [entry["id"] for entry in own]
        with_boxes.append({**record, **added})
    return with_boxes


def instance_truth(dataset_name: str) -> CocoTruth:
    """Return the ground truth of a data set of instances, which stays in memory."""
    metadata = MetadataCatalog.get(dataset_name)
    if metadata.get("evaluator_type", None) == _CITYSCAPES:
        return cityscapes_truth(dataset_name)
    return CocoTruth.load_any(os.fspath(metadata.json_file), keep=True)


def load_detections(path: str, truth: CocoTruth, found: Findings) -> list[dict[str, Any]]:
    """Read the detections that have an area inside their image; ``found`` counts the others."""
    results = load_results(path, truth, ["bbox"], found)
    kept = []
    for index, result in enumerate(results):
        x, y, width, height = result["bbox"]
        rows, columns = truth.sizes_hw[result["image_id"]]
        box = np.array([x, y, x + width, y + height], np.float32).clip(0, [columns, rows] * 2)
        if (box[2:] > box[:2]).all():
            kept.append(result)
        else:
            found.add(_OUTSIDE, place_of(index, result))
    if not kept:
        where = f" with an area inside its image (of {len(results)})" if results else ""
        raise ValueError(f"There is no detection in {path!r}{where}.")
    return kept


def _instances(
    entries: list[dict[str, Any]], size_hw: tuple[int, int], class_ids: Mapping[Any, int]
) -> Instances:
    boxes = torch.tensor([e["bbox"] for e in entries], dtype=torch.float64).reshape(-1, 4)
    given = Instances(size_hw)
    given.pred_boxes = Boxes(BoxMode.convert(boxes, BoxMode.XYWH_ABS, BoxMode.XYXY_ABS))
    given.pred_boxes.clip(size_hw)
    given.pred_classes = torch.tensor([class_ids[e["category_id"]] for e in entries]).long()
    given.scores = torch.tensor([float(e["score"]) for e in entries])
    return given
