"""Which pictures an export is checked on: all that were given, in every size."""

import numpy as np
import pytest
import torch
from PIL import Image

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


def test_files_are_read_as_by_a_predictor(cfg, tmp_path):
    Image.fromarray(np.full((1, 1), 200 * 256, np.uint16)).save(tmp_path / "deep.png")
    Image.new("CMYK", (7, 5), (0, 0, 0, 255 - 40)).save(tmp_path / "cmyk.tif")
    Image.new("RGBA", (5, 7), (90, 90, 90, 0)).save(tmp_path / "clear.png")
    names = ("deep.png", "cmyk.tif", "clear.png")
    images = list(CheckImages.of(cfg, [tmp_path / name for name in names]))
    assert [int(x.mean()) for x in images] == [200, 40, 90, 200, 40]


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        ("gone.jpg", r"gone\.jpg' does not exist"),
        ("broken.jpg", r"broken\.jpg' is truncated or corrupt or no image"),
        (np.zeros((9, 12), np.uint8), r"A picture: image has shape \(9, 12\)"),
        (np.zeros((9, 12, 3)), "type float64; it must be RGB"),
        (torch.zeros(3, 9, 12), r"A picture is no tensor \(here \(3, 9, 12\), torch\.float32\)"),
    ],
)
def test_what_is_no_picture_is_refused(cfg, tmp_path, monkeypatch, picture, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises((ValueError, OSError), match=words):
        CheckImages.of(cfg, [*shades(1), picture])
