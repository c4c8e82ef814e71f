"""Label maps: truth at points, arg max of logits, and ``PointRendSemanticHead.labels``, which finds
it in a fraction of the memory."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pointrend_ext.layers.fast import label_grid, upsampled_labels
from pointrend_ext.modeling.sem_seg.label_map import label_map, sample_map_labels


@pytest.mark.parametrize("ignore_value", [255, 11, -1, 0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_point_takes_the_label_of_its_pixel(ignore_value, dtype):
    # 2 x 3 pixels in a frame of 4 x 4 pixels
    labels = torch.tensor([[[7, 8, ignore_value], [0, 10, 300]]])
    points_px = [(0.1, 0.2), (1.9, 0.9), (1.5, 1.5), (2.9, 1.9), (2.5, 0.5), (0.5, 1.01)]
    beyond_px = [(3.1, 0.5), (0.5, 2.1), (3.9, 3.9), (4.0, 4.0)]
    coords = torch.tensor([points_px + beyond_px], dtype=dtype) / 4
    got = sample_map_labels(labels, coords, (4, 4), ignore_value)
    assert got.tolist() == [[7, 8, 10, 300, ignore_value, 0] + [ignore_value] * 4]
    assert got.dtype == torch.int64


def test_large_maps_are_read_to_the_pixel(rng):
    labels = torch.randint(0, 19, (1, 1017, 2041), generator=rng)
    coords = torch.rand(1, 20000, 2, generator=rng)
    got = sample_map_labels(labels, coords, (1024, 2048), 255)[0]
    px = coords[0].double() * torch.tensor([2048, 1024])
    column, row = px.long().unbind(1)
    inside = (column < 2041) & (row < 1017)
    assert (got[~inside] == 255).all()
    assert not inside.all()
    wrong = got[inside] != labels[0, row[inside], column[inside]]
    to_edge = (px - px.round()).abs().amin(1)[inside]
    assert (to_edge[wrong] < 1e-3).all()  # float32 on the edge between two pixels
    assert wrong.float().mean() < 1e-3


@pytest.mark.parametrize(
    ("logits", "expected", "dtype"),  # logits (N, C, 1, W)
    [
        # a tie goes to the lower class
        ([[[[1.0, 3, 2]], [[2, 3, -1]], [[0, 3, 5]]]], [[[1, 0, 2]]], torch.uint8),
        ([[[[-1.0, 0.0, 1e-6]]]], [[[0, 0, 1]]], torch.uint8),  # of one class it is the sign
        *(
            (torch.eye(n).view(n, n, 1, 1).tolist(), [[[i]] for i in range(n)], dtype)
            for n, dtype in ((2, torch.uint8), (256, torch.uint8), (257, torch.int64))
        ),
    ],
    ids=["three classes", "one", "2", "256", "257"],
)
def test_labels_of_logits(logits, expected, dtype):
    got = label_map(torch.tensor(logits))
    assert got.tolist() == expected
    assert got.dtype == dtype


@pytest.mark.parametrize("share", [-1, 2])
@pytest.mark.parametrize("stride", [4, 16])
@pytest.mark.parametrize("num_classes", [1, 2, 7])
@pytest.mark.parametrize("is_plain", [False, True])
@torch.no_grad()
def test_is_the_arg_max_of_the_logits(semantic, monkeypatch, num_classes, stride, share, is_plain):
    monkeypatch.setattr(label_grid, "_DENSE_SHARE", share)
    head = semantic.head(stride, SEM_SEG_HEAD__NUM_CLASSES=num_classes).eval()
    head = semantic.plain(head) if is_plain else head
    features, sizes = semantic.features((37, 53)), [(37, 53), (30, 21)]
    labels, logits = head.labels(features, image_sizes=sizes), head(features, image_sizes=sizes)[0]
    for got, expected, (rows, columns) in zip(labels, label_map(logits), sizes, strict=True):
        assert torch.equal(got[:rows, :columns], expected[:rows, :columns])
    assert torch.equal(head.labels(features), label_map(head(features)[0]))
    assert len(labels.unique()) > 1 or (num_classes, stride) == (2, 16)


class LargestFloats(TorchDispatchMode):
    """Numbers in the largest floating-point tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor) and x.is_floating_point():
                self.count = max(self.count, x.untyped_storage().nbytes() // x.element_size())
        return result


@pytest.mark.parametrize("share", [-1, 0.25])
@torch.no_grad()
def test_the_full_logits_are_never_built(semantic, monkeypatch, share):
    monkeypatch.setattr(label_grid, "_DENSE_SHARE", share)
    monkeypatch.setattr(label_grid, "_CHUNK_LOGITS", 10_000)
    monkeypatch.setattr(upsampled_labels, "_BAND_CELLS", 500)
    head = semantic.head(16, SEM_SEG_HEAD__NUM_CLASSES=40).eval()
    features = semantic.features((160, 224), num_images=1)
    full_count = 40 * math.prod((160, 224))
    with LargestFloats() as of_logits:
        head(features)
    assert of_logits.count >= full_count
    with LargestFloats() as of_labels:
        head.labels(features)
    assert of_labels.count < full_count / 8


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("output", ["forward", "labels"])
def test_asks_for_no_value(semantic, no_waiting, output, layout, num_classes):
    head = semantic.head(16, SEM_SEG_HEAD__NUM_CLASSES=num_classes).eval().to("meta")
    features = {
        name: feature.contiguous(memory_format=layout).to("meta")
        for name, feature in semantic.features((37, 53)).items()
    }
    with no_waiting():
        getattr(head, output)(features, image_sizes=[(37, 53), (30, 21)])


@pytest.mark.gpu
@pytest.mark.parametrize("output", ["forward", "labels"])
def test_does_not_wait_for_the_gpu(semantic, no_cuda_waiting, output):
    head = semantic.head(16).eval().cuda()
    features = {name: x.cuda() for name, x in semantic.features((37, 53)).items()}
    call, sizes = getattr(head, output), [(37, 53), (30, 21)]
    with torch.inference_mode():
        call(features, image_sizes=sizes)
    with no_cuda_waiting():
        call(features, image_sizes=sizes)
