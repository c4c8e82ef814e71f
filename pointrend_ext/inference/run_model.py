"""From inputs of a model, all of one size, to predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import GeneralizedRCNN, PanopticFPN, SemanticSegmentor

from pointrend_ext.inference.panoptic_segments import with_segments
from pointrend_ext.inference.postprocess import (
    panoptic_rules,
    with_given_instances,
    with_instances,
    with_labels,
)
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.modeling.given_boxes import GivenBoxesModel
from pointrend_ext.modeling.sem_seg import PointRendSemanticSegmentor
from pointrend_ext.structures.classes import Classes


def run_model(
    model: GeneralizedRCNN | SemanticSegmentor,
    cfg: CfgNode,
    bases: Sequence[Prediction],
    inputs: list[dict[str, Any]],
    *,
    probabilities: bool,
) -> Iterator[Prediction]:
    """Predict images.

    Args:
        model: in evaluation mode.
        cfg: its configuration.
        bases: what predictions are added to.
        inputs: of each, ``image`` (3, h, w), all of one size; and ``given`` for all or for none,
            see ``GivenBoxesModel``.
        probabilities: whether label maps come with ``label_probabilities``.
    """
    if "given" in inputs[0]:
        yield from _for_given_boxes(model, cfg, bases, inputs)
        return
    with_stuff = partial(
        with_labels,
        num_classes=cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
        probabilities=probabilities,
    )
    if isinstance(model, SemanticSegmentor):
        if isinstance(model, PointRendSemanticSegmentor):
            # Labels cost less than logits, but cannot be resized.
            fits = all(x.size_hw == inputs[0]["image"].shape[1:] for x in bases)
            output = "labels" if fits and not probabilities else "logits"
            raw = model.predict(inputs, output)
        else:
            raw = model(inputs)
        yield from (with_stuff(base, x["sem_seg"]) for base, x in zip(bases, raw, strict=True))
        return
    raw = model.inference(inputs, do_postprocess=False)
    least = cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST
    if not isinstance(model, PanopticFPN):
        yield from (with_instances(base, x, least) for base, x in zip(bases, raw, strict=True))
        return
    for base, instances, logits in zip(bases, *raw, strict=True):
        rows, columns = instances.image_size
        labelled = with_stuff(base, logits[:, :rows, :columns])
        yield with_segments(with_instances(labelled, instances, least), panoptic_rules(model))


def _for_given_boxes(
    model: GeneralizedRCNN,
    cfg: CfgNode,
    bases: Sequence[Prediction],
    inputs: list[dict[str, Any]],
) -> Iterator[Prediction]:
    agnostic = cfg.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK
    regions = GivenBoxesModel(model, class_agnostic=agnostic).regions(inputs)
    for base, x, own in zip(bases, inputs, regions, strict=True):
        if agnostic and cfg.MODEL.ROI_HEADS.NUM_CLASSES > 1 and not x["given"].has("pred_classes"):
            # There is no telling which of the classes it is.
            base = replace(base, class_info=Classes(things=("object",)))
        yield with_given_instances(base, own)
