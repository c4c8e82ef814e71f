"""Pictures of segment ids: there and back, and against the list of segments."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from pointrend_ext.data.panoptic import (
    SegmentLabels,
    place_segments,
    read_segment_ids,
    segment_picture,
)
from tests.data.panoptic.builders import BLUE, RED, SKY, id_map

IDS = np.array([[0, 1, 255, 256], [65535, 65536, 2**24 - 1, 70_000]])


def test_ids_as_coco_writes_them(tmp_path):
    rgb = segment_picture(IDS)
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb.astype(int) @ [1, 256, 65536], IDS)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_segment_ids(str(tmp_path / "a.png")), IDS)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_pictures_hold_the_ids(tmp_path, dtype):
    ids = np.array([[0, 7, 7, np.iinfo(dtype).max]], dtype)
    Image.fromarray(ids).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_segment_ids(str(tmp_path / "a.png")), ids)


def test_grey_colours_are_ids_of_three_bytes(tmp_path):
    Image.fromarray(np.full((2, 2, 3), 9, np.uint8)).save(tmp_path / "a.png")
    assert (read_segment_ids(str(tmp_path / "a.png")) == 9 + 9 * 256 + 9 * 65536).all()


def test_a_palette_says_nothing_certain(tmp_path):
    picture = Image.fromarray(np.array([[0, 7], [7, 1]], np.uint8))
    picture.putpalette([*range(3 * 8)])
    picture.save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"Picture '.*a\.png' has a palette.*Save it as RGB"):
        read_segment_ids(str(tmp_path / "a.png"))


def test_places():
    got = place_segments(IDS, [70_000, 1, 256, 255, 65535, 65536, 2**24 - 1], "it")
    np.testing.assert_array_equal(got, [[0, 2, 4, 3], [5, 6, 7, 1]])
    assert place_segments(np.zeros((2, 3), int), [], "it").tolist() == [[0] * 3] * 2


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([1, 255], r"it: the picture has pixels of the segments 256, 65535, 65536, \.\.\., which"),
        ([*IDS.flat[1:].tolist(), 3], r"it: the segments 3 are listed, but have no pixel"),
    ],
)
def test_list_and_picture_must_agree(listed, message):
    with pytest.raises(ValueError, match=message):
        place_segments(IDS, listed, "it")


def test_labels_and_masks(tmp_path):
    ids = np.where(np.isin(id_map(), [RED, SKY, BLUE]), id_map(), 0)
    Image.fromarray(segment_picture(ids)).save(tmp_path / "a.png")
    reader = SegmentLabels((RED, SKY, BLUE), (0, 4, 0), 255)
    labels = reader.read(str(tmp_path / "a.png"))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels == 4, ids == SKY)
    np.testing.assert_array_equal(labels == 0, (ids == RED) | (ids == BLUE))
    np.testing.assert_array_equal(labels == 255, ids == 0)
    places = reader.places(str(tmp_path / "a.png"))
    np.testing.assert_array_equal(mask_util.decode(reader.mask(places, BLUE)), ids == BLUE)
    with pytest.raises(ValueError, match=r"Picture '.*a\.png': the picture has pixels of .* 5,"):
        SegmentLabels((RED, BLUE), (0, 0), 255).read(str(tmp_path / "a.png"))
