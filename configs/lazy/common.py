"""What the configurations of this folder have in common."""

from typing import Any

from detectron2.config import LazyCall as L
from detectron2.data import transforms as T

from pointrend_ext.data import PointRendDatasetMapper
from pointrend_ext.data.scale_jitter import ResizeScale
from pointrend_ext.modeling.lazy import get_config, ignore_padding, refine_masks

IMAGE_SIZE = 1024


def jittered_coco(image_format: str) -> Any:
    """COCO by large-scale jitter, 64 images per iteration; evaluated at up to IMAGE_SIZE pixels."""
    dataloader = get_config("common/data/coco.py").dataloader
    dataloader.train.total_batch_size = 64
    mapper = dataloader.train.mapper
    mapper._target_ = PointRendDatasetMapper
    mapper.image_format = image_format
    mapper.instance_mask_format = "bitmask"
    mapper.recompute_boxes = True
    mapper.augmentations = [
        L(ResizeScale)(
            min_scale=0.1, max_scale=2.0, target_height=IMAGE_SIZE, target_width=IMAGE_SIZE
        ),
        L(T.RandomCrop)(crop_type="absolute", crop_size=(IMAGE_SIZE, IMAGE_SIZE)),
        L(T.RandomFlip)(horizontal=True),
    ]
    if image_format == "RGB":  # transformers, which see squares of this size
        dataloader.test.mapper.augmentations = [
            L(T.ResizeShortestEdge)(short_edge_length=IMAGE_SIZE, max_size=IMAGE_SIZE)
        ]
    return dataloader


def refined(model: Any) -> Any:
    """A model with PointRend, of whose losses padding is no part."""
    refine_masks(model)
    ignore_padding(model)
    return model
