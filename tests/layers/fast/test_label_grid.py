"""Labels refined without the full logits: the arg max of the full logits, refined."""

import pytest
import torch

from pointrend_ext.layers import (
    class_uncertainty,
    exclude_padding,
    forms_for,
    refine,
    subdivide,
)
from pointrend_ext.layers.fast import LabelGrid, label_grid, upsampled_labels


def noise(generator, channels, size_hw):
    return torch.randn(channels, *size_hw, generator=generator, dtype=torch.float64)


def smooth(generator, channels, size_hw):
    """Broad waves: most neighbours agree on the class."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, side).double() for side in size_hw), indexing="ij")
    f = 3 * torch.rand(channels, 4, 1, 1, generator=generator, dtype=torch.float64)
    return 5 * torch.sin(2 * f[:, 0] * x + 3 * f[:, 1]) + 4 * torch.cos(f[:, 2] * y + 2 * f[:, 3])


def half(generator, channels, size_hw):
    """Waves to the left, noise to the right."""
    logits = smooth(generator, channels, size_hw)
    middle = size_hw[1] // 2
    logits[..., middle:] = noise(generator, channels, size_hw)[..., middle:]
    return logits


def columns(generator, channels, size_hw):
    """Vertical stripes of one class each, far ahead of the others."""
    logits = 0.1 * noise(generator, channels, size_hw)
    for column in range(size_hw[1]):
        logits[column // 4 % channels, :, column] += 8
    return logits


KINDS = {f.__name__: f for f in (noise, smooth, half, columns)}
FORMS = {"sparse": 2, "dense": -1, "as it comes": label_grid._DENSE_SHARE, "no CPU": 2}


def point_head(generator, channels):
    """Logits that depend on the place, from no map."""
    a, b, c = (6 * noise(generator, channels, (1,)) for _ in range(3))

    def predict(coords_map):
        x, y = coords_map.double().unbind(-1)
        return 3 * torch.sin(a * x[:, None] + b * y[:, None] + c)  # (1, C, P)

    return predict


def full(logits, predict, steps, num_points, size_px=None):
    """Full logits (C, H, W), and the chosen pixels of each step."""
    stride, chosen = 2**steps, []
    size_px = size_px or tuple(stride * side for side in logits.shape[1:])

    def uncertainty(x):
        cell = stride * logits.shape[1] / x.shape[2]
        scores = exclude_padding(class_uncertainty(x), [size_px], cell)
        best = scores.flatten().topk(min(num_points, scores.numel())).indices
        chosen.append(set(best.tolist()))
        return scores

    settings = {"steps": steps, "num_points": num_points, "uncertainty": uncertainty}
    return subdivide(logits[None], predict, **settings)[0], chosen


class Recorder(LabelGrid):
    def __init__(self, *args):
        super().__init__(*args)
        self.chosen, self.sizes, self.exact = [], [], []

    def most_uncertain(self, num_points):
        pixels, coords = super().most_uncertain(num_points)
        assert pixels.tolist() == sorted(set(pixels.tolist()))
        self.chosen.append(set(pixels.tolist()))
        self.sizes.append(tuple(self.labels.shape))
        self.exact.append(self._exact)
        return pixels, coords


def by_grid(logits, predict, steps, num_points, size_px=None, table=None):
    stride = 2**steps
    size_px = size_px or tuple(stride * side for side in logits.shape[1:])
    grid = Recorder(logits, size_px, stride, table)
    refine(grid, predict, steps=steps, num_points=num_points)
    return grid


def labels_of(logits):
    return (logits[0] > 0).long() if len(logits) == 1 else logits.argmax(0)


def check(logits, predict, steps, num_points, size_px=None):
    expected, chosen = full(logits, predict, steps, num_points, size_px)
    grid = by_grid(logits, predict, steps, num_points, size_px)
    size_px = size_px or tuple(expected.shape[1:])
    for pixels, wanted, (height, width) in zip(grid.chosen, chosen, grid.sizes, strict=True):
        scores = torch.zeros(1, 1, height, width)
        exclude_padding(scores, [size_px], expected.shape[1] // height)
        inside = set((scores.flatten() == 0).nonzero().flatten().tolist())
        assert pixels == wanted
        assert pixels <= inside or pixels > inside  # the padding comes last
    rows, columns = size_px
    assert torch.equal(grid.labels.long()[:rows, :columns], labels_of(expected)[:rows, :columns])
    return grid


@pytest.fixture(params=FORMS, autouse=True)
def form(request, monkeypatch):
    """Which pixels are looked at: those that have to be, all, as it comes, as on a GPU."""
    monkeypatch.setattr(label_grid, "_DENSE_SHARE", FORMS[request.param])
    monkeypatch.setattr(label_grid, "_CHUNK_LOGITS", 200)
    monkeypatch.setattr(upsampled_labels, "_BAND_CELLS", 40)
    with forms_for("cuda" if request.param == "no CPU" else "cpu"):
        yield request.param


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_arg_max_of_the_full_logits(rng, form, kind, channels, steps):
    logits = KINDS[kind](rng, channels, (6, 9))
    grid = check(logits, point_head(rng, channels), steps, 20)
    assert {exact is None for exact in grid.exact} <= {
        form in ("dense", "no CPU"),
        form != "sparse",
    }
    assert len(grid.chosen) == steps


@pytest.mark.parametrize(
    ("size_hw", "num_points"),
    # a map of one row doubles into two equal ones: which of them is chosen is not defined
    [((1, 1), 10**4), ((1, 7), 10**4), ((5, 1), 10**4), ((2, 3), 1), ((2, 3), 7), ((2, 3), 99)],
)
def test_small_maps_and_more_points_than_pixels(rng, size_hw, num_points):
    check(noise(rng, 3, size_hw), point_head(rng, 3), 3, num_points)


@pytest.mark.parametrize("size_px", [(48, 72), (47, 70), (21, 72), (48, 5), (30, 33), (1, 1)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_points", [12, 500])
def test_an_image_smaller_than_the_map(rng, kind, size_px, num_points):
    grid = check(KINDS[kind](rng, 4, (6, 9)), point_head(rng, 4), 3, num_points, size_px)
    for pixels, (height, width) in zip(grid.chosen, grid.sizes, strict=True):
        assert len(pixels) == min(num_points, height * width)


@pytest.mark.parametrize("seed", range(40))
def test_any_map(seed, form):
    rng = torch.Generator().manual_seed(seed)

    def draw(low, high):
        return int(torch.randint(low, high, (), generator=rng))

    channels, steps, size_hw = draw(1, 8), draw(1, 5), (draw(2, 14), draw(2, 14))
    kind = list(KINDS.values())[draw(0, len(KINDS))]
    size_px = tuple(draw(2**steps * side // 2, 2**steps * side + 1) for side in size_hw)
    check(kind(rng, channels, size_hw), point_head(rng, channels), steps, draw(1, 200), size_px)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_float32_labels_differ_in_near_ties_alone(seed, kind):
    rng = torch.Generator().manual_seed(seed)
    logits, predict = KINDS[kind](rng, 19, (6, 9)).float(), point_head(rng, 19)
    expected, _ = full(logits, predict, 3, 10**6)  # every pixel from the point head: no choice
    grid = by_grid(logits, predict, 3, 10**6)
    gaps = -class_uncertainty(expected[None])[0, 0]
    wrong = grid.labels.long() != labels_of(expected)
    assert (gaps[wrong] < 1e-5).all()
    assert wrong.float().mean() < 0.01


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_equal_logits_everywhere(channels, value):
    """Ties: the lower class, where no point was predicted."""
    logits = torch.full((channels, 5, 6), value)

    def predict(coords):
        return torch.arange(channels).view(1, -1, 1).expand(1, channels, coords.shape[1]) - 0.5

    grid = by_grid(logits, predict, 2, 7)

    assert len(grid.chosen[-1]) == 7
    assert (grid.labels.flatten()[list(grid.chosen[-1])] == channels - 1).all()
    if channels > 1:
        assert (grid.labels == 0).sum() >= 20 * 24 - 7 * 40


@pytest.mark.parametrize("channels", [1, 3])
def test_all_nan_is_looked_at(channels):
    logits = torch.full((channels, 4, 5), torch.nan)
    grid = by_grid(logits, point_head(torch.Generator(), channels), 2, 9)
    assert [len(chosen) for chosen in grid.chosen] == [9, 9]
    assert (grid.labels <= max(channels - 1, 1)).all()
    repaired = by_grid(logits, lambda c: torch.ones(1, channels, c.shape[1]), 2, 10**6)
    assert repaired.labels.eq(int(channels == 1)).all()


def test_a_nan_pixel_is_repaired(rng):
    logits = smooth(rng, 3, (6, 7)).float()
    predict = point_head(rng, 3)
    logits[1, 3, 3] = torch.nan
    expected, _ = full(logits, predict, 2, 60)
    grid = by_grid(logits, predict, 2, 60)
    finite = expected.isfinite().all(0)
    assert torch.equal(grid.labels.long()[finite], labels_of(expected)[finite])


@pytest.mark.parametrize(("channels", "dtype"), [(256, torch.uint8), (257, torch.int64)])
def test_many_classes(rng, channels, dtype):
    grid = check(3 * noise(rng, channels, (4, 5)), point_head(rng, channels), 2, 30)
    assert grid.labels.dtype == dtype
    assert grid.labels.max() > 200


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_are_refined_in_32(rng, dtype):
    logits = smooth(rng, 4, (6, 7)).to(dtype)
    predict = point_head(rng, 4)
    exact = by_grid(logits.float(), predict, 2, 30)
    grid = by_grid(logits, predict, 2, 30)
    assert grid.chosen == exact.chosen
    assert torch.equal(grid.labels, exact.labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_table_and_the_layout_change_nothing(rng, channels):
    logits, predict = smooth(rng, channels, (6, 7)), point_head(rng, channels)
    expected = by_grid(logits, predict, 3, 30)
    last = logits[None].to(memory_format=torch.channels_last)[0]
    sliced = logits.repeat_interleave(2, dim=2)[..., ::2]
    before = logits.clone()
    for got in (
        by_grid(logits, predict, 3, 30, table=logits.flatten(1).t().contiguous()),
        by_grid(sliced, predict, 3, 30),
        by_grid(last, predict, 3, 30),
        by_grid(last, predict, 3, 30, table=last.flatten(1).t()),
    ):
        assert got.chosen == expected.chosen
        assert torch.equal(got.labels, expected.labels)
    assert torch.equal(logits, before)
    assert torch.equal(sliced, before)


# ---- what it saves (memory: modeling/sem_seg/test_labels.py)


@pytest.mark.parametrize("form", ["sparse", "as it comes"], indirect=True)
def test_few_logits_are_computed_where_classes_agree(rng):
    grid = by_grid(smooth(rng, 8, (32, 48)), point_head(rng, 8), 2, 100)
    for exact, (height, width) in zip(grid.exact, grid.sizes, strict=True):
        assert len(exact) < height * width / 4
