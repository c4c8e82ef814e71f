"""Training points and refinement cells."""

from __future__ import annotations

import pytest
import torch

from pointrend_ext.layers import (
    foreground_uncertainty,
    get_uncertain_point_coords_on_grid,
    get_uncertain_point_coords_with_randomness,
)


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


def select(logits, num_points=196, ratio=3, share=0.75, **options):
    return get_uncertain_point_coords_with_randomness(
        logits, foreground_uncertainty, num_points, ratio, share, **options
    )


# ---- training points


def test_147_most_uncertain_of_588_candidates_and_49_fresh_ones(oracle):
    logits = torch.randn(2, 1, 7, 7, generator=seeded(), dtype=torch.float64)
    points = select(logits, generator=seeded(1))

    generator = seeded(1)  # the same draws: candidates first, then coverage
    candidates = torch.rand(2, 588, 2, generator=generator, dtype=torch.float64)
    fresh = torch.rand(2, 49, 2, generator=generator, dtype=torch.float64)
    assert points.shape == (2, 196, 2)
    assert torch.equal(points[:, 147:], fresh)
    for region in range(2):
        plane = logits[region, 0].numpy()
        ranked = sorted(
            candidates[region].tolist(), key=lambda p, m=plane: abs(oracle.bilinear(m, *p))
        )
        expected = {tuple(p) for p in ranked[:147]}
        assert {tuple(p) for p in points[region, :147].tolist()} == expected


def test_statistics_of_importance_and_coverage():
    # left half sure background, right half sure foreground: uncertain only around x = 0.5
    logits = torch.full((50, 1, 8, 8), -4.0)
    logits[..., 4:] = 4.0
    points = select(logits, share=0.25, generator=seeded())
    important, coverage = points[:, :49], points[:, 49:]
    inner = important[((important - 0.5).abs() < 0.4).all(-1)]  # away from the zero padding
    assert len(inner) > 1500
    assert (inner[:, 0] - 0.5).abs().max() < 1 / 16  # within half a cell of the step
    # 50 * 147 uniform points: mean 1/2, variance 1/12 in both directions
    torch.testing.assert_close(coverage.mean((0, 1)), torch.full((2,), 0.5), rtol=0, atol=0.02)
    torch.testing.assert_close(coverage.var((0, 1)), torch.full((2,), 1 / 12), rtol=0, atol=0.005)
    assert coverage.min() >= 0
    assert coverage.max() < 1


def test_uncertainty_of_sampled_logits_not_sampled_uncertainty():
    # Cells -1 | +1: midway the logit is 0. A sampled uncertainty map would be constant there.
    logits = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2).expand(1, 1, 64, 2)
    points = select(logits, num_points=64, ratio=8, share=1.0, generator=seeded())
    inner = points[0][(points[0, :, 1] - 0.5).abs() < 0.45]  # away from the zero padding
    assert len(inner) > 30
    assert (inner[:, 0] - 0.5).abs().max() < 0.15


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_share_of_important_points(share):
    calls = []

    def uncertainty(logits):
        calls.append(logits.shape)
        return foreground_uncertainty(logits)

    generator = seeded(2)
    candidates = torch.rand(1, 30, 2, generator=generator)
    points = get_uncertain_point_coords_with_randomness(
        torch.randn(1, 1, 4, 4), uncertainty, 10, 3, share, generator=seeded(2)
    )
    from_candidates = [any(torch.equal(p, c) for c in candidates[0]) for p in points[0]]
    assert from_candidates == [True] * int(share * 10) + [False] * (10 - int(share * 10))
    assert calls == [(1, 1, 30)]


def test_fractional_ratios_round_down():
    points = select(torch.randn(1, 1, 3, 3), num_points=7, ratio=1.5, share=0.75)
    assert points.shape == (1, 7, 2)  # 10 candidates, 5 of them kept, 2 fresh


def test_the_generator_decides_or_else_the_global_state():
    logits = torch.randn(2, 1, 4, 4)
    first = select(logits, generator=seeded(3))
    assert torch.equal(first, select(logits, generator=seeded(3)))
    assert not torch.equal(first, select(logits, generator=seeded(4)))
    torch.manual_seed(3)
    assert torch.equal(first, select(logits))


def test_ties_do_not_crash_and_two_runs_agree():
    logits = torch.zeros(3, 1, 7, 7)
    assert torch.equal(select(logits, generator=seeded()), select(logits, generator=seeded()))


def test_nan_logits_give_points_inside():
    points = select(torch.full((2, 1, 7, 7), float("nan")), generator=seeded())
    assert points.isfinite().all()
    assert points.min() >= 0
    assert points.max() < 1


def test_no_map():
    assert select(torch.rand(0, 1, 7, 7)).shape == (0, 196, 2)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_training_points_have_at_least_32_bits(dtype, expected):
    assert select(torch.rand(1, 1, 7, 7).to(dtype)).dtype == expected


def test_other_projects_may_call_it_with_several_channels():
    # Mask2Former's use: its own uncertainty over (N, C, P), positional arguments
    logits = torch.randn(2, 3, 8, 8)
    points = get_uncertain_point_coords_with_randomness(
        logits, lambda x: -x.abs().amax(1, keepdim=True), 16, 3, 0.75
    )
    assert points.shape == (2, 16, 2)


# ---- cells of a grid


def test_most_uncertain_cells_by_hand():
    scores = torch.tensor([[-5.0, -1.0, -4.0], [-2.0, -6.0, -3.0]]).view(1, 1, 2, 3)
    cells, coords = get_uncertain_point_coords_on_grid(scores, 3)
    assert sorted(cells[0].tolist()) == [1, 3, 5]
    by_cell = dict(zip(cells[0].tolist(), coords[0].tolist(), strict=True))
    assert by_cell[1] == pytest.approx([1 / 2, 1 / 4])
    assert by_cell[3] == pytest.approx([1 / 6, 3 / 4])
    assert by_cell[5] == pytest.approx([5 / 6, 3 / 4])


@pytest.mark.parametrize("num_points", [6, 7, 10**6])
def test_at_most_all_cells(num_points):
    cells, _ = get_uncertain_point_coords_on_grid(torch.randn(2, 1, 2, 3), num_points)
    assert [sorted(row) for row in cells.tolist()] == [list(range(6))] * 2


def test_each_map_is_ranked_alone():
    scores = torch.tensor([[0.0, -1.0], [-9.0, -7.0]]).view(2, 1, 1, 2)
    assert get_uncertain_point_coords_on_grid(scores, 1)[0].tolist() == [[0], [1]]


def test_equals_sorting_on_a_map_that_is_not_contiguous(rng):
    scores = torch.randn(2, 1, 7, 5, generator=rng).transpose(2, 3)[:, :, :, ::2]
    cells, _ = get_uncertain_point_coords_on_grid(scores, 8)
    for row, plane in zip(cells.tolist(), scores.flatten(1).tolist(), strict=True):
        ranked = sorted(range(len(plane)), key=lambda c, p=plane: -p[c])
        assert sorted(row) == sorted(ranked[:8])


def test_ties_and_nan_give_distinct_legal_cells_twice_the_same():
    for value in (0.0, float("nan")):
        scores = foreground_uncertainty(torch.full((2, 1, 6, 6), value))
        cells, _ = get_uncertain_point_coords_on_grid(scores, 10)
        assert all(len(set(row)) == 10 for row in cells.tolist())
        assert cells.min() >= 0
        assert cells.max() < 36
        assert torch.equal(cells, get_uncertain_point_coords_on_grid(scores, 10)[0])


def test_grid_without_maps():
    cells, coords = get_uncertain_point_coords_on_grid(torch.rand(0, 1, 4, 4), 5)
    assert cells.shape == (0, 5)
    assert coords.shape == (0, 5, 2)


def test_a_wide_map_has_exact_centres():
    scores = torch.zeros(1, 1, 1024, 2048)
    scores[0, 0, 1000, 2001] = 1
    cells, coords = get_uncertain_point_coords_on_grid(scores, 1)
    assert cells.item() == 1000 * 2048 + 2001
    assert (coords[0, 0] * torch.tensor([2048, 1024])).tolist() == [2001.5, 1000.5]
