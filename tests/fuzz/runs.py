"""What the product does with a project, as one flat dictionary of results."""

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.engine import default_argument_parser

from pointrend_ext.data.loading import load_dataset_dicts
from pointrend_ext.engine import setup_cfg
from pointrend_ext.engine.trainer import Trainer
from pointrend_ext.engine.upgrade_config import leaves
from tests.fuzz.base import ROOT

Result = dict[str, Any]
_FINDING = re.compile(r"left out|changed:|noted:|clipped|read as|taken as|not scored")


def start(config_file: str) -> tuple[Trainer, Result]:
    """Do what ``tools/train_net.py`` does before its first iteration."""
    cfg = setup_cfg(default_argument_parser().parse_args(["--config-file", config_file]))
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    return trainer, {name: value for name, value in leaves(cfg) if name != "VERSION"}


def train(config_file: str) -> Result:
    """Start a training and read what each image gives; by name of its file."""
    trainer, _ = start(config_file)
    cfg, mapper = trainer.cfg, trainer.data_loader.mapper
    result: Result = {}
    for name in cfg.DATASETS.TRAIN:
        metadata = MetadataCatalog.get(name)
        for kind in ("thing_classes", "stuff_classes", "ignore_label", "stuff_colors"):
            if metadata.get(kind, None) is not None:
                result[f"{name} {kind}"] = metadata.get(kind)
    for record in load_dataset_dicts(cfg, cfg.DATASETS.TRAIN, is_train=True):
        file = os.path.basename(record["file_name"])
        item = mapper(record)
        result[f"{file} pixels"] = _digest(item["image"])
        if "sem_seg" in item:
            result[f"{file} labels"] = _digest(item["sem_seg"])
        if "instances" in item:
            result[f"{file} objects"] = sorted(_objects(item["instances"]))
    mapper.drops.log_total()
    return result


def _objects(instances: Any) -> list[tuple]:
    boxes = np.round(instances.gt_boxes.tensor.numpy(), 2).tolist()
    masks = [_digest(mask) for mask in instances.gt_masks.tensor]
    return list(zip(instances.gt_classes.tolist(), boxes, masks, strict=True))


def _digest(array: Any) -> str:
    array = np.asarray(array)
    return f"{array.shape} {hashlib.sha256(np.ascontiguousarray(array)).hexdigest()[:12]}"


def score(*words: str) -> Result:
    """Do what ``tools/evaluate.py`` does; its notices are logged."""
    tool = load_tool("evaluate")
    words = (*words, "--draws", "0", "--output", "scored")
    tool.run(tool.build_parser().parse_args(words))
    found = json.loads(Path("scored/evaluation.json").read_text(encoding="utf-8"))
    for notice in found.get("notices", ()):
        logging.getLogger("pointrend_ext").warning(notice)
    (model,) = found["models"]
    return {
        "classes": found["data_set"]["classes"],
        "images": found["data_set"]["num_images"],
        "predictions": model["num_predictions"],
        **{
            f"{task} {metric}": score["value"]
            if score["value"] is None
            else round(score["value"], 6)
            for task, metrics in model["scores"].items()
            for metric, score in metrics.items()
        },
        "reliability": model["reliability"],
    }


@contextlib.contextmanager
def collected_notices() -> Iterator[list[str]]:
    """Collect warnings of any logger, and findings of any level."""
    notices: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if record.levelno >= logging.WARNING or _FINDING.search(text):
                notices.append(text)

    collector = Collector()
    loggers = [logging.getLogger(name) for name in (None, "pointrend_ext", "detectron2")]
    for logger in loggers:
        logger.addHandler(collector)
        logger.setLevel(logging.DEBUG)
    try:
        yield notices
    finally:
        for logger in loggers:
            logger.removeHandler(collector)


def load_tool(name: str) -> Any:
    """Import a file of ``tools``."""
    spec = importlib.util.spec_from_file_location(f"{name}_tool", ROOT / "tools" / f"{name}.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool
