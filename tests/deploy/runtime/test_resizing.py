"""Images and maps are resized as Detectron2 and PyTorch resize them."""

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from torch.nn import functional as F

from pointrend_ext.deploy.runtime.resizing import (
    enlarged_labels,
    model_image,
    resized_plane,
    test_size,
)

test_size.__test__ = False  # no test


@pytest.mark.parametrize(("shortest", "longest"), [(800, 1333), (320, 500), (1024, 2048), (3, 4)])
def test_sizes_are_those_of_detectron2(shortest, longest):
    generator = np.random.default_rng(0)
    sizes = [(1, 1), (6000, 8000), (480, 640), (1, 500), (500, 1), (333, 333), (667, 1000)]
    sizes += [tuple(x) for x in generator.integers(1, 3000, (2000, 2)).tolist()]
    for size in sizes:
        expected = T.ResizeShortestEdge.get_output_shape(*size, shortest, longest)
        assert test_size(size, shortest, longest) == expected


@pytest.mark.parametrize("size", [(97, 60), (30, 200), (20, 20), (1, 1), (211, 40)])
@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_images_are_those_of_detectron2(size, image_format):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    shown = T.AugInput(image if image_format == "RGB" else image[:, :, ::-1])
    T.ResizeShortestEdge(40, 100, "choice")(shown)
    got = model_image(image, image_format, 40, 100)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, shown.image.transpose(2, 0, 1))


def test_no_smallest_side_leaves_an_image_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(model_image(image, "RGB", 0, 5), image.transpose(2, 0, 1))


@pytest.mark.parametrize("new", [(31, 47), (9, 100), (5, 3), (8, 13), (1, 1)])
@pytest.mark.parametrize("old", [(8, 13), (1, 1), (17, 4)])
def test_maps_are_those_of_pytorch(old, new):
    plane = torch.randn(old)
    expected = F.interpolate(plane[None, None], new, mode="bilinear", align_corners=False)[0, 0]
    got = resized_plane(plane.numpy(), new)
    np.testing.assert_allclose(got, expected.numpy(), rtol=0, atol=2e-6)


def test_labels_are_those_of_the_nearest_pixel():
    labels = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(enlarged_labels(labels, (4, 6)), labels.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(enlarged_labels(labels.repeat(3, 0).repeat(3, 1), (2, 3)), labels)
    expected = torch.from_numpy(labels)[None, None].float()
    expected = F.interpolate(expected, (7, 5), mode="nearest-exact")[0, 0].numpy()
    np.testing.assert_array_equal(enlarged_labels(labels, (7, 5)), expected)
