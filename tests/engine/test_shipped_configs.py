"""Every configuration that is shipped builds its model, and states nothing that nothing reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pointrend_ext.engine import Trainer, load_cfg

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NAMES = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.rglob("*.yaml")
    if not path.name.startswith("Base-") and path.parent.name != "datasets"
)


def test_there_are_some():
    assert len(NAMES) >= 34


@pytest.mark.parametrize("name", NAMES)
def test_builds(name):
    cfg = load_cfg(name, ["MODEL.DEVICE", "meta", "MODEL.WEIGHTS", ""])
    with torch.device("meta"):
        model = Trainer.build_model(cfg)
    has_point_head = any("point_head." in key for key, _ in model.named_parameters())
    assert has_point_head == ("pointrend" in name)
    has_alignment = any("align" in key or "delta_gen" in key for key, _ in model.named_parameters())
    assert has_alignment == any(word in name for word in ("FAM", "sfnet", "alignseg"))
