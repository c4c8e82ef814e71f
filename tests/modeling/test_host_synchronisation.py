"""Inference of the mask head never makes the host wait for its accelerator."""

import pytest
import torch

CASES = [{}, {"MASK_POINT_HEAD__IN_FEATURES": ("p2", "p3")}, {"ROI_HEADS__NUM_CLASSES": 1}]


def inputs_on(device, tiny, counts, layout):
    features = {k: v.to(device, memory_format=layout) for k, v in tiny.features().items()}
    boxes = [[[4.0 + n, 2.5, 20.0, 18.5 + n] for n in range(count)] for count in counts]
    detections = tiny.detections(boxes, [[0] * count for count in counts])
    return features, [x.to(device) for x in detections]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("counts", [(2, 3), (0, 0), (100, 150)])
@pytest.mark.parametrize("overrides", CASES)
def test_mask_head_asks_for_no_value(tiny, no_waiting, overrides, counts, layout):
    head = tiny.head(**overrides).eval().to("meta")
    features, detections = inputs_on("meta", tiny, counts, layout)
    with no_waiting():
        found = head(features, detections)
    assert [tuple(x.pred_masks.shape) for x in found] == [(count, 1, 12, 12) for count in counts]
    assert found[0].pred_masks.device.type == "meta"


def test_the_check_sees_what_it_is_for(no_waiting):
    offences = [
        lambda x: torch.tensor([1, 2], device=x.device),
        lambda x: torch.zeros(2).to(x.device),
        lambda x: x.new_tensor([1.0]),
    ]
    for offence in offences:
        with pytest.raises(AssertionError), no_waiting():
            offence(torch.zeros(2, device="meta"))
    for offence in (torch.Tensor.item, torch.Tensor.tolist, torch.nonzero, bool):
        with pytest.raises((RuntimeError, NotImplementedError)), no_waiting():
            offence(torch.zeros(1, device="meta"))
    with no_waiting():
        torch.zeros(2).to("meta", non_blocking=True)


@pytest.mark.gpu
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("counts", [(2, 3), (100, 150)])
def test_mask_head_does_not_wait_for_the_gpu(tiny, no_cuda_waiting, counts, layout):
    head = tiny.head().eval().cuda()
    features, detections = inputs_on("cuda", tiny, counts, layout)
    with torch.inference_mode():
        expected = torch.cat([x.pred_masks for x in head(features, detections)])
    with no_cuda_waiting():
        found = head(features, detections)
    assert torch.equal(torch.cat([x.pred_masks for x in found]), expected)
