"""Logits computed where they are asked for: those of the full map, whatever has happened to it."""

import numpy as np
import pytest
import torch

from pointrend_ext.layers.fast.lazy_logits import LazyLogits


def history(rng, size_hw, writes, channels=3):
    """A ``LazyLogits`` after doublings, each with a write of that many pixels; and by a loop."""
    start = torch.randn(channels, *size_hw, generator=rng, dtype=torch.float64)
    lazy, steps = LazyLogits(start), []
    height, width = size_hw
    for count in writes:
        height, width = 2 * height, 2 * width
        pixels = torch.randperm(height * width, generator=rng)[:count].sort().values
        values = torch.randn(len(pixels), channels, generator=rng, dtype=torch.float64)
        lazy.double()
        if count:
            lazy.write(pixels, values)
        steps.append((pixels, values))
    return start, lazy, steps


def by_loop(oracle, start, steps):
    planes = start.numpy().copy()
    for pixels, values in steps:
        planes = np.stack([oracle.upsample(plane) for plane in planes])
        planes.reshape(len(planes), -1)[:, pixels.numpy()] = values.t().numpy()
    return torch.from_numpy(planes)


@pytest.mark.parametrize("writes", [[0], [5], [0, 0, 0], [5, 0, 7], [4, 9, 30], [10**6, 3]])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 4), (3, 5)])
def test_pixels_and_rows_equal_the_loop(oracle, rng, size_hw, writes):
    start, lazy, steps = history(rng, size_hw, writes)
    expected = by_loop(oracle, start, steps)
    every = torch.arange(expected[0].numel())
    read = lazy.read(every)
    torch.testing.assert_close(read, expected.flatten(1).t(), rtol=0, atol=1e-12)
    some = torch.randint(len(every), (17,), generator=rng)  # in any order, some of them twice
    torch.testing.assert_close(lazy.read(some), read[some], rtol=0, atol=0)
    height = expected.shape[1]
    assert lazy.size_hw == tuple(expected.shape[1:])
    for start in range(height):
        for stop in range(start + 1, height + 1):
            rows = lazy.rows(start, stop)
            torch.testing.assert_close(rows, expected[:, start:stop], rtol=0, atol=1e-12)


def test_rows_without_doubling_are_a_view(rng):
    start = torch.randn(3, 4, 5, generator=rng)
    rows = LazyLogits(start).rows(1, 3)
    assert torch.equal(rows, start[:, 1:3])
    assert rows.data_ptr() == start[:, 1:].data_ptr()


def test_a_table_of_the_start_is_read_in_its_place(rng):
    start, other = torch.randn(2, 3, 4, 5, generator=rng)
    lazy = LazyLogits(start, other.flatten(1).t())
    expected = LazyLogits(other)
    for x in (lazy, expected):
        x.double()
    every = torch.arange(80)
    assert lazy.read(every).dtype == torch.float32
    torch.testing.assert_close(lazy.read(every), expected.read(every))
    assert not torch.allclose(lazy.rows(0, 8), expected.rows(0, 8))


def test_neither_the_start_nor_what_was_written_is_modified(rng):
    start, lazy, steps = history(rng, (3, 5), [6, 9])
    before = start.clone(), [values.clone() for _, values in steps]
    assert lazy.read(torch.arange(0)).shape == (0, 3)
    first = lazy.read(torch.arange(100))
    expected = first.clone()
    first.fill_(7)
    assert torch.equal(lazy.read(torch.arange(100)), expected)
    for bounds in ((0, 12), (2, 5)):
        lazy.rows(*bounds).fill_(7)
    assert torch.equal(start, before[0])
    assert all(torch.equal(a, b) for (_, a), b in zip(steps, before[1], strict=True))
