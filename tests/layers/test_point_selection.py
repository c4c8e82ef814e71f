"""Training points and refinement cells."""

from unittest.mock import Mock

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


@pytest.mark.parametrize(
    ("num_points", "ratio", "share", "num_candidates", "num_important"),
    [(10, 3, 0, 30, 0), (10, 3, 0.5, 30, 5), (10, 3, 1, 30, 10), (7, 1.5, 0.75, 10, 5)],
)
def test_fractions_round_down(num_points, ratio, share, num_candidates, num_important):
    candidates = torch.rand(num_candidates, 2, generator=seeded(2)).tolist()
    uncertainty = Mock(side_effect=foreground_uncertainty)
    (points,) = get_uncertain_point_coords_with_randomness(
        torch.randn(1, 1, 4, 4), uncertainty, num_points, ratio, share, generator=seeded(2)
    ).tolist()
    is_candidate = [point in candidates for point in points]
    assert is_candidate == [True] * num_important + [False] * (num_points - num_important)
    assert [call.args[0].shape for call in uncertainty.call_args_list] == [(1, 1, num_candidates)]


def test_the_generator_decides_or_else_the_global_state():
    logits = torch.randn(2, 1, 4, 4)
    first = select(logits, generator=seeded(3))
    assert torch.equal(first, select(logits, generator=seeded(3)))
    assert not torch.equal(first, select(logits, generator=seeded(4)))
    torch.manual_seed(3)
    assert torch.equal(first, select(logits))


def test_extents_scale_what_is_drawn():
    logits, extents = torch.zeros(2, 1, 4, 4), torch.tensor([[1.0, 1.0], [0.5, 0.25]])
    whole, part = (
        select(logits, generator=seeded()),
        select(logits, extents=extents, generator=seeded()),
    )
    torch.testing.assert_close(part, whole * extents[:, None])  # all are equally uncertain


@pytest.mark.parametrize("value", [0.0, torch.nan])
@pytest.mark.parametrize("maps", [0, 3])
def test_ties_and_nan_give_points_inside_twice_the_same(maps, value):
    logits = torch.full((maps, 1, 7, 7), value)
    points = select(logits, generator=seeded())
    assert points.shape == (maps, 196, 2)
    assert ((points >= 0) & (points < 1)).all()
    assert torch.equal(points, select(logits, generator=seeded()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_training_points_have_at_least_32_bits(dtype):
    points = select(torch.rand(1, 1, 7, 7).to(dtype))
    assert points.dtype == torch.promote_types(dtype, torch.float32)


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


@pytest.mark.parametrize("num_points", [8, 20, 21, 10**6])
def test_equals_sorting_on_a_map_that_is_not_contiguous(rng, num_points):
    scores = torch.randn(2, 1, 7, 5, generator=rng).transpose(2, 3)[:, :, :, ::2]
    cells, _ = get_uncertain_point_coords_on_grid(scores, num_points)
    for row, plane in zip(cells.tolist(), scores.flatten(1).tolist(), strict=True):
        ranked = sorted(range(len(plane)), key=lambda c, p=plane: -p[c])
        assert sorted(row) == sorted(ranked[:num_points])


@pytest.mark.parametrize("value", [0.0, torch.nan])
@pytest.mark.parametrize("maps", [0, 2])
def test_ties_and_nan_give_distinct_legal_cells_twice_the_same(maps, value):
    scores = foreground_uncertainty(torch.full((maps, 1, 6, 6), value))
    cells, coords = get_uncertain_point_coords_on_grid(scores, 10)
    assert (cells.shape, coords.shape) == ((maps, 10), (maps, 10, 2))
    assert all(len(set(row)) == 10 for row in cells.tolist())
    assert ((cells >= 0) & (cells < 36)).all()
    assert torch.equal(cells, get_uncertain_point_coords_on_grid(scores, 10)[0])


def test_a_wide_map_has_exact_centres():
    scores = torch.zeros(1, 1, 1024, 2048)
    scores[0, 0, 1000, 2001] = 1
    cells, coords = get_uncertain_point_coords_on_grid(scores, 1)
    assert cells.item() == 1000 * 2048 + 2001
    assert (coords[0, 0] * torch.tensor([2048, 1024])).tolist() == [2001.5, 1000.5]
