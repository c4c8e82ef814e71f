"""Annotations and pictures that the tests of the data room are made of."""

import numpy as np
from detectron2.structures import BoxMode
from PIL import Image

HEIGHT, WIDTH = 40, 60


def square(x0=10, y0=5, x1=30, y1=25):
    """A polygon whose corners lie between pixels, as a flat list."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def corners(x0, y0, x1, y1):
    """The same as a (4, 2) array."""
    return np.array(square(x0, y0, x1, y1), dtype=np.float64).reshape(4, 2)


def annotation(image_id=1, **changes):
    """A COCO annotation of the 20 x 20 square at (10, 5)."""
    entry = {
        "image_id": image_id,
        "category_id": 1,
        "bbox": [10, 5, 20, 20],
        "iscrowd": 0,
        "segmentation": [square()],
    }
    return {**entry, **changes}


def target(**changes):
    """The same in Detectron2's format."""
    entry = without(annotation(), "image_id", "iscrowd")
    return {**entry, "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, **changes}


def without(entry, *keys):
    return {key: value for key, value in entry.items() if key not in keys}


def crop(cfg, *size_hw):
    """Switch on a random crop."""
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "absolute", size_hw


def semantic(cfg, num_classes, architecture="SemanticSegmentor"):
    """Make it a configuration of a semantic model."""
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.MASK_ON = architecture, False
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = num_classes


def noise(height=HEIGHT, width=WIDTH, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_image(path, height=HEIGHT, width=WIDTH, seed=0):
    Image.fromarray(noise(height, width, seed)).save(path)
