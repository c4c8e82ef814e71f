"""Tiles: they cover the image, and find what one look at the whole image would find."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data import reading
from pointrend_ext.data.pixels import ImageRules
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.inference.tiles import TiledPredictor
from pointrend_ext.inference.tiles.grid import windows_of
from pointrend_ext.inference.tiles.pieces import Piece, joined
from pointrend_ext.inference.tiles.stored_masks import StoredMasks
from pointrend_ext.visualization import MaskCrop


class Fake:
    """Finds connected pixels of one red value as an object of that class; labels are red values."""

    def __init__(self, architecture="GeneralizedRCNN"):
        self.cfg = SimpleNamespace(MODEL=SimpleNamespace(META_ARCHITECTURE=architecture))
        self.has_instances = architecture != "SemanticSegmentor"
        self.image_rules, self.classes = ImageRules(), Classes(things=("a", "b", "c"))
        self.seen, self.probabilities = [], False

    def stream(self, images):
        for image in images:
            self.seen.append(image.shape[:2])
            yield self.predict(image)

    def predict(self, image):
        red, size_hw = image[..., 0], image.shape[:2]
        base = {"image": image, "name": "", "class_info": self.classes}
        if not self.has_instances:
            return Prediction(**base, label_map=red)
        crops, boxes, classes = [], [], []
        for value in np.unique(red[red > 0]).tolist():
            same = (red == value).astype(np.uint8)
            number, pieces, stats, _ = cv2.connectedComponentsWithStats(same, connectivity=4)
            for n in range(1, number):
                x, y, w, h = stats[n, :4].tolist()
                crops.append(MaskCrop(pieces[y : y + h, x : x + w] == n, y, x))
                boxes.append((x, y, x + w, y + h))
                classes.append(value - 1)
        areas = np.array([crop.values.sum() for crop in crops], np.float32)
        return Prediction(
            **base,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=areas / (1 + areas),
            classes=np.array(classes, np.int64),
            masks=StoredMasks(crops, size_hw),
        )


def scene(size_hw, number=40, seed=0):
    """Discs and boxes of three classes, some larger than a tile; (H, W, 3) uint8."""
    rng, image = np.random.default_rng(seed), np.zeros((*size_hw, 3), np.uint8)
    for _ in range(number):
        y, x = (int(rng.integers(0, side)) for side in size_hw)
        value, radius = int(rng.integers(1, 4)), int(rng.integers(3, 70))
        if rng.random() < 0.5:
            cv2.circle(image, (x, y), radius, (value, 0, 0), -1)
        else:
            cv2.rectangle(image, (x, y), (x + 3 * radius, y + radius), (value, 0, 0), -1)
    return image


def as_set(prediction):
    return {
        (int(c), *b.tolist(), np.packbits(mask).tobytes())
        for b, c, mask in zip(prediction.boxes, prediction.classes, prediction.masks, strict=True)
    }


@pytest.mark.parametrize(
    "size_hw", [(1, 1), (64, 64), (65, 64), (300, 1000), (97, 640), (6000, 8000)]
)
@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), (64, 0), (200, 100)])
def test_windows_cover_the_image_and_cores_tile_it(size_hw, tile, overlap):
    windows = windows_of(size_hw, tile, overlap)
    if size_hw[0] < 1000:
        count = np.zeros(size_hw, int)
        for w in windows:
            top, left, bottom, right = w.core
            count[top:bottom, left:right] += 1
        assert (count == 1).all()
    for w in windows:
        assert (w.bottom - w.top, w.right - w.left) == tuple(min(tile, s) for s in size_hw)
        top, left, bottom, right = w.core
        assert w.top <= top < bottom <= w.bottom
        assert w.left <= left < right <= w.right
    rows = sorted({(w.top, w.bottom) for w in windows})
    assert rows[0][0] == 0
    assert rows[-1][1] == size_hw[0]
    assert all(a[1] - b[0] >= overlap for a, b in pairwise(rows))


@pytest.mark.parametrize("seed", range(4))
def test_objects_across_seams_are_those_of_the_whole_image(seed):
    image, fake = scene((330, 510), seed=seed), Fake()
    prediction = TiledPredictor(fake, tile_px=128, overlap_px=32)(image)
    whole = fake.predict(image)
    assert len(fake.seen) == 20
    assert as_set(prediction) == as_set(whole)
    assert (np.diff(prediction.scores) <= 0).all()
    assert prediction.image is image


def test_two_objects_side_by_side_stay_two():
    """Each is cut by the seam; they touch, and differ in class alone, or not at all."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:50, 60:140], image[51:80, 60:140] = (1, 0, 0), (1, 0, 0)
    image[80:95, 60:140] = 2, 0, 0
    prediction = TiledPredictor(Fake(), tile_px=120, overlap_px=40)(image)
    assert sorted(prediction.boxes.tolist()) == [
        [60, 20, 140, 50], [60, 51, 140, 80], [60, 80, 140, 95],
    ]  # fmt: skip


def test_pieces_that_agree_too_little_stay_apart():
    windows = windows_of((50, 80), 50, 20)

    def piece(left, right, score):
        crop = MaskCrop(np.ones((10, right - left), bool), 0, left)
        return Piece(0, score, (left, 0, right, 10), crop)

    for left, number in ((40, 1), (46, 2)):  # from 30 to 50 both see: 10 of 15 agree, or 4 of 15
        pieces = [[piece(35, 50, 0.5)], [piece(left, 70, 0.9)]]
        found = joined(pieces, windows, 0.5)
        assert len(found) == number
    (one,) = joined([[piece(35, 50, 0.5)], [piece(40, 70, 0.9)]], windows, 0.5)
    assert (one.score, one.box, one.crop.left, one.crop.values.sum()) == (
        0.9,
        (35, 0, 70, 10),
        35,
        350,
    )


def test_label_maps_come_from_the_nearest_tile():
    image = scene((333, 401))
    prediction = TiledPredictor(Fake("SemanticSegmentor"), tile_px=100, overlap_px=30)(image)
    np.testing.assert_array_equal(prediction.label_map, image[..., 0])
    assert prediction.boxes is None


def test_a_small_image_is_predicted_as_a_whole(tmp_path):
    image, fake = scene((90, 128)), Fake()
    Image.fromarray(image).save(tmp_path / "a.png")
    prediction = TiledPredictor(fake, tile_px=128)(tmp_path / "a.png")
    assert fake.seen == [(90, 128)]
    assert prediction.name == str(tmp_path / "a.png")
    assert as_set(prediction) == as_set(fake.predict(image))


def test_nothing_found_and_lists():
    empty, full = np.zeros((300, 300, 3), np.uint8), scene((300, 300))
    found = TiledPredictor(Fake(), tile_px=128)([empty, full])
    assert [len(prediction.boxes) > 0 for prediction in found] == [False, True]
    assert found[0].masks[:0].size_hw == (300, 300)


def test_the_rest_is_that_of_the_predictor():
    fake = Fake()
    tiled = TiledPredictor(fake, tile_px=128)
    assert tiled.classes is fake.classes
    with pytest.raises(AttributeError, match="no_such"):
        _ = tiled.no_such
    with pytest.raises(ValueError, match="takes no boxes"):
        tiled.stream([np.zeros((9, 9, 3), np.uint8)], [None])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile_px": 16}, "tile_px is 16"),
        ({"overlap_px": 600}, "overlap_px is 600"),
        ({"overlap_px": -1}, "overlap_px is -1"),
        ({"lowest_iou": 0}, "lowest_iou is 0"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        TiledPredictor(Fake(), **options)


@pytest.mark.parametrize("architecture", ["PanopticFPN", "PointRendPanopticFPN"])
def test_a_panoptic_model_is_refused(architecture):
    with pytest.raises(ValueError, match="panoptic model, whose segments are not joined"):
        TiledPredictor(Fake(architecture))


def test_addresses_are_read_as_without_tiles(monkeypatch, tmp_path):
    Image.new("RGB", (50, 40), "red").save(tmp_path / "a.png")
    opened = lambda path, mode: (tmp_path / Path(path).name).open(mode)  # noqa: E731
    monkeypatch.setattr(reading, "PathManager", SimpleNamespace(open=opened))
    prediction = TiledPredictor(Fake(), tile_px=64)("store://a.png")
    assert (prediction.name, prediction.size_hw) == ("store://a.png", (40, 50))


def test_probabilities_are_refused():
    predictor = Fake()
    predictor.probabilities = True
    with pytest.raises(ValueError, match="model whose probabilities are not joined"):
        TiledPredictor(predictor)


def test_stored_masks_are_like_pasted_ones():
    mask = np.zeros((9, 12), bool)
    mask[2:5, 3:9] = True
    masks = StoredMasks([MaskCrop(mask[2:5, 3:9], 2, 3), MaskCrop(mask[:0, :0], 0, 0)], (9, 12))
    assert isinstance(masks, PastedMasks)
    np.testing.assert_array_equal(np.asarray(masks), [mask, np.zeros_like(mask)])
    np.testing.assert_array_equal(masks[np.array([True, False])][0], mask)
    assert masks.probability_crop(0).values.max() == 255
    with pytest.raises(IndexError):
        masks[2]


MEASURE = """
import sys
import numpy as np
sys.path.insert(0, {folder!r})
from test_tiles import Fake, scene
from pointrend_ext.inference.tiles import TiledPredictor
image = scene((6000, 8000), number=150, seed=1)
prediction = TiledPredictor(Fake(), tile_px=1024)(image)
assert len(prediction.boxes) > 100
prediction.to_geojson(0.9)
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def test_48_megapixels_within_two_gibibytes():
    if not Path("/proc/self/status").exists():  # getrusage tells the peak of the parent as well
        pytest.skip("needs Linux")
    code = MEASURE.format(folder=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert float(done.stdout.split()[-1]) / 2**20 < 2
