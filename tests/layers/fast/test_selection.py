"""The largest of many numbers: those of a full search, whatever the sample says."""

import pytest
import torch

from pointrend_ext.layers.fast import selection
from pointrend_ext.layers.fast.selection import top_indices


def check(scores, count):
    got = top_indices(scores, count)
    assert got.shape == (len(scores), count)
    assert got.dtype == torch.int64
    for row, chosen in zip(scores, got, strict=True):
        assert len(chosen.unique()) == count
        values = row[chosen].sort(descending=True).values
        assert torch.equal(values, row.topk(count).values)


@pytest.mark.parametrize("large", [selection._LARGE, 0])
@pytest.mark.parametrize("count", [0, 1, 2, 30, 100, 249, 250, 1000])
@pytest.mark.parametrize(
    "kind",
    ["noise", "ties", "equal", "mostly minus infinity", "ascending", "high sample", "low sample"],
)
def test_equals_a_full_search(rng, monkeypatch, kind, count, large):
    monkeypatch.setattr(selection, "_LARGE", large)
    monkeypatch.setattr(selection, "_SAMPLES", 50)
    scores = torch.randn(3, 1000, generator=rng)
    sample = torch.zeros(1000)
    sample[::20] = 1000  # the very places that are looked at
    scores = {
        "noise": scores,
        "ties": scores.round(),
        "equal": torch.zeros(3, 1000),
        "mostly minus infinity": scores.where(scores > 1.5, -torch.inf),
        "ascending": torch.arange(3000.0).view(3, 1000),
        "high sample": scores + sample,
        "low sample": scores - sample,
    }[kind]
    check(scores, count)
    check(scores[:0], count)  # no map


def test_at_the_usual_size(rng, monkeypatch):
    scores = torch.randn(1, selection._LARGE + 1, generator=rng)
    searched, topk = [], torch.Tensor.topk

    def spy(x, *args, **options):
        searched.append(x.numel())
        return topk(x, *args, **options)

    monkeypatch.setattr(torch.Tensor, "topk", spy)
    got = top_indices(scores, 2000)
    assert max(searched) < scores.numel() / 10  # else it saves nothing
    monkeypatch.undo()
    assert set(got[0].tolist()) == set(scores[0].topk(2000).indices.tolist())
