"""A point head's weights, taken apart: put together again they are the same head."""

from __future__ import annotations

import pytest
import torch

from pointrend_ext.modeling.point_head.fast.split_layers import SplitPointLayers

LEVELS = {("p2",): [6], ("p3", "p2"): [5, 6]}


def split(head, inputs):
    return SplitPointLayers.of(head, [feature.shape[1] for feature in inputs.features])


@pytest.mark.parametrize("each_layer", [True, False])
@pytest.mark.parametrize("num_fc", [1, 2, 3])
@pytest.mark.parametrize("names", LEVELS)
@pytest.mark.parametrize("channels", [1, 4])
@torch.no_grad()
def test_put_together_again(regions, rng, channels, names, num_fc, each_layer):
    inputs = regions.inputs(names=names, channels=channels)
    head = regions.point_head(inputs, num_fc=num_fc, coarse_pred_each_layer=each_layer)
    layers = split(head, inputs)
    assert [part.shape[1] for part in layers.fine] == LEVELS[names]
    assert len(layers.coarse) == 7 * (num_fc if each_layer else 1)
    assert (layers.out_coarse is not None) == each_layer

    fine = torch.randn(2, sum(LEVELS[names]), 9, generator=rng, dtype=torch.float64)
    coarse = torch.randn(2, channels, 9, generator=rng, dtype=torch.float64)
    fine_rows, coarse_rows, expected = (
        x.transpose(1, 2).flatten(0, 1) for x in (fine, coarse, head(fine, coarse))
    )
    parts = zip(fine_rows.split(LEVELS[names], dim=1), layers.fine, strict=True)
    first = sum(part @ weight.t() for part, weight in parts) + layers.biases[0]
    weights = layers.coarse.split(7)
    hidden = layers.run(first, lambda number: coarse_rows @ weights[number].t())
    logits = hidden @ layers.out.t() + layers.out_bias
    if each_layer:
        logits = logits + coarse_rows @ layers.out_coarse.t()
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)


def test_is_differentiable_and_follows_the_weights(regions):
    inputs = regions.inputs()
    head = regions.point_head(inputs)
    layers = split(head, inputs)
    everything = [*layers.fine, *layers.hidden, *layers.biases]
    everything += [layers.coarse, layers.out, layers.out_coarse, layers.out_bias]
    sum(part.sum() for part in everything).backward()
    for parameter in head.parameters():  # each weight is in exactly one part
        assert torch.equal(parameter.grad, torch.ones_like(parameter))
    with torch.no_grad():
        head.fc2.weight.fill_(9)
    assert (split(head, inputs).hidden[0] == 9).all()


def test_matrices_that_are_multiplied_with_many_rows_are_contiguous(regions):
    inputs = regions.inputs(names=("p2", "p3"))
    layers = split(regions.point_head(inputs), inputs)
    assert all(part.is_contiguous() for part in (*layers.fine, *layers.hidden, layers.coarse))
