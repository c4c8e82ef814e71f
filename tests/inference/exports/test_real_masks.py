"""Masks of photographs: every writer keeps the Boundary IoU that was asked for."""

from itertools import islice

import numpy as np
import pytest
from pycocotools.coco import COCO

from tests.inference.exports import predictions
from tests.inference.exports.readers import READERS, read_back
from tests.inference.exports.test_outlines import boundary_iou

FILES = {"coco": "coco/annotations/instances_val2017.json", "davis": "davis/instances.json"}


def images(file, every):
    """A prediction of the true masks of every so many images, and these masks."""
    coco = COCO(str(file))
    for image_id in islice(coco.imgs, 0, None, every):
        masks = [coco.annToMask(a).astype(bool) for a in coco.imgToAnns[image_id]]
        number = len(masks)
        if number:
            yield (
                masks,
                predictions.prediction(
                    (),
                    image=np.zeros((*masks[0].shape, 3), np.uint8),
                    boxes=np.zeros((number, 4), np.float32),
                    scores=np.ones(number, np.float32),
                    classes=np.arange(number) % 2,
                    masks=predictions.Masks(masks),
                ),
            )


@pytest.mark.real_data
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    ("name", "every", "asked"),
    [
        ("coco", 30, 0.9),
        ("davis", 100, 0.95),
        pytest.param("coco", 1, 0.8, marks=pytest.mark.slow),
        pytest.param("davis", 1, 0.6, marks=pytest.mark.slow),
    ],
)
def test_the_boundary_iou_that_was_asked_for(name, every, asked, kind, real_data, tmp_path):
    number = 0
    for masks, prediction in images(real_data / FILES[name], every):
        masks = [mask for mask in masks if mask.any()]
        found = read_back(kind, prediction, asked, tmp_path / str(number))
        assert [name for name, _ in found] == [x.name for x in prediction.outlines(1)]
        for (_, back), mask in zip(found, masks, strict=True):
            assert boundary_iou(back, mask) >= (1 if kind == "coco" else asked)
            number += 1
    assert number >= 3
