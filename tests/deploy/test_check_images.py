"""Which pictures an export is checked on: all that were given, in every size."""

import numpy as np
import pytest

from pointrend_ext.deploy.checks import CheckImages
from pointrend_ext.engine import load_cfg


@pytest.fixture(scope="module")
def cfg():
    return load_cfg("Toy/pointrend_rcnn_toy.yaml", ["INPUT.MIN_SIZE_TEST", 96])


def shades(*values):
    return [np.full((9, 12, 3), value, np.uint8) for value in values]


SMALL = [(65, 80), (97, 131), (320, 223), (191, 403)]


@pytest.mark.parametrize(
    ("number", "seen", "last"),
    [(1, [0] * 5, []), (2, [0, 1, 0, 1, 0], []), (8, range(8), [(96, 128)] * 3)],
)
def test_every_picture_and_every_size(cfg, number, seen, last):
    images = list(CheckImages.of(cfg, shades(*range(number))))
    assert [int(x.min()) for x in images] == [int(x.max()) for x in images] == [*seen]
    assert [x.shape[1:] for x in images] == [*SMALL, (96, 128), *last]
    assert {(x.shape[0], x.dtype) for x in images} == {(3, np.dtype(np.float32))}


def test_of_an_array_of_pictures_as_well(cfg):
    assert len(list(CheckImages.of(cfg, np.stack(shades(1, 2))))) == 5


@pytest.mark.parametrize(
    "pictures",
    [["a.jpg"], shades(1)[0], [np.zeros((9, 12), np.uint8)], [np.zeros((9, 12, 3))]],
)
def test_what_is_no_picture_is_refused(cfg, pictures):
    with pytest.raises(ValueError, match=r"export: check_images: image has shape .*\(H, W, 3\)"):
        CheckImages.of(cfg, pictures)
