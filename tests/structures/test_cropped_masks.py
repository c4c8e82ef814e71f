"""Cropped masks give what Detectron2's ``BitMasks`` of the same pixels give, bit for bit."""

import copy
import pickle

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Instances
from torch.utils.data import DataLoader

from pointrend_ext.structures import CroppedMasks, cropped_masks

SIZE_HW = (23, 31)
EMPTY = 3  # of the masks below


@pytest.fixture
def whole(rng):
    """Speckled boxes, one empty, one all of the image, corners, and two parts far apart."""
    masks = torch.zeros(8, *SIZE_HW, dtype=torch.bool)
    for number, window in enumerate([np.s_[2:9, 4:20], np.s_[0:23, 0:31], np.s_[5:6, 7:8]]):
        masks[number][window] = torch.rand(masks[number][window].shape, generator=rng) > 0.4
    masks[2, 5, 7] = True
    masks[4] = True
    masks[5, 0, 0] = True
    masks[6, -1, -1] = True
    masks[7, 1:3, 28:31] = masks[7, 20:23, 0:2] = True
    return masks


@pytest.fixture
def pair(whole):
    return CroppedMasks(whole), BitMasks(whole)


def assert_equal(ours, theirs):
    assert isinstance(ours, CroppedMasks)
    assert len(ours) == len(theirs)
    assert tuple(ours.image_size) == tuple(theirs.image_size) == ours.size_hw == SIZE_HW
    assert torch.equal(ours.tensor, theirs.tensor)
    assert torch.equal(ours.nonempty(), theirs.nonempty())
    assert torch.equal(ours.get_bounding_boxes().tensor, theirs.get_bounding_boxes().tensor)
    for mask, expected in zip(ours, theirs, strict=True):
        assert torch.equal(mask, expected)


def test_equals_bit_masks(pair):
    ours, theirs = pair
    assert_equal(ours, theirs)
    assert ours.nonempty().tolist() == [number != EMPTY for number in range(8)]
    assert ours.get_bounding_boxes().tensor[7].tolist() == [0, 1, 31, 23]
    assert ours.get_bounding_boxes().tensor[EMPTY].tolist() == [0, 0, 0, 0]
    assert repr(ours) == "CroppedMasks(num_instances=8)"
    assert_equal(CroppedMasks(theirs.tensor.numpy().astype(np.uint8)), theirs)


@pytest.mark.parametrize(
    "item",
    [
        2,
        -1,
        EMPTY,
        slice(1, 7, 2),
        slice(0, 0),
        torch.tensor([True, False] * 4),
        torch.zeros(8, dtype=torch.bool),
        torch.tensor([7, 0, 0, 3, 7]),
        torch.zeros(0, dtype=torch.int64),
        [4, 1],
        np.array([6, 6]),
    ],
    ids=str,
)
def test_selection_copies_no_pixel(pair, item):
    ours, theirs = (masks[item] for masks in pair)
    assert_equal(ours, theirs)
    assert ours.bits.data_ptr() == pair[0].bits.data_ptr()
    for once_more in (slice(None, None, 2), [0] * len(ours)):
        assert_equal(ours[once_more], theirs[once_more])


def test_a_number_beyond_the_end_is_an_error(pair):
    with pytest.raises(IndexError):
        pair[0][8]


def test_memory_is_that_of_the_boxes(pair):
    masks, sides = pair[0], pair[1].get_bounding_boxes()
    assert masks.bits.dtype == torch.bool
    assert masks.bits.numel() == 1 + int(sides.area().sum())
    many = CroppedMasks.from_crops([(np.ones((8, 10), bool), 3, 4)] * 1500, (800, 800))
    assert many.bits.nbytes + many.windows.nbytes < 200_000
    assert many.crop(1499)[1:] == (3, 4)


def test_copies_and_moves(pair):
    ours, theirs = pair
    for masks in (ours, ours[torch.tensor([2, 7, 7])]):
        expected = BitMasks(masks.tensor)
        for made in (copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
            assert_equal(made(masks), expected)
    assert_equal(ours.to("cpu"), theirs)
    assert_equal(ours.to(torch.float32), theirs)
    assert ours.to(torch.float32).bits.dtype == torch.bool
    moved = ours.to(device="meta", non_blocking=True)
    assert moved.device == moved.windows.device == torch.device("meta")
    assert moved.bits.dtype == torch.bool


def test_a_worker_of_a_loader_hands_them_over(pair):
    items = [Instances(SIZE_HW, gt_masks=pair[0][n : n + 2]) for n in range(2)]
    loader = DataLoader(items, batch_size=2, num_workers=1, collate_fn=list)
    (batch,) = loader
    for number, item in enumerate(batch):
        assert_equal(item.gt_masks, pair[1][number : number + 2])


def test_cat(pair):
    ours, theirs = pair
    last = torch.tensor([7, EMPTY, 0])
    joined = CroppedMasks.cat([ours, ours[last], theirs[4:6], theirs[:1]])
    assert_equal(joined, BitMasks.cat([theirs, theirs[last], theirs[4:6], theirs[:1]]))
    assert torch.equal(BitMasks.cat([theirs, ours]).tensor, torch.cat([theirs.tensor] * 2))
    parts = [Instances(SIZE_HW, gt_masks=ours), Instances(SIZE_HW, gt_masks=ours[last])]
    assert_equal(Instances.cat(parts).gt_masks, BitMasks.cat([theirs, theirs[last]]))
    with pytest.raises(ValueError, match="too many"):
        CroppedMasks.cat([ours, CroppedMasks(torch.ones(1, 4, 4))])


@pytest.mark.parametrize("count", [0, 2])
def test_masks_without_a_pixel(count):
    theirs = BitMasks(torch.zeros(count, *SIZE_HW))
    ours = CroppedMasks.from_crops([(np.zeros((0, 0), bool), 0, 0)] * count, SIZE_HW)
    for masks in (ours, CroppedMasks(theirs.tensor), CroppedMasks.cat([ours])):
        assert_equal(masks, theirs)
    boxes = torch.tensor([[1.0, 2.0, 9.0, 9.0]] * count).reshape(-1, 4)
    assert torch.equal(ours.crop_and_resize(boxes, 5), theirs.crop_and_resize(boxes, 5))
    place = torch.zeros(count, 3, dtype=torch.int64)
    assert not ours.read(place, place).any()


def test_pixels_are_read_also_beyond_the_image(pair):
    ours, theirs = pair
    expected = torch.nn.functional.pad(theirs.tensor, (40,) * 4)
    columns = torch.arange(-40, 31 + 40, dtype=torch.int32).expand(8, 1, -1)
    rows = torch.arange(-40, 23 + 40, dtype=torch.int32)[:, None].expand(8, -1, 1)
    assert torch.equal(ours.read(columns, rows), expected)


def boxes_to_read(rng, count):
    """Of whole and of half pixels, whose samples have ties, and odd ones; beyond the image, too."""
    corners = torch.rand(count, 2, generator=rng) * 50 - 12
    boxes = torch.cat([corners, corners + torch.rand(count, 2, generator=rng) * 40], dim=1)
    boxes[: count // 3] = (boxes[: count // 3] * 2).round() / 2
    boxes[0] = torch.tensor([7.0, 9.0, 7.0, 9.0])
    boxes[1] = torch.tensor([-512.0, -256.0, 768.0, 512.0])
    boxes[2] = torch.tensor([0.0, 0.0, 31.0, 23.0])
    return boxes


@pytest.mark.parametrize("drawn_at_once", [1, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_crop_and_resize(pair, rng, monkeypatch, drawn_at_once, dtype):
    monkeypatch.setattr(cropped_masks, "_CANVAS_PIXELS", drawn_at_once * 23 * 31 + 5)
    numbers = torch.randint(0, 8, (400,), generator=rng)
    boxes = boxes_to_read(rng, 400).to(dtype)
    ours, theirs = (masks[numbers] for masks in pair)
    drawn, draw = [], CroppedMasks._draw

    def counted(self, windows, of_type):
        drawn.append(len(windows))
        return draw(self, windows, of_type)

    monkeypatch.setattr(CroppedMasks, "_draw", counted)
    for side in (1, 7, 28):
        drawn.clear()
        got = ours.crop_and_resize(boxes, side)
        assert sum(drawn) == 8  # each mask once
        assert max(drawn) == drawn_at_once
        assert got.dtype == torch.bool
        assert torch.equal(got, theirs.crop_and_resize(boxes, side))
    assert 0.02 < got.float().mean() < 0.9


def test_crop_is_what_drawing_asks_for(pair):
    for number, whole in enumerate(pair[1]):
        pixels, top, left = pair[0].crop(number)
        mask = np.zeros(SIZE_HW, dtype=bool)
        mask[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        np.testing.assert_array_equal(mask, whole.numpy())


def test_an_image_larger_than_what_is_drawn_at_once(monkeypatch, pair):
    monkeypatch.setattr(cropped_masks, "_CANVAS_PIXELS", 10)
    boxes = torch.tensor([[2.0, 3.0, 20.5, 18.0]] * 8)
    assert torch.equal(*(masks.crop_and_resize(boxes, 9) for masks in pair))
    with pytest.raises(AssertionError, match="7 boxes of 8 masks"):
        pair[0].crop_and_resize(boxes[1:], 9)
