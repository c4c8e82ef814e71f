"""Data loaders: Detectron2's samplers and test loader, behind our checks and our mapper."""

import itertools
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch.utils.data as torchdata
from detectron2.config import CfgNode
from detectron2.data import (
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.data.build import (
    _train_loader_from_config,
    filter_images_with_few_keypoints,
    filter_images_with_only_crowd_annotations,
    load_proposals_into_dataset,
    print_instances_class_histogram,
)
from detectron2.data.detection_utils import build_augmentation
from detectron2.utils import comm

from pointrend_ext._command import escaped
from pointrend_ext.data.checks import ROI_ARCHITECTURES, check_num_classes, class_names_of
from pointrend_ext.data.coco import causes, release_coco_files
from pointrend_ext.data.coco_dataset import load_registered
from pointrend_ext.data.copy_paste import check_copy_paste
from pointrend_ext.data.findings import Cause, Findings
from pointrend_ext.data.mapper import SEMANTIC_ARCHITECTURES, PointRendDatasetMapper, build_mapper
from pointrend_ext.data.mask_truth import POINTREND_MASK_HEADS
from pointrend_ext.data.ordered_loader import OrderedLoader
from pointrend_ext.data.shared_records import SharedRecords, load_once
from pointrend_ext.data.workers import WorkerMapper

logger = logging.getLogger(__name__)


def build_train_loader(cfg: CfgNode, mapper: PointRendDatasetMapper | None = None) -> Any:
    """Build the endless training loader of ``DATASETS.TRAIN``; all processes call it together.

    Sampler, aspect ratio grouping, workers and batch size follow the config as in Detectron2. (Its
    two weighted samplers load the data sets a second time by themselves.)

    Returns:
        An iterable of lists of model inputs, one list per iteration, whose ``mapper`` counts what
        it drops: an ``OrderedLoader`` with the seed ``SEED``, or a random one where that is
        negative. A torch data set, or records without the sizes that grouping needs, get
        Detectron2's loader, which cannot start in the middle.

    Raises:
        ValueError: a data set, its classes or its annotations are wrong, or
            ``SOLVER.IMS_PER_BATCH`` is no multiple of the number of processes.
        FileNotFoundError: a file or folder of a data set does not exist.
    """
    if not cfg.DATASETS.TRAIN:
        raise ValueError("DATASETS.TRAIN is empty. Name at least one data set to train on.")
    dataset, findings = load_once(cfg.DATASETS.TRAIN, partial(_load_training, cfg))
    mapper = build_mapper(cfg, is_train=True) if mapper is None else mapper
    if isinstance(mapper, PointRendDatasetMapper):
        mapper.drops.at_start = findings
    grouped = cfg.DATALOADER.ASPECT_RATIO_GROUPING
    is_ordered = isinstance(dataset, SharedRecords) and not (grouped and dataset.sizes is None)
    check_copy_paste(cfg, mapper, is_ordered=is_ordered)
    if not is_ordered:
        logger.info("A training on these data cannot be resumed exactly: their order is not known.")
        sending = WorkerMapper(mapper, comm.get_local_size())
        loader = build_detection_train_loader(cfg, mapper=sending, dataset=dataset)
        loader.mapper = mapper
        return loader
    return OrderedLoader(
        dataset,
        mapper,
        lambda records: _train_loader_from_config(cfg, mapper, dataset=records)["sampler"],
        batch_size=_batch_size_per_process(cfg),
        seed=cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed(),
        group_by_shape=grouped,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        copy_paste=cfg.INPUT.COPY_PASTE,
    )


def _load_training(cfg: CfgNode) -> tuple[Any, dict[str, Findings]]:
    dataset, findings = _load_all(cfg, cfg.DATASETS.TRAIN, is_train=True)
    return _shared(dataset), findings


def _shared(records: Any) -> Any:
    return SharedRecords(records) if isinstance(records, list) else records


def _batch_size_per_process(cfg: CfgNode) -> int:
    total, processes = cfg.SOLVER.IMS_PER_BATCH, comm.get_world_size()
    if total < processes or total % processes:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {total}, but {processes} processes (one per GPU) share a "
            f"batch: it must be a multiple of {processes}."
        )
    return total // processes


def build_test_loader(
    cfg: CfgNode,
    dataset_name: str,
    prepare: Callable[[Any], Any] | None = None,
    *,
    together: bool = False,
) -> torchdata.DataLoader:
    """Build the loader that goes once through one data set, in lists of one image without labels.

    Args:
        cfg: the configuration.
        dataset_name: a registered data set.
        prepare: changes the records, which are the model's inputs but for image and annotations.
        together: whether all processes call this, so that one of each machine loads the records.

    Raises:
        ValueError: the data set or its classes are wrong.
        FileNotFoundError: a file or folder of the data set does not exist.
    """

    def load() -> Any:
        records = load_dataset_dicts(cfg, [dataset_name], is_train=False)
        return _shared(prepare(records) if prepare else records)

    return build_detection_test_loader(
        dataset=load_once([dataset_name], load) if together else load(),
        mapper=WorkerMapper(build_mapper(cfg, is_train=False), comm.get_local_size()),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def build_validation_loader(cfg: CfgNode, dataset_name: str) -> torchdata.DataLoader:
    """Build the loader that goes once through one data set with its labels, for their losses.

    Images are resized as in an evaluation; those without annotations are left out as in training.
    All processes call it together.

    Raises:
        ValueError: the data set, its classes or its labels are wrong, or it has none.
        FileNotFoundError: a file or folder of the data set does not exist.
    """

    def load() -> Any:
        return _shared(load_dataset_dicts(cfg, [dataset_name], is_train=True))

    mapper = build_mapper(cfg, is_train=True, augmentations=build_augmentation(cfg, is_train=False))
    return build_detection_test_loader(
        dataset=load_once([dataset_name], load),
        mapper=WorkerMapper(mapper, comm.get_local_size()),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def load_dataset_dicts(cfg: CfgNode, names: Sequence[str], *, is_train: bool) -> Any:
    """Load the records of registered data sets, or torch data sets where functions return them.

    In training, images without usable annotations are filtered as
    ``DATALOADER.FILTER_EMPTY_ANNOTATIONS`` says, and labels are checked.

    Raises:
        ValueError: a data set cannot be loaded, is empty or does not fit the model.
        FileNotFoundError: a file or folder of a data set does not exist.
    """
    return _load_all(cfg, names, is_train=is_train)[0]


def _load_all(
    cfg: CfgNode, names: Sequence[str], *, is_train: bool
) -> tuple[Any, dict[str, Findings]]:
    """Load data sets, and return with their records what was found in each."""
    loaded = {name: _load(cfg, name, is_train) for name in dict.fromkeys(names)}
    if is_train:  # those of test sets stay for the evaluations on the way
        tested = (MetadataCatalog.get(name).get("json_file", "") for name in cfg.DATASETS.TEST)
        release_coco_files(but=[cfg.TEST.AP_STAR_FILE, *map(os.fspath, tested)])
    parts = [loaded[name][0] for name in names]
    findings = {name: found for name, (_, found) in loaded.items()}
    check_num_classes(cfg, names)
    for name, part in zip(names, parts, strict=True):
        problem = None if isinstance(part, torchdata.Dataset) else _problem(cfg, part, is_train)
        if problem is not None:
            raise ValueError(f"The data set {name!r} {problem}.")
    if any(isinstance(part, torchdata.Dataset) for part in parts):
        return (parts[0] if len(parts) == 1 else torchdata.ConcatDataset(parts)), findings
    return list(itertools.chain.from_iterable(parts)), findings


def _load(cfg: CfgNode, name: str, is_train: bool) -> tuple[Any, Findings]:
    """Load one data set: Detectron2's ``get_detection_dataset_dicts``, on ``load_registered``."""
    records, findings = load_registered(name)
    if isinstance(records, torchdata.Dataset):
        return records, findings
    if cfg.MODEL.LOAD_PROPOSALS:
        split = "TRAIN" if is_train and name in cfg.DATASETS.TRAIN else "TEST"
        files = zip(cfg.DATASETS[split], cfg.DATASETS[f"PROPOSAL_FILES_{split}"], strict=True)
        records = load_proposals_into_dataset(records, dict(files)[name])
    has_instances = bool(records) and "annotations" in records[0]
    if is_train and has_instances:
        records, findings = _keep_targets(cfg, name, records, findings)
    if is_train and has_instances and cfg.MODEL.KEYPOINT_ON:
        number = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE
        records = filter_images_with_few_keypoints(records, number)
    if is_train and has_instances and cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        records = filter_images_with_only_crowd_annotations(records)
    classes = class_names_of(name, "thing_classes")
    if has_instances and records and classes is not None:
        print_instances_class_histogram(records, [*map(escaped, classes)])
    return records, findings


def _keep_targets(
    cfg: CfgNode, name: str, records: list[dict[str, Any]], findings: Findings
) -> tuple[list[dict[str, Any]], Findings]:
    """Leave out what the model cannot be trained on, log what was found, and ask what remains.

    Raises:
        ValueError: there are annotations, but none of them is an object to train on.
    """
    findings = findings.without(causes.OF_SCORES)
    if cfg.MODEL.META_ARCHITECTURE not in ROI_ARCHITECTURES:
        return records, findings
    on_masks = cfg.MODEL.MASK_ON and not cfg.INPUT.POINT_SUP
    if on_masks:
        records = [_with_masks(record) for record in records]
    findings = findings.without(unread_causes(cfg))
    findings.unsaid().log(logger, f"Data set {name!r}")
    objects = (a for r in records for a in r.get("annotations", ()) if not a.get("iscrowd", 0))
    if findings.num_checked and next(objects, None) is None:
        for_masks = ", which are masks with MODEL.MASK_ON True" if on_masks else ""
        raise ValueError(
            f"The data set {name!r} has {findings.num_checked} annotations and no object to train "
            f"on{for_masks}: " + "\n  ".join(findings.lines())
        )
    return records, findings


def unread_causes(cfg: CfgNode) -> frozenset[Cause]:
    """Return the causes of no interest to a training: of masks or points that it never reads."""
    if cfg.INPUT.POINT_SUP:
        return causes.OF_MASKS
    return causes.OF_POINTS if cfg.MODEL.MASK_ON else causes.OF_POINTS | causes.OF_MASKS


def _with_masks(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without the objects that have no mask."""
    own = record.get("annotations", [])
    kept = [a for a in own if a.get("segmentation") or a.get("iscrowd", 0)]
    return record if len(kept) == len(own) else {**record, "annotations": kept}


def _problem(cfg: CfgNode, records: list[dict[str, Any]], is_train: bool) -> str | None:
    """Return what makes a data set, or in training its labels, unfit for the model."""
    if not records:
        return (
            "has no image, or none with an annotation that can be trained on (crowd regions do "
            "not count): check its annotation file"
        )
    if not is_train:
        return None
    architecture = cfg.MODEL.META_ARCHITECTURE
    for architectures, key, what in (
        (SEMANTIC_ARCHITECTURES, "sem_seg_file_name", "label maps"),
        (ROI_ARCHITECTURES, "annotations", "instance annotations"),
    ):
        without = next((record for record in records if key not in record), None)
        if architecture in architectures and without is not None:
            return (
                f"has records without {key!r}, such as that of {without['file_name']!r}, but "
                f"{architecture} needs {what}: use a data set with {what}"
            )
    if architecture not in ROI_ARCHITECTURES:
        return None
    targets = [a for r in records for a in r["annotations"] if not a.get("iscrowd", 0)]
    if cfg.INPUT.POINT_SUP and targets and not any(a.get("point_labels") for a in targets):
        return (
            "has no points ('point_coords' and 'point_labels' of its annotations), which "
            "INPUT.POINT_SUP True asks for: draw some by `pointrend data points`, or set it False"
        )
    segmentations = [a["segmentation"] for a in targets if a.get("segmentation")]
    runs = sum(isinstance(segmentation, dict) for segmentation in segmentations)
    as_bitmask = cfg.MODEL.ROI_MASK_HEAD.NAME in POINTREND_MASK_HEADS
    if runs and cfg.MODEL.MASK_ON and cfg.INPUT.MASK_FORMAT == "polygon" and not as_bitmask:
        return (
            f"has {runs} of {len(segmentations)} masks as run lengths (RLE), but INPUT.MASK_FORMAT "
            "is 'polygon', which cannot hold them: set INPUT.MASK_FORMAT bitmask"
        )
    ids = [annotation["category_id"] for annotation in targets]
    number = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    if ids and not 0 <= min(ids) <= max(ids) < number:
        return (
            f"has annotations with category_id {min(ids)} to {max(ids)}, but "
            f"MODEL.ROI_HEADS.NUM_CLASSES is {number}, so that contiguous ids run from 0 to "
            f"{number - 1}: correct the key or the registered function"
        )
    return None
