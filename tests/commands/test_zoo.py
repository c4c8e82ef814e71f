"""What ``zoo`` lists, and the place where a download is looked for."""

import json
from pathlib import Path

import pytest
from iopath.common.file_io import get_cache_dir

from pointrend_ext import cli
from pointrend_ext.model_zoo import download_address, download_place, released_models

X101 = "COCO-InstanceSegmentation/pointrend_rcnn_X_101_32x8d_FPN_3x_coco.yaml"
FILE = (
    "PointRend/InstanceSegmentation/pointrend_rcnn_X_101_32x8d_FPN_3x_coco/28119989/"
    "model_final_ba17b9.pkl"
)


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))


def test_all_are_listed_with_their_figures(capsys):
    assert cli.main(["zoo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if ".yaml" in line]) == len(released_models()) == 9
    assert any(line.startswith(X101) and line.endswith("mask AP 41.1, AP* 44.7") for line in lines)


@pytest.mark.parametrize("name", [X101, f"configs/{X101}", "x_101"])
def test_one_is_described(name, capsys, tmp_path):
    url = f"https://dl.fbaipublicfiles.com/detectron2/{FILE}"
    assert cli.main(["zoo", name]) == 0
    text = capsys.readouterr().out
    assert url in text
    assert f"{tmp_path}/detectron2/{FILE} (not there yet" in text
    (tmp_path / "detectron2" / FILE).parent.mkdir(parents=True)
    (tmp_path / "detectron2" / FILE).touch()
    assert cli.main(["zoo", name, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["config"], found["url"], found["downloaded"]) == (X101, url, True)
    assert found["published"] == {"mask AP": 41.1, "AP*": 44.7}


def test_part_of_several_names(capsys):
    assert cli.main(["zoo", "cityscapes", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_an_unknown_name(capsys):
    assert cli.main(["zoo", "gone"]) == 2
    assert "'gone'. There are some for COCO-Inst" in capsys.readouterr().err


def test_the_place_is_where_iopath_looks(monkeypatch, tmp_path):
    address = download_address("detectron2://a/b.pkl")
    assert address == "https://dl.fbaipublicfiles.com/detectron2/a/b.pkl"
    assert download_place(address) == Path(get_cache_dir(), "detectron2/a/b.pkl")
    monkeypatch.delenv("FVCORE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert download_place(address) == Path(get_cache_dir(), "detectron2/a/b.pkl")
    assert download_address("https://x.org/a.pth?b=1") == "https://x.org/a.pth?b=1"
    assert download_place("https://x.org/a.pth?b=1", tmp_path) == tmp_path / "a.pth"
