"""Suppression by groups against a slow loop, in PyTorch and in ONNX."""

import io
import zipfile

import numpy as np
import pytest
import torch

from pointrend_ext.deploy.graphs import Graph
from pointrend_ext.deploy.nms import LOWEST_SCORE, nms
from pointrend_ext.deploy.recording import record_program, to_onnx
from pointrend_ext.deploy.running import OnnxRunner, ProgramRunner

IOU, SCORE, LIMIT = 0.5, 0.3, 7


class Suppression(Graph):
    def __init__(self):
        super().__init__()
        self.inputs = {"boxes": ("G", "N", 4), "scores": ("G", "N")}
        self.outputs = {"rows": ("M", 2)}

    def predict(self, boxes, scores):
        return nms(boxes, scores, IOU, SCORE, LIMIT)

    def example(self):
        return random_boxes(3, 9, 0)


def random_boxes(groups, number, seed):
    rng = torch.Generator().manual_seed(seed)
    corners = torch.rand(groups, number, 2, generator=rng) * 20
    sides = torch.rand(groups, number, 2, generator=rng) * 15 + 5
    scores = torch.rand(groups, number, generator=rng)
    return torch.cat((corners, corners + sides), dim=2), scores


def slowly(boxes, scores):
    """Of each group, best first, what no kept one overlaps too much; then the best of all."""
    kept = []
    for group in range(len(boxes)):
        own = []
        for number in sorted(range(boxes.shape[1]), key=lambda n: -scores[group, n]):
            x0, y0, x1, y1 = boxes[group, number].tolist()
            overlaps = []
            for other in own:
                a0, b0, a1, b1 = boxes[group, other].tolist()
                width, height = min(x1, a1) - max(x0, a0), min(y1, b1) - max(y0, b0)
                both = max(width, 0) * max(height, 0)
                overlaps.append(both / ((x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - both))
            if scores[group, number] > SCORE and max(overlaps, default=0) <= IOU:
                own.append(number)
        kept += [(float(scores[group, n]), [group, n]) for n in own]
    return [row for _, row in sorted(kept, reverse=True)][:LIMIT]


@pytest.fixture(scope="module")
def recorded():
    graph = Suppression()
    program = record_program(graph)
    return OnnxRunner(to_onnx(program, graph, 18)), ProgramRunner(program), program


def test_neither_names_nor_lines_of_source_files_are_in_a_program(recorded):
    file = io.BytesIO()
    torch.export.save(recorded[2], file)
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            assert b".py" not in archive.read(name), name


@pytest.mark.parametrize(("groups", "number"), [(1, 5), (2, 30), (4, 12), (80, 3), (3, 2)])
def test_all_forms_keep_what_the_loop_keeps(recorded, groups, number):
    boxes, scores = random_boxes(groups, number, seed=groups)
    expected = slowly(boxes, scores)
    assert nms(boxes, scores, IOU, SCORE, LIMIT).tolist() == expected
    if groups > 1:
        for run in recorded[:2]:
            assert run(boxes.numpy(), scores.numpy())[0].tolist() == expected


def test_nothing_is_kept_of_nothing_or_of_low_scores(recorded):
    boxes, scores = random_boxes(3, 8, 1)
    for low in (scores * SCORE, torch.full_like(scores, -torch.inf)):
        assert nms(boxes, low, IOU, SCORE, LIMIT).shape == (0, 2)
        assert recorded[0](boxes.numpy(), low.numpy())[0].shape == (0, 2)
    assert nms(boxes[:, :0], scores[:, :0], IOU, SCORE, LIMIT).shape == (0, 2)


def test_of_minus_infinity_nothing_passes_the_lowest_threshold():
    boxes, scores = random_boxes(1, 6, 2)
    scores[0, 2], scores[0, 3] = -torch.inf, -1e30
    kept = nms(boxes, scores, 1.0, LOWEST_SCORE, 100)[:, 1].tolist()
    assert sorted(kept) == [0, 1, 3, 4, 5]
    assert kept[-1] == 3
    assert np.isfinite(LOWEST_SCORE)
