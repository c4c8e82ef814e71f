"""The label maps of registered data sets, checked at start: every pixel of every file."""

import logging
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import load_sem_seg
from detectron2.utils import comm

from pointrend_ext.data.coco_dataset import has_label_folder, is_separated, load_registered
from pointrend_ext.data.label_audit import audit_label_maps
from pointrend_ext.data.label_encoding import LabelEncoding, LabelReader
from pointrend_ext.data.label_report import LabelReport, judge_label_maps
from pointrend_ext.data.mapper import SEMANTIC_ARCHITECTURES
from pointrend_ext.processes import wait_for_all

logger = logging.getLogger(__name__)

_SHOWN_CLASSES = 40
_WITHOUT_LABELS = ("coco", "lvis", "cityscapes_instance")  # evaluator types


def check_label_maps(cfg: CfgNode, names: Sequence[str]) -> None:
    """Check all label maps of registered data sets, if the model reads them; log what they hold.

    The first process does it for all, which call this together. What it finds is kept until a file
    changes.

    Raises:
        ValueError: label maps cannot be read, or hold what is neither a class nor ignored, or
            nothing that counts.
        FileNotFoundError: one does not exist.
    """
    if cfg.MODEL.META_ARCHITECTURE not in SEMANTIC_ARCHITECTURES:
        return
    for name in dict.fromkeys(names) if comm.is_main_process() else ():
        report = report_label_maps(cfg, name)
        if report is None:
            continue
        logger.info(report.text(_SHOWN_CLASSES))
        for warning in report.warnings:
            logger.warning("Data set %r %s", name, warning)
        if report.errors:
            raise ValueError(f"The data set {name!r} {report.errors[0]}")
    wait_for_all()


def report_label_maps(cfg: CfgNode, name: str) -> LabelReport | None:
    """Read all label maps of a registered data set; None where it has none on this machine."""
    metadata, head = MetadataCatalog.get(name), cfg.MODEL.SEM_SEG_HEAD
    if metadata.get("evaluator_type", None) in _WITHOUT_LABELS:
        return None
    if is_separated(name) and has_label_folder(name):  # without parsing annotations of instances
        records = load_sem_seg(metadata.sem_seg_root, metadata.image_root)
    else:
        records, _ = load_registered(name)
    if not isinstance(records, list):
        return None  # a torch data set is read by its mapper
    stated = metadata.get("stuff_classes", None)
    names = list(stated or [f"class {label}" for label in range(head.NUM_CLASSES)])
    if len(names) == 1:
        names = ["background", *names]
    is_trained = name in cfg.DATASETS.TRAIN
    return report_named(name, names, head.IGNORE_VALUE, records, is_trained=is_trained)


def report_named(
    name: str,
    labels: Sequence[str],
    ignore_label: int,
    records: Sequence[dict[str, Any]],
    *,
    is_trained: bool = False,
) -> LabelReport | None:
    """Do what ``report_label_maps`` does for records that are loaded already.

    ``labels`` are the names of 0, 1, ...; ``ignore_label`` counts if the metadata do not state it.
    """
    records = [record for record in records if "sem_seg_file_name" in record]
    files = [record["sem_seg_file_name"] for record in records]
    if any("://" in str(file) for file in files):
        logger.info("Label maps of %r are not on this machine: they are not checked.", name)
        return None
    if not files:
        return None
    metadata = MetadataCatalog.get(name)
    plain = LabelEncoding.plain(len(labels), metadata.get("ignore_label", ignore_label))
    encoding = metadata.get("label_encoding", plain)
    images = [record["file_name"] for record in records]
    own = [r["label_encoding"] for r in records if isinstance(r.get("label_encoding"), LabelReader)]
    tally = audit_label_maps(name, files, images, own or encoding)
    tally.findings.log(logger, f"Data set {name!r}")
    return judge_label_maps(name, labels, encoding, tally, is_trained=is_trained)


def fit_ignore_value(cfg: CfgNode, names: Sequence[str]) -> list[str]:
    """Take ``MODEL.SEM_SEG_HEAD.IGNORE_VALUE`` as the number in files, if they are translated.

    Where the ignored number of the files is also the label of a class (0 with classes 1, 2, ...),
    its pixels get another label, which the model must ignore. ``cfg`` is changed in place; a line
    to log is returned for each change.
    """
    head, notes = cfg.MODEL.SEM_SEG_HEAD, []
    for name in names:
        encoding = MetadataCatalog.get(name).get("label_encoding", None)
        if encoding is None or encoding.ignore_value != head.IGNORE_VALUE:
            continue
        if encoding.ignore_label != head.IGNORE_VALUE:
            notes.append(
                f"The ignored value {head.IGNORE_VALUE} in the label maps of {name!r} is read as "
                f"{encoding.ignore_label}: so is MODEL.SEM_SEG_HEAD.IGNORE_VALUE."
            )
            head.IGNORE_VALUE = encoding.ignore_label
    return notes
