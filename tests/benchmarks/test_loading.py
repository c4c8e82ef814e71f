"""The benchmark of the loader: its cases run, and see masks that differ."""

import pytest
import torch
from detectron2.structures import BitMasks

from benchmarks import loading, options
from benchmarks.annotation_file import write_annotation_file, write_pictures


@pytest.fixture
def words(tmp_path):
    write_annotation_file(tmp_path / "a.json", 3)
    write_pictures(tmp_path / "pictures", 3)
    folder = str(tmp_path / "pictures")
    return ["--annotations", str(tmp_path / "a.json"), "--pictures", folder, "--images", "2"]


def test_many_objects_need_no_data_and_images_are_those_of_a_file(words, monkeypatch):
    monkeypatch.setattr(loading, "_OBJECTS", 40)
    _, (many,) = options.parse(loading, [])
    _, (_, listed) = options.parse(loading, words)
    for case, masks, images in ((many, 40, 1), (listed, None, 2)):
        forms = case.build("cpu")
        results = {name: run() for name, run in forms.run.items()}
        said = forms.check(results)
        count = sum(map(len, results["upstream"]))
        assert said.startswith(f"{count} masks of {images} images with objects are equal")
        assert masks in (None, count)
        first = results["ours"][0].tensor
        first[0, 0, 0] = ~first[0, 0, 0]
        with pytest.raises(AssertionError, match="masks differ"):
            forms.check({**results, "ours": [BitMasks(first), *results["ours"][1:]]})


def test_too_much_memory_is_an_error():
    whole = [BitMasks(torch.ones(3, 8, 8))]
    with pytest.raises(AssertionError, match="KiB, bit masks"):
        loading._check({"ours": whole, "upstream": whole})
