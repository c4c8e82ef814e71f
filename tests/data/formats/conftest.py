"""Exports are described in another folder, and read as a training reads them."""

from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.data import MetadataCatalog

from pointrend_ext.data import register_description
from pointrend_ext.data.formats import describe, recognise
from pointrend_ext.data.loading import load_dataset_dicts


def decoded(segmentation, size_hw):
    """One mask (H, W) of a segmentation of COCO's, drawn by pycocotools."""
    if isinstance(segmentation, list):
        segmentation = mask_util.merge(mask_util.frPyObjects(segmentation, *size_hw))
    return mask_util.decode(segmentation).astype(bool)


@pytest.fixture
def describe_folder(tmp_path):
    """Describe an export: ``describe_folder(folder)``."""

    def call(folder, **options):
        return describe(recognise(folder), tmp_path / "described", **options)

    return call


@pytest.fixture
def check_refusal(tmp_path, describe_folder):
    """Let an export be made, and be refused in a sentence: ``check_refusal(make, message)``."""

    def call(make, message):
        make(tmp_path / "export")
        with pytest.raises(ValueError, match=message) as error:
            describe_folder(tmp_path / "export")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "described/data.yaml").exists()

    return call


@pytest.fixture
def read_masks(cfg):
    """Masks of a description by (stem of the picture, class): bytes, sorted; and its splits."""

    def call(described):
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(described.classes)
        found, stems = {}, {}
        for name in register_description(described.file):
            classes = None
            for record in load_dataset_dicts(cfg, [name], is_train=False):
                classes = MetadataCatalog.get(name).thing_classes
                size_hw = record["height"], record["width"]
                stem = Path(record["file_name"]).stem
                stems.setdefault(name.removeprefix("data_"), set()).add(stem)
                for entry in record["annotations"]:
                    mask = decoded(entry["segmentation"], size_hw)
                    key = stem, classes[entry["category_id"]]
                    found.setdefault(key, []).append(np.packbits(mask).tobytes())
        return {key: sorted(masks) for key, masks in found.items()}, stems

    return call
