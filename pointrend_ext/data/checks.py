"""Checks of the data sets that a config names, before anything expensive is built."""

import difflib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.data.coco_dataset import (
    audit_dataset,
    class_list,
    has_classes_in_file,
    has_label_folder,
    is_separated,
    listed_images,
)
from pointrend_ext.data.image_files import check_image_files
from pointrend_ext.data.mapper import PANOPTIC_ARCHITECTURES, SEMANTIC_ARCHITECTURES
from pointrend_ext.data.pixels import ImageRules

logger = logging.getLogger(__name__)

ROI_ARCHITECTURES = ("GeneralizedRCNN", *PANOPTIC_ARCHITECTURES)
_WHAT = {
    "json_file": "annotation file",
    "panoptic_json": "panoptic annotation file",
    "image_root": "image folder",
    "image_dir": "image folder",
    "sem_seg_root": "label map folder",
    "gt_dir": "annotation folder",
    "panoptic_root": "panoptic label folder",
    "dirname": "folder",
}


def check_datasets(cfg: CfgNode, names: Sequence[str]) -> None:
    """Check that data sets are registered and that their files are there and readable.

    Loaders do not repeat this: call it where a configuration comes in. Annotation files are kept
    for evaluators and loaders until training sets are loaded, not parsed once more.

    Raises:
        ValueError: a name is not registered, or an annotation file is not valid COCO JSON or has
            other classes than it is registered with.
        FileNotFoundError: a file or folder of a data set does not exist.
    """
    for name in dict.fromkeys(names):
        _check_registered(name)
        for key in _needed_paths(name, evaluated=name in cfg.DATASETS.TEST):
            _check_path(name, key)
        audit_dataset(name, keep=True)


def check_images(cfg: CfgNode, names: Iterable[str]) -> None:
    """Check that the image files of data sets are there, open, and have the size that is stated.

    For the start of a command: loaders do not do it, so that a library user does not wait for it.

    Raises:
        FileNotFoundError, ValueError: see ``check_image_files``.
    """
    for name in dict.fromkeys(names):
        check_image_files(listed_images(name), name, ImageRules.from_cfg(cfg))


def check_num_classes(cfg: CfgNode, names: Sequence[str]) -> None:
    """Check the classes and the ignore value of the model against the data sets.

    ``MODEL.META_ARCHITECTURE`` decides which of ``MODEL.ROI_HEADS.NUM_CLASSES`` (things) and
    ``MODEL.SEM_SEG_HEAD`` (stuff: ``NUM_CLASSES``, ``IGNORE_VALUE``) count.

    Raises:
        ValueError: a number disagrees, or the data sets have different class lists.
    """
    for node, architectures, kind in (
        ("ROI_HEADS", ROI_ARCHITECTURES, "thing_classes"),
        ("SEM_SEG_HEAD", SEMANTIC_ARCHITECTURES, "stuff_classes"),
    ):
        if cfg.MODEL.META_ARCHITECTURE not in architectures:
            continue
        key, number = f"MODEL.{node}.NUM_CLASSES", cfg.MODEL[node].NUM_CLASSES
        first: tuple[str, list[str]] | None = None
        for name in names:
            classes = class_names_of(name, kind)
            if classes is None:
                logger.info("Data set %r states no %s: %s is not checked.", name, kind, key)
                continue
            first = first or (name, classes)
            if classes != first[1]:
                raise ValueError(
                    f"The data sets {first[0]!r} and {name!r} are used in one config, but have "
                    f"different {kind}: {class_list(first[1])} against {class_list(classes)}. Use "
                    "data sets with the same classes in the same order."
                )
            if len(classes) != number:
                raise ValueError(
                    f"{key} is {number}, but the data set {name!r} has {class_list(classes)}. Set "
                    f"{key} {len(classes)} or use another data set."
                )
    key, number = "MODEL.SEM_SEG_HEAD.IGNORE_VALUE", cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    if cfg.MODEL.META_ARCHITECTURE in SEMANTIC_ARCHITECTURES:
        for name in names:
            ignored = MetadataCatalog.get(name).get("ignore_label", number)
            if ignored != number:
                raise ValueError(
                    f"{key} is {number}, but pixels that do not count have the value {ignored} in "
                    f"the data set {name!r}. Set {key} {ignored}; data sets that are used together "
                    "need the same value."
                )


def class_names_of(name: str, kind: str) -> list[str] | None:
    """Return the ``thing_classes`` or ``stuff_classes`` of a registered data set by contiguous id.

    They are those of the metadata, or else of the annotation file; None where there are none, or
    none are known before loading.
    """
    stated = MetadataCatalog.get(name).get(kind, None)
    if stated is None and kind == "thing_classes" and has_classes_in_file(name):
        audit = audit_dataset(name)
        stated = None if audit is None else audit.class_names
    return None if stated is None else list(stated)


def _check_registered(name: str) -> None:
    if name in DatasetCatalog.list():
        return
    near = difflib.get_close_matches(name, DatasetCatalog.list(), n=3, cutoff=0.5)
    guess = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    raise ValueError(
        f"The data set {name!r} of the config is not registered.{guess} Your own is registered by "
        "a description in DATASETS.DESCRIPTIONS (docs/datasets.md), or in Python, before training "
        "starts, by pointrend_ext.data.register_semantic_folder or by "
        "detectron2.data.datasets.register_coco_instances(name, {}, json_file, image_root)."
    )


def _needed_paths(name: str, evaluated: bool) -> Iterator[str]:
    """Yield the metadata keys whose paths are read when loading, or also when evaluating."""
    metadata = MetadataCatalog.get(name)
    only_evaluated = ["json_file"] if metadata.get("panoptic_json", None) else []
    unneeded = ""
    if is_separated(name):
        only_evaluated = ["panoptic_json", "panoptic_root"]
    if is_separated(name) and not has_label_folder(name):  # then the pictures are read instead
        only_evaluated, unneeded = [], "sem_seg_root"
    for key in _WHAT:
        is_needed = key != unneeded and (evaluated or key not in only_evaluated)
        if metadata.get(key, None) and is_needed:
            yield key


def _check_path(name: str, key: str) -> None:
    path = os.fspath(getattr(MetadataCatalog.get(name), key))
    is_file = key.endswith(("json", "file"))
    if "://" in path or (os.path.isfile(path) if is_file else os.path.isdir(path)):
        return
    value = os.environ.get("DETECTRON2_DATASETS")
    now = repr(value) if value is not None else "not set, which means './datasets'"
    raise FileNotFoundError(
        f"Data set {name!r}: the {_WHAT[key]} {os.path.abspath(path)!r} does not exist. Data sets "
        "are looked for below the folder that the environment variable DETECTRON2_DATASETS names "
        f"when Python starts (now {now}). Set it to the folder that contains 'coco', 'cityscapes' "
        "and so on, or correct the path of the registration or of the description."
    )
