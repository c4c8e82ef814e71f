"""``PointRendSemanticHead.labels``: the arg max of its logits, in a fraction of the memory."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pointrend_ext.layers.fast import label_grid, upsampled_labels
from pointrend_ext.modeling.sem_seg import label_map


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
