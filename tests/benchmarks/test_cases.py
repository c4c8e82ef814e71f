"""The cases themselves: fair, checked, and able to see a difference."""

import argparse
import re
from pathlib import Path

import pytest
import torch

from benchmarks import deploy, heads, instances, models, options, semantic, training
from benchmarks.__main__ import cases
from benchmarks.heads import upstream_cfg
from benchmarks.instances import compare_masks
from pointrend_ext.engine import load_cfg
from pointrend_ext.model_zoo import get_config_file


def test_all_cases_have_names_of_their_own():
    titles = [case.title for case in cases(argparse.Namespace(image="", model=None))]
    assert len(titles) == len(set(titles)) == 9 + 9 + 4 + 1
    _, found = options.parse(semantic, ["--only", "label map.*smooth"])
    assert [case.name for case in found] == [
        "19 x 1024x2048, smooth",
        "54 x 800x1344, smooth",
        "150 x 512x704, smooth",
    ]


def test_files_have_to_be_faster_than_their_models():
    _, found = options.parse(deploy, ["--threads", "1", "2"])
    assert [(case.name[:9], case.min_ratio) for case in found] == [
        *[("mask head", 1.0)] * 2,
        ("R50-FPN P", 1.11),
        *[("Semantic ", 1.25)] * 2,
    ]


@pytest.mark.parametrize("module", [heads, instances, semantic, training, models])
def test_heads_and_models_can_be_built_of_another_checkout(module):
    """What they import of the package is public, and has been where it is for long."""
    imported = re.findall(
        r"^from (pointrend_ext[\w.]*) import", Path(module.__file__).read_text(), re.M
    )
    assert set(imported) <= {"pointrend_ext.config", "pointrend_ext.engine"}


SMALL = {
    "instances": lambda: instances.build("cpu", num_regions=3, num_classes=4, steps=2),
    "labels": lambda: semantic.build("cpu", num_classes=5, draw=semantic.smooth, as_labels=True),
    "logits": lambda: semantic.build("cpu", num_classes=5, draw=semantic._noise, as_labels=False),
    "point loss": lambda: training._build_points("cpu", num_regions=3, num_classes=4),
    "both losses": lambda: training.build("cpu", num_regions=3, num_classes=4),
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("instances", r"largest difference \S+ in [123] masks, "),
        ("labels", "of 24576 labels differ"),
        ("logits", "labels are equal"),
        ("point loss", "losses differ by at most"),
        ("both losses", "losses differ by at most"),
    ],
)
def test_ours_computes_the_same_as_upstream_and_a_difference_is_seen(name, said, monkeypatch):
    monkeypatch.setattr("benchmarks.heads.IMAGE_HW", (160, 224))
    monkeypatch.setattr("benchmarks.training.IMAGE_HW", (160, 224))
    monkeypatch.setitem(semantic.SIZES, 5, (128, 192))
    forms = SMALL[name]()
    results = {form: run() for form, run in forms.run.items()}
    assert re.search(said, forms.check(results))
    spoiled = results["ours"]
    if isinstance(spoiled, dict):
        spoiled = {loss: 1.001 * value for loss, value in spoiled.items()}
    else:
        spoiled = spoiled.flip(-1)
    with pytest.raises(AssertionError):
        forms.check({**results, "ours": spoiled})


def test_points_may_be_swapped_at_the_cut_off_alone():
    """One region of four cells, of which two are chosen: the third nearly ties with the second."""
    masks = torch.full((1, 1, 2, 2), 0.25)
    chosen = torch.tensor([[True, True, False, False]])
    other = torch.tensor([[True, False, True, False]])
    near = torch.tensor([[5.0, 1.0, 1.0 - 5e-6, 0.0]])
    changed = masks + 0.5
    text = compare_masks(masks, changed, [(near, chosen)], [(near, other)])
    assert (
        text == "largest difference 0.0e+00 in 0 masks, 1 with a point swapped at the cut-off, "
        "0 pixels flip"
    )
    far = torch.tensor([[5.0, 1.0, 0.9, 0.0]])
    with pytest.raises(AssertionError, match="swapped points differ by 1"):
        compare_masks(masks, masks, [(far, chosen)], [(far, other)])
    with pytest.raises(AssertionError, match="probabilities differ by 5"):
        compare_masks(masks, changed, [(near, chosen)], [(near, chosen)])


def test_the_original_gets_our_keys():
    keys = ["MODEL.ROI_HEADS.NUM_CLASSES", 7, "MODEL.MASK_POINT_HEAD.FC_DIM", 48]
    cfg = load_cfg("Toy/pointrend_rcnn_toy.yaml", [*keys, "INPUT.MIN_SIZE_TEST", 333])
    theirs = upstream_cfg(cfg)
    assert theirs.MODEL.POINT_HEAD.NUM_CLASSES == 7
    assert theirs.MODEL.POINT_HEAD.FC_DIM == 48
    assert theirs.MODEL.ROI_MASK_HEAD.NAME == "PointRendMaskHead"
    assert theirs.INPUT.MIN_SIZE_TEST == 333


def test_any_models_with_their_parameters(tmp_path):
    """A run's config.yaml is one."""
    tiny = tmp_path / "tiny.yaml"
    base = "CamVid-SemanticSegmentation/semantic_R_50_FPN_camvid.yaml"
    tiny.write_text(
        f'_BASE_: "{get_config_file(base)}"\nMODEL:\n  FPN: {{OUT_CHANNELS: 8}}\n'
        "  RESNETS: {STEM_OUT_CHANNELS: 4, RES2_OUT_CHANNELS: 8, WIDTH_PER_GROUP: 4}\n"
        "  SEM_SEG_HEAD: {CONVS_DIM: 8, NORM: ''}\n"
    )
    aligned = tmp_path / "aligned.yaml"
    aligned.write_text(
        f'_BASE_: "{tiny}"\nMODEL:\n  BACKBONE: {{NAME: build_resnet_aligned_fpn_backbone}}\n'
        "  FPN: {ALIGNMENT: {NAME: FAM}}\n"
    )
    words = ["--model", f"plain={tiny}", "--model", f"FAM={aligned}", "--image-size", "64", "96"]
    _, (case,) = options.parse(models, words)
    assert case.title == "Models: 96 x 64"
    forms = case.build("cpu")
    # three modules, two reductions from 8 to 4 channels and a 3 x 3 convolution to a flow each
    fam = 3 * (2 * 8 * 4 + 9 * 8 * 2)
    assert forms.parameters["FAM"] - forms.parameters["plain"] == fam
    for run in forms.run.values():
        run()
