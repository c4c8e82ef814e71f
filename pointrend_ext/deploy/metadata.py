"""What an exported file says of itself: one JSON object, under the key ``pointrend_ext``."""

import hashlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import GeneralizedRCNN, SemanticSegmentor
from torch import nn

from pointrend_ext.deploy.exportable import ExportOptions
from pointrend_ext.deploy.graphs.image import divisibility
from pointrend_ext.deploy.runtime.model_file import FORMAT_VERSION
from pointrend_ext.engine.classes import Classes
from pointrend_ext.modeling.checks import check_values

_PACKAGES = ("torch", "onnx", "onnxruntime", "onnxscript")


def describe(
    model: GeneralizedRCNN | SemanticSegmentor, cfg: CfgNode, task: str, options: ExportOptions
) -> dict[str, Any]:
    """Describe a file, but for the figures of its check.

    Args:
        model: what is exported, or has the part that is.
        cfg: its configuration.
        task: "semantic", "instances", "panoptic" or "mask_head".
        options: what is asked for.

    Raises:
        ValueError: other numbers of names than of classes.
    """
    has_objects, has_stuff = task != "semantic", task in ("semantic", "panoptic")
    classes = options.classes or Classes()
    names = classes.things if has_objects else classes.stuff
    # A binary model has one class, but a label map of it has the background as well.
    things, labels = cfg.MODEL.ROI_HEADS.NUM_CLASSES, max(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, 2)
    for kind, number in (
        *((key, things) for key in ("things", "thing_ids") if has_objects),
        *((key, labels) for key in ("stuff", "stuff_colors") if has_stuff),
    ):
        found = len(getattr(classes, kind))
        wanted = f"{number}, the number of the model's classes, or none"
        check_values("export.classes", (kind, found, found in (0, number), wanted))
    return {
        "format": FORMAT_VERSION,
        "task": task,
        "output": options.output if has_stuff else "masks",
        "precision": options.precision,
        "versions": _versions(),
        "input": {
            "min_size": cfg.INPUT.MIN_SIZE_TEST,
            "max_size": cfg.INPUT.MAX_SIZE_TEST,
            "format": cfg.INPUT.FORMAT,
            "divisibility": divisibility(model.backbone),
            "batch_size": options.batch_size,
            "max_megapixels": cfg.INPUT.MAX_MEGAPIXELS,
            "white_value": cfg.INPUT.WHITE_VALUE,
        },
        "classes": list(names) or None,
        "class_ids": list(classes.thing_ids) or None if has_objects else None,
        "colors": [list(color) for color in classes.stuff_colors] if has_stuff else None,
        **({"stuff_classes": list(classes.stuff)} if task == "panoptic" else {}),
        "num_labels": labels if has_stuff else 0,
        "thresholds": _thresholds(cfg, task),
        "weights_sha256": weights_sha256(model),
    }


def _thresholds(cfg: CfgNode, task: str) -> dict[str, Any]:
    if task == "semantic":
        return {}
    combine = cfg.MODEL.PANOPTIC_FPN.COMBINE
    rules = {
        "overlap": combine.OVERLAP_THRESH,
        "stuff_area": combine.STUFF_AREA_LIMIT,
        "score": combine.INSTANCES_CONFIDENCE_THRESH,
    }
    return {
        "score": cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST,
        "nms": cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST,
        "detections": cfg.TEST.DETECTIONS_PER_IMAGE,
        "mask": 0.5,  # where Detectron2 makes pixels of probabilities
        **({"panoptic": rules} if task == "panoptic" else {}),
    }


def _versions() -> Mapping[str, str]:
    found = {"pointrend_ext": sys.modules["pointrend_ext"].__version__}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def weights_sha256(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers: names, types, shapes and bytes, in order.

    It is that of the weights wherever they are stored; a file of them has another.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.view(-1).numpy().tobytes())
    return digest.hexdigest()
