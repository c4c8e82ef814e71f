"""Two semantic models beside the ground truth: which images, which window, which colours."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from pycocotools import mask as mask_util

from pointrend_ext.inspection.semantic_comparison import write_semantic_comparisons
from pointrend_ext.visualization import read_image_rgb, write_image

NAME, SIZE_HW = "two_classes_to_compare", (60, 80)
COLORS = [[200, 0, 0], [0, 0, 200]]


def entries(file_name, labels):
    return [
        {
            "file_name": file_name,
            "category_id": c,
            "segmentation": {
                **(rle := mask_util.encode(np.asfortranarray(labels == c, dtype=np.uint8))),
                "counts": rle["counts"].decode(),
            },
        }
        for c in range(2)
    ]


@pytest.fixture
def predictions(tmp_path):
    """Black images: 0 where both models are right, 1 and 2 where the second is wrong."""
    records, saved = [], {"first": [], "second": []}
    for i, wrong_columns in enumerate((0, 10, 30)):
        image, truth_file = str(tmp_path / f"{i}.png"), str(tmp_path / f"truth{i}.png")
        truth = np.zeros(SIZE_HW, np.uint8)
        truth[30:] = 1
        labels = truth.copy()
        labels[:10, :wrong_columns] = 1
        write_image(image, np.zeros((*SIZE_HW, 3), np.uint8))
        Image.fromarray(truth).save(truth_file)
        saved["first"] += entries(image, truth)
        saved["second"] += entries(image, labels)
        records.append({"file_name": image, "sem_seg_file_name": truth_file})
    DatasetCatalog.register(NAME, lambda: records)
    MetadataCatalog.get(NAME).set(stuff_classes=["a", "b"], ignore_label=255, stuff_colors=COLORS)
    for name, content in saved.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    yield {name: tmp_path / f"{name}.json" for name in saved}
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def test_pictures(predictions, tmp_path):
    written = write_semantic_comparisons(predictions, NAME, tmp_path / "out", num_pictures=2)
    assert [path.name for path in written] == ["2.png", "1.png"]  # most different first
    picture = read_image_rgb(written[0]).astype(int)
    only_red = (picture[..., 0] > 40) & (picture[..., 1:].max(-1) == 0)
    only_blue = (picture[..., 2] > 40) & (picture[..., :2].max(-1) == 0)
    assert only_red.mean() > 0.2
    assert only_blue.mean() > 0.2
    # Whole images above: red minus blue area is less for the second model by its wrong part.
    top, third = slice(0, picture.shape[0] // 2), picture.shape[1] // 3
    reds = [only_red[top, i * third : (i + 1) * third].sum() for i in range(3)]
    assert reds[0] == pytest.approx(reds[1], rel=0.05)
    assert reds[2] < 0.95 * reds[1]
