"""The subdivision loop."""

from unittest.mock import Mock

import numpy as np
import pytest
import torch

from pointrend_ext.layers import cell_centers, fold_subdivision, foreground_uncertainty, subdivide


def refine(logits, predict, steps, num_points, uncertainty=foreground_uncertainty):
    return subdivide(logits, predict, steps=steps, num_points=num_points, uncertainty=uncertainty)


def smooth(coords):
    """A function of the coordinates that depends on the region, as (N, 1, P) logits."""
    x, y = coords.unbind(-1)
    region = torch.arange(1, len(coords) + 1, dtype=coords.dtype)[:, None]
    return (torch.sin(7 * x * region) + torch.cos(5 * y) - 0.3).unsqueeze(1)


def dense(num_maps, size_hw, predict=smooth):
    coords = cell_centers(size_hw, dtype=torch.float64, device=torch.device("cpu"))
    return predict(coords.expand(num_maps, -1, -1)).view(num_maps, -1, *size_hw)


@pytest.mark.parametrize("num_points", [6, 10**6])
@pytest.mark.parametrize("size_hw", [(3, 3), (2, 5)])
def test_equals_a_loop(oracle, rng, size_hw, num_points):
    logits = torch.randn(2, 1, *size_hw, generator=rng, dtype=torch.float64)
    before, predict = logits.clone(), Mock(side_effect=smooth)
    assert torch.equal(refine(logits, predict, 0, num_points), logits)
    assert not predict.called  # without a step
    assert refine(logits[:0], smooth, 2, num_points).shape == (0, 1, *(4 * s for s in size_hw))
    got = refine(logits, smooth, 3, num_points)
    assert torch.equal(logits, before)
    for region, plane in enumerate(logits[:, 0].numpy()):
        for _ in range(3):
            plane = oracle.upsample(plane)
            height, width = plane.shape
            for cell in np.argsort(np.abs(plane).ravel())[:num_points]:
                x, y = (cell % width + 0.5) / width, (cell // width + 0.5) / height
                plane.flat[cell] = np.sin(7 * x * (region + 1)) + np.cos(5 * y) - 0.3
        expected = torch.from_numpy(plane)
        torch.testing.assert_close(got[region, 0], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("num_points", [195, 196, 783, 784, 3136])
def test_folding_changes_nothing(num_points):
    side, steps = fold_subdivision(7, 3, num_points)
    folded = refine(dense(2, (side, side)), smooth, steps, num_points)
    plain = refine(dense(2, (7, 7)), smooth, 3, num_points)
    torch.testing.assert_close(folded, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("num_points", "expected"),
    [
        (195, (7, 5)),
        (196, (14, 4)),
        (783, (14, 4)),
        (784, (28, 3)),
        (3136, (56, 2)),
        (50_176, (224, 0)),
        (448**2, (224, 0)),
        (10**6, (224, 0)),
        (1, (7, 5)),
    ],
)
def test_fold_by_hand(num_points, expected):
    assert fold_subdivision(7, 5, num_points) == expected
    side, steps = expected
    assert side * 2**steps == 224
    assert fold_subdivision(7, 0, num_points) == (7, 0)


def test_all_channels_of_a_chosen_cell_are_written():
    # K = 3: cell chosen by the gap between the two best channels, all three channels replaced
    logits = torch.tensor([[4.0, 0.0, 0.0], [1.0, 1.0, 0.0]]).T.reshape(1, 3, 1, 2).contiguous()

    def gap(x):
        best = x.topk(2, dim=1).values
        return -(best[:, :1] - best[:, 1:])

    answer = torch.tensor([7.0, 8.0, 9.0]).view(1, 3, 1)
    got = refine(logits, lambda c: answer.expand(1, 3, c.shape[1]), 1, 2, gap)
    assert torch.equal(got[0, :, :, 3], answer[0].expand(3, 2))
    assert not (got[0, :, :, :3] >= 7).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_logits(channels, rng):
    logits = torch.randn(2, channels, 4, 5, generator=rng)

    def predict(coords):
        return torch.stack([coords.sum(-1) + k for k in range(channels)], dim=1)

    def uncertainty(x):
        return foreground_uncertainty(x[:, :1])

    plain = refine(logits, predict, 2, 9, uncertainty)
    last = refine(logits.to(memory_format=torch.channels_last), predict, 2, 9, uncertainty)
    torch.testing.assert_close(last, plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_answers_take_the_type_of_the_logits_and_coordinates_at_least_32_bits(dtype):
    predict = Mock(side_effect=lambda coords: torch.full((1, 1, coords.shape[1]), 2.0))
    got = refine(torch.zeros(1, 1, 2, 2, dtype=dtype), predict, 2, 64)
    assert got.dtype == dtype
    assert torch.equal(got, torch.full_like(got, 2.0))
    wide = torch.promote_types(dtype, torch.float32)
    assert [call.args[0].dtype for call in predict.call_args_list] == [wide] * 2


def test_nan_logits_are_looked_at_and_repaired():
    logits = torch.full((1, 1, 4, 4), 5.0).double()
    logits[0, 0, 0, 0] = float("nan")
    got = refine(logits, smooth, 1, 9)  # 3 x 3 cells of the doubled map touch the bad one
    assert got.isfinite().all()


def test_gradient_reaches_the_start_and_the_answers():
    logits = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    refine(logits, lambda c: scale * smooth(c), 2, 4).sum().backward()
    assert logits.grad.abs().sum() > 0
    assert scale.grad != 0
