"""The mapper: one record of a data set becomes what the model reads."""

import copy
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import Instances, PolygonMasks

from pointrend_ext.data.coco import causes
from pointrend_ext.data.coco.annotation import crowd_flag
from pointrend_ext.data.coco.records import check_record_annotation
from pointrend_ext.data.drops import DropCounter
from pointrend_ext.data.findings import Cause, Kind
from pointrend_ext.data.image_files import ImageEntry, check_size
from pointrend_ext.data.label_encoding import check_label_size, check_label_values
from pointrend_ext.data.label_maps import read_label_map
from pointrend_ext.data.mask_truth import (
    check_points,
    drop_unread,
    mask_format,
    stack_points,
    take_points,
)
from pointrend_ext.data.panoptic import SegmentLabels, draw_segments
from pointrend_ext.data.pixels import ImageRules, check_image_format
from pointrend_ext.data.polygon_drawing import draw_polygons
from pointrend_ext.data.reading import read_header, read_image
from pointrend_ext.data.scale_jitter import build_flips, build_scale_jitter
from pointrend_ext.data.semantic_augmentation import build_semantic_augmentation, check_crop
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.structures import CroppedMasks, crop_mask

logger = logging.getLogger(__name__)

_SEMANTIC_ONLY = ("SemanticSegmentor", "PointRendSemanticSegmentor")
PANOPTIC_ARCHITECTURES = ("PanopticFPN", "PointRendPanopticFPN")
SEMANTIC_ARCHITECTURES = (*_SEMANTIC_ONLY, *PANOPTIC_ARCHITECTURES)
_ANNOTATION_ERRORS = (ValueError, TypeError, KeyError, IndexError, AssertionError)


class PointRendDatasetMapper(DatasetMapper):
    """Detectron2's mapper, with the right mask format and files that are named when they are bad.

    Differences from ``DatasetMapper``: a PointRend mask head gets bit masks whatever
    ``INPUT.MASK_FORMAT`` says, and bit masks are ``CroppedMasks``; semantic models get the
    augmentation of the original; label maps keep their ids and are checked; annotations that cannot
    be used are counted in ``drops``; an image without instances has an empty ``gt_masks`` instead
    of none.

    Args:
        is_train: whether labels are produced.
        use_annotations: whether instance annotations are read.
        sem_seg_num_classes: classes that a label map may hold; None means that it is not checked.
        sem_seg_ignore_value: the other value that it may hold.
        image_rules: how image files are read.
        use_points: whether points of objects are read, see ``stack_points``.
        sample_points: points of an object that are drawn each time; 0 for all of them.
        kwargs: as for ``DatasetMapper``.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        use_annotations: bool = True,
        sem_seg_num_classes: int | None = None,
        sem_seg_ignore_value: int = 255,
        image_rules: ImageRules = ImageRules(),  # noqa: B008  (frozen)
        use_points: bool = False,
        sample_points: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(is_train, **kwargs)
        self.use_annotations = use_annotations
        self.sem_seg_num_classes = sem_seg_num_classes
        self.sem_seg_ignore_value = sem_seg_ignore_value
        self.image_rules = image_rules
        self.use_points, self.sample_points = use_points, sample_points
        self.drops = DropCounter()
        self._draws_masks = self.use_instance_mask and self.instance_mask_format == "bitmask"

    @classmethod
    @reads_own_keys
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Read the constructor's arguments from the config; ValueError for a wrong crop."""
        if is_train:
            check_crop(cfg)
        check_image_format(cfg.INPUT.FORMAT)
        arguments = super().from_config(cfg, is_train)
        arguments["image_rules"] = ImageRules.from_cfg(cfg)
        check_points(cfg)
        architecture = cfg.MODEL.META_ARCHITECTURE
        if architecture in SEMANTIC_ARCHITECTURES:
            arguments["sem_seg_num_classes"] = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
            arguments["sem_seg_ignore_value"] = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
        if architecture in _SEMANTIC_ONLY:
            arguments["augmentations"] = build_semantic_augmentation(cfg, is_train=is_train)
            arguments.update(use_annotations=False, recompute_boxes=False)
            return arguments
        arguments["instance_mask_format"] = mask_format(cfg, is_train=is_train)
        if is_train and cfg.INPUT.LSJ.ENABLED:
            arguments["augmentations"] = [*build_scale_jitter(cfg), *build_flips(cfg)]
            arguments["recompute_boxes"] = cfg.MODEL.MASK_ON
        if cfg.INPUT.POINT_SUP:
            arguments.update(use_instance_mask=False, recompute_boxes=False, use_points=True)
            arguments["sample_points"] = cfg.INPUT.SAMPLE_POINTS
        return arguments

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Read and transform one image and its labels.

        Args:
            dataset_dict: one record in Detectron2's standard format; not changed.

        Returns:
            The record without its raw annotations, with ``image`` (C, H, W), in training
            ``instances``, and ``sem_seg`` (H, W) int64 where a label map is named.

        Raises:
            FileNotFoundError: the image or the label map does not exist.
            ValueError: a file or an annotation is corrupt; the message names the file.
        """
        dataset_dict = copy.deepcopy(dataset_dict)
        image = self._read_image(dataset_dict)

        aug_input = T.AugInput(image, sem_seg=self._read_sem_seg(dataset_dict))
        transforms = self.augmentations(aug_input)
        image = aug_input.image
        dataset_dict["image"] = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
        if aug_input.sem_seg is not None:
            dataset_dict["sem_seg"] = torch.as_tensor(aug_input.sem_seg.astype(np.int64))

        if self.proposal_topk is not None:
            utils.transform_proposals(
                dataset_dict, image.shape[:2], transforms, proposal_topk=self.proposal_topk
            )
        if not (self.is_train and self.use_annotations):
            dataset_dict.pop("annotations", None)
        elif "annotations" in dataset_dict:
            self._transform_annotations(dataset_dict, transforms, image.shape[:2])
        return dataset_dict

    def _read_image(self, dataset_dict: dict[str, Any]) -> np.ndarray:
        """Read the image (H, W, C), and check its size or write that to the record."""
        file_name = dataset_dict["file_name"]
        image = read_image(file_name, self.image_format, rules=self.image_rules)
        height, width = image.shape[:2]
        dataset_dict.setdefault("height", height)
        dataset_dict.setdefault("width", width)
        stated = dataset_dict["height"], dataset_dict["width"]
        if stated != (height, width):
            header = replace(read_header(file_name), size_hw=(height, width))
            check_size(ImageEntry(file_name, stated), header)
        return image

    def _read_sem_seg(self, dataset_dict: dict[str, Any]) -> np.ndarray | None:
        """Read and check the label map; (H, W) in the image's stored size, or None."""
        file_name = dataset_dict.pop("sem_seg_file_name", None)
        encoding = dataset_dict.pop("label_encoding", None)
        if file_name is None:
            return None
        if isinstance(encoding, SegmentLabels):
            places = encoding.places(file_name)
            labels = encoding.label_map(places)
            if self.is_train and self.use_annotations:
                draw_segments(dataset_dict.get("annotations", ()), encoding, places)
        else:
            labels = read_label_map(file_name, encoding)
        size_hw = dataset_dict["height"], dataset_dict["width"]
        check_label_size(file_name, labels.shape, dataset_dict["file_name"], size_hw)
        if self.sem_seg_num_classes is not None:
            num_labels = max(self.sem_seg_num_classes, 2)  # one class: 0 is the background
            what = f"Label map {file_name!r}"
            check_label_values(labels, num_labels, self.sem_seg_ignore_value, what)
        # Detectron2 resizes uint8 with Pillow and floats with torch, and no other integers.
        return labels if labels.dtype == np.uint8 else labels.astype(np.float32)

    def _transform_annotations(
        self, dataset_dict: dict[str, Any], transforms: T.TransformList, image_shape: tuple
    ) -> None:
        """Turn ``annotations`` into ``instances`` in the frame of the transformed image."""
        file_name = dataset_dict["file_name"]
        size_hw = (dataset_dict["height"], dataset_dict["width"])
        prepared = []
        for index, annotation in enumerate(dataset_dict.pop("annotations")):
            try:
                cleaned = self._checked(annotation, size_hw, file_name)
                if cleaned is not None:
                    prepared.append(self._transform(cleaned, transforms, image_shape))
            except _ANNOTATION_ERRORS as error:
                raise ValueError(
                    f"Annotation {index} (category_id {annotation.get('category_id')}) of the "
                    f"image {file_name!r} cannot be used: {type(error).__name__}: {error}. Correct "
                    "the annotation file."
                ) from error
        points = [a.pop("points") for a in prepared] if self.use_points else []
        crops = [a.pop("segmentation") for a in prepared] if self._draws_masks else []
        instances = utils.annotations_to_instances(
            prepared, image_shape, mask_format=self.instance_mask_format
        )
        if self.use_points:
            instances.gt_point_coords, instances.gt_point_labels = stack_points(points)
        if self._draws_masks:
            instances.gt_masks = CroppedMasks.from_crops(crops, image_shape)
        elif self.use_instance_mask and not instances.has("gt_masks"):
            instances.gt_masks = PolygonMasks([])
        dataset_dict["instances"] = self._filter_empty(instances, file_name)

    def _checked(
        self, annotation: dict[str, Any], size_hw: tuple[int, int], file_name: str
    ) -> dict[str, Any] | None:
        """Return the annotation ready for the transforms, or None when it is no training target.

        Boxes and polygons become floating point: Detectron2 scales integer coordinates in place and
        would cut them to integers.
        """
        if crowd_flag(annotation.get("iscrowd"), _not_counted):
            self.drops.add(causes.CROWD, file_name)
            return None
        without_mask: list[Cause] = []

        def found(cause: Cause) -> None:
            if cause is causes.NO_MASK:
                without_mask.append(cause)
            elif cause.kind is not Kind.NOTED:
                self.drops.add(cause, file_name, f"bbox {annotation.get('bbox')}")

        drop_unread(annotation, masks=self.use_instance_mask, points=self.use_points)
        cleaned = check_record_annotation(annotation, size_hw, found)
        if cleaned is None:
            return None
        if without_mask and self.use_instance_mask:
            self.drops.add(causes.NO_MASK, file_name)
            return None
        cleaned["bbox"] = [float(x) for x in cleaned["bbox"]]
        mask = cleaned.get("segmentation")
        if isinstance(mask, list):
            cleaned["segmentation"] = [np.asarray(p, dtype=np.float64) for p in mask]
        elif mask is None:
            cleaned.pop("segmentation", None)
        return cleaned

    def _transform(
        self, annotation: dict[str, Any], transforms: T.TransformList, image_shape: tuple
    ) -> dict[str, Any]:
        if not self.use_keypoint:
            annotation.pop("keypoints", None)
        if self.use_points:
            annotation["points"] = take_points(
                annotation, self.sample_points, transforms, image_shape
            )
        polygons = None
        if self._draws_masks and isinstance(annotation["segmentation"], list):
            # Drawing them clips them to the crop: no need of fvcore's clipping with shapely.
            polygons = annotation.pop("segmentation")
        transformed = utils.transform_instance_annotations(
            annotation, transforms, image_shape, keypoint_hflip_indices=self.keypoint_hflip_indices
        )
        if polygons is not None:
            points = [transforms.apply_coords(p.reshape(-1, 2)).reshape(-1) for p in polygons]
            transformed["segmentation"] = draw_polygons(points, image_shape)
        elif self._draws_masks:
            transformed["segmentation"] = crop_mask(transformed["segmentation"].astype(bool))
        return transformed

    def _filter_empty(self, instances: Instances, file_name: str) -> Instances:
        """Leave out and count instances without box or mask after the transforms."""
        visible = keep = instances.gt_boxes.nonempty(threshold=1e-5)
        if self.use_instance_mask:
            if self.recompute_boxes and len(instances):
                instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
                keep = instances.gt_boxes.nonempty(threshold=1e-5)
            keep = keep & instances.gt_masks.nonempty()
        for i in torch.nonzero(~keep).flatten().tolist():
            self.drops.add(causes.EMPTY_MASK if visible[i] else causes.OUT_OF_CROP, file_name)
        return instances[keep]


def _not_counted(cause: Cause) -> None:
    pass


def build_mapper(cfg: CfgNode, *, is_train: bool, **changes: Any) -> PointRendDatasetMapper:
    """Build the mapper of a config: with augmentation and labels, or one that only resizes.

    Args:
        cfg: the configuration.
        is_train: which of the two.
        changes: arguments of the mapper that take the place of those of the config.
    """
    return PointRendDatasetMapper(cfg, is_train, **changes)
