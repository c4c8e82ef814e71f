"""The tool exports what it names, prints the report, and ends in one line for a mistake."""

import json

import pytest
import torch

onnx = pytest.importorskip("onnx", reason="the oldest supported set does without export")
TOY = "Toy/pointrend_mask_head_toy.yaml"


@pytest.fixture
def words(detector, tmp_path):
    """A command line without its options: trained weights of the toy model."""
    built = detector()
    weights = tmp_path / "weights.pth"
    torch.save({"model": built.model.state_dict()}, weights)
    return ["--config-file", TOY, "--weights", weights, "--device", "cpu"]


def test_a_mask_head(call_tool, words, tmp_path, capsys):
    target = tmp_path / "out" / "masks.onnx"
    options = "--part", "mask_head", "--together", "--output", target
    code = call_tool("export_model", *options, *words)
    output = capsys.readouterr().out
    assert code == 0
    assert f"Written to {target}, {target.stat().st_size / 1e6:.1f} MB" in output
    assert "share of cells on the other side of 0.5" in output
    proto = onnx.load(target)
    assert "Loop" not in {node.op_type for node in proto.graph.node}
    told = json.loads(proto.metadata_props[0].value)
    assert told["classes"] == ["star", "gear", "blob", "ring", "letter", "plate"]
    assert told["thresholds"]["score"] == 0.05


def test_mistakes(call_tool, words, tmp_path, capsys):
    for more, said in (
        (["--output", tmp_path / "a.pth"], "its name must end in .onnx"),
        (["--output", tmp_path / "a.onnx", "--logits"], "export.output is 'logits'"),
        (["--output", tmp_path / "a.onnx", "--check-images", tmp_path / "b.jpg"], "b.jpg"),
        (["--output", tmp_path / "a.onnx", "--confidence", 2], "Predictor.confidence is 2.0"),
    ):
        assert call_tool("export_model", *more, *words) == 2
        errors = capsys.readouterr().err.splitlines()
        assert len([line for line in errors if "Error:" in line]) == 1
        assert said in errors[-1]
    assert call_tool("export_model", "--config-file", TOY, "--output", tmp_path / "a.onnx",
                     "MODEL.WEIGHTS", "") == 2  # fmt: skip
    assert "No weights" in capsys.readouterr().err
    assert not (tmp_path / "a.onnx").exists()
