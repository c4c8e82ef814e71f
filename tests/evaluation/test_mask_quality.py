"""Mask quality by hand, against the formulas, for samples of images, and what is refused."""

import numpy as np
import pytest
from pycocotools import mask as mask_util

from pointrend_ext.evaluation.boundary import boundary_width
from pointrend_ext.evaluation.mask_quality import mask_quality
from pointrend_ext.evaluation.offline.bootstrap import draw_images
from tests.evaluation.oracles import slow_boundary


def square(top, left, side, size_hw=(120, 160)):
    mask = np.zeros(size_hw, np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


@pytest.fixture
def by_hand(instances):
    """Three objects in two of three images and a crowd; d = 4. Predictions are in another order."""
    small, medium, large = square(0, 0, 31), square(10, 10, 40), square(20, 30, 100)
    truth = instances.truth(
        [(120, 160)] * 3,
        [
            (0, 0, small, False),
            (0, 0, medium, True),
            (0, 0, medium, False),
            (2, 0, large, False),
        ],
    )
    found = [(4, 2, square(20, 30, 50)), (1, 0, small), (3, 0, square(11, 10, 40))]
    results = [
        {**instances.prediction(image, 0, mask, 1.0), "annotation_id": key}
        for key, image, mask in found
    ]
    return truth, results


def test_by_hand(by_hand):
    truth, results = by_hand
    quality = mask_quality(truth, results)
    moved = 39 * 40 / (41 * 40)
    # Frames of width 4: 40^2 - 32^2 pixels each. Moved a pixel down, the outer squares share
    # 39 x 40 and each inner square lies within the other's outer one.
    frame = 40**2 - 32**2
    both = 39 * 40 - (32 * 32 * 2 - 31 * 32)
    moved_outline = both / (2 * frame - both)
    assert quality.ious == pytest.approx([1, moved, 0.25])
    assert quality.boundary_ious[:2] == pytest.approx([1, moved_outline])
    assert quality.images.tolist() == [0, 0, 2]
    assert quality.num_left_out == 1
    metrics = quality.metrics()
    assert metrics["IoU"] == pytest.approx(100 * (1 + moved + 0.25) / 3)
    assert [metrics[f"IoU-{s}"] for s in ("small", "medium", "large")] == pytest.approx(
        [100, 100 * moved, 25]
    )
    assert metrics["BoundaryIoU-medium"] == pytest.approx(100 * moved_outline)
    assert [metrics[f"objects{s}"] for s in ("", "-small", "-medium", "-large")] == [3, 1, 1, 1]


def test_against_the_formulas(toy_truth, instances):
    """Toy masks, moved and frayed, some empty; the masks as arrays, the boundary pixel by pixel."""
    rng = np.random.default_rng(2)
    results, expected = [], []
    for annotation in toy_truth.dataset["annotations"][:25]:
        size_hw = toy_truth.sizes_hw[annotation["image_id"]]
        mask = mask_util.decode(instances.annotation_rle(annotation, size_hw))
        own = np.roll(mask, rng.integers(-3, 4, 2), (0, 1)) & (rng.random(mask.shape) < 0.95)
        own = (own * (len(results) % 7 != 3)).astype(np.uint8)
        names = {k: annotation[k] for k in ("image_id", "category_id")}
        shown = {"segmentation": instances.rle(own), "annotation_id": annotation["id"]}
        results.append({**names, "score": 1.0, **shown})
        if not annotation.get("iscrowd", 0):
            d = boundary_width(size_hw)
            pairs = (own, mask), (slow_boundary(own, d), slow_boundary(mask, d))
            expected.append([np.sum(a & b) / np.sum(a | b) for a, b in pairs])
    kept = [a for a in toy_truth.dataset["annotations"][:25] if not a.get("iscrowd", 0)]
    ids = {a["id"] for a in kept}
    truth = type(toy_truth)({**toy_truth.dataset, "annotations": kept}, "part")
    quality = mask_quality(truth, [r for r in results if r["annotation_id"] in ids])
    assert quality.ious == pytest.approx([e[0] for e in expected], abs=1e-12)
    assert quality.boundary_ious == pytest.approx([e[1] for e in expected], abs=1e-12)
    assert min(quality.ious) == 0 < min(q for q in quality.ious if q)


def test_samples_of_images_are_copies_of_them(by_hand):
    quality = mask_quality(*by_hand)
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 3, 0]])
    means = quality.means(weights)
    assert means["IoU"][0] == quality.metrics()["IoU"]
    first = 100 * (2 * quality.ious[0] + 2 * quality.ious[1] + quality.ious[2]) / 5
    assert means["IoU"][1] == pytest.approx(first)
    assert np.isnan(means["IoU"][2])
    assert means["BoundaryIoU-large"][1] == pytest.approx(100 * quality.boundary_ious[2])
    draws = [quality.means(draw_images(3, 50, seed))["IoU"] for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1], equal_nan=True)
    assert not np.array_equal(draws[0], draws[2], equal_nan=True)


def test_nothing_to_measure(instances):
    truth = instances.truth([(20, 30)], [(0, 0, square(0, 0, 5, (20, 30)), True)])
    quality = mask_quality(truth, [])
    assert quality.num_left_out == 1
    metrics = quality.metrics()
    assert metrics["objects"] == metrics["objects-large"] == 0
    assert np.isnan(metrics["IoU"])
    assert np.isnan(metrics["BoundaryIoU-small"])


@pytest.mark.parametrize("mask", [[], [[5, 5, 5.2, 5, 5.2, 5.2, 5, 5.2]]], ids=["none", "no pixel"])
def test_an_object_without_a_mask_is_left_out(by_hand, mask):
    truth, results = by_hand
    truth.dataset["annotations"][0]["segmentation"] = mask
    quality = mask_quality(truth, results)
    assert (len(quality.ious), quality.num_left_out) == (2, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r[:2], r"1 of 3 objects of 'by hand', such as annotation 3, have no prediction"),
        (
            lambda r: [*r, r[0]],
            r"entry 3 \(image_id 3\): its annotation_id 4 is that of an earlier",
        ),
        (lambda r: [{**r[0], "annotation_id": 2}], r"annotation_id 2 is no object of this image"),
        (lambda r: [{**r[0], "annotation_id": 1}], r"annotation_id 1 is no object of this image"),
        (lambda r: [{**r[0], "annotation_id": None}], r"annotation_id None is no object"),
        (lambda r: [{**r[0], "annotation_id": []}], r"annotation_id \[\] is no object"),
    ],
)
def test_other_pairs_are_refused(by_hand, change, message):
    truth, results = by_hand
    with pytest.raises(ValueError, match=f"^Mine: .*{message}"):
        mask_quality(truth, change(results), "Mine")
