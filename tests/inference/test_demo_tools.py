"""The demo's files for annotation tools: where they lie, what they name, what is left out."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from pointrend_ext.data.formats import recognise
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.demo import Input, OutputWriter
from pointrend_ext.inference.demo.tool_files import TOOL_KINDS
from tests.inference.exports.predictions import SIZE_HW, prediction


@pytest.fixture
def sources(tmp_path):
    """Two pictures in two folders."""
    found = []
    for name in ("a", "below/b"):
        path = tmp_path / f"photos/{name}.jpg"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", SIZE_HW[::-1]).save(path)
        found.append(Input(path, Path(name), f"{name}.jpg"))
    return found


def write(folder, kinds, sources, *predictions, **options):
    writer = OutputWriter(folder, kinds, inputs=sources, **options)
    for source, predicted in zip(sources, predictions, strict=True):
        writer.write(predicted, source)
    writer.close()


def test_every_tool(tmp_path, sources, caplog):
    out = tmp_path / "out"
    with caplog.at_level(logging.WARNING, "pointrend_ext"):
        write(out, [*TOOL_KINDS], sources, prediction(), prediction(("blob",)))
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert names - {".pointrend_files"} == {
        "yolo/a.txt", "yolo/below/b.txt", "yolo/classes.txt", "labelme/a.json",
        "labelme/below/b.json", "geojson/a.geojson", "geojson/below/b.geojson", "cvat.xml",
        "label_studio.json",
    }  # fmt: skip
    assert (out / "yolo/classes.txt").read_text() == "disc\nstar\n"
    assert len((out / "yolo/a.txt").read_text().splitlines()) == 7
    assert json.loads((out / "labelme/below/b.json").read_text())["imagePath"] == (
        "../../../photos/below/b.jpg"
    )
    images = ElementTree.parse(out / "cvat.xml").getroot().findall("image")
    assert [(x.get("id"), x.get("name"), len(x)) for x in images] == [
        ("0", "a.jpg", 8), ("1", "below/b.jpg", 1),
    ]  # fmt: skip
    tasks = json.loads((out / "label_studio.json").read_text())
    assert [task["data"]["image"] for task in tasks] == ["a.jpg", "below/b.jpg"]
    (warning,) = caplog.messages
    assert warning.startswith("1 instances have no pixel and are left out of yolo, labelme,")


def test_labelme_finds_the_pictures(tmp_path, sources):
    write(tmp_path / "out", ["labelme"], sources, prediction(), prediction())
    assert len(recognise(tmp_path / "out/labelme").read().pictures) == 2


def test_fewer_corners_by_a_lower_boundary_iou(tmp_path, sources):
    sizes = []
    for value in (0.7, 1.0):
        out = tmp_path / str(value)
        write(out, ["yolo"], sources[:1], prediction(), boundary_iou=value)
        sizes.append(len((out / "yolo/a.txt").read_text().split()))
    assert sizes[0] < sizes[1] / 3
    with pytest.raises(ValueError, match=r"at most 1: 0\.95 is usual"):
        OutputWriter(tmp_path / "out", ["yolo"], boundary_iou=95)


def test_classes_without_names(tmp_path, sources):
    unnamed = replace(prediction(("blob",)), class_info=Classes())
    write(tmp_path / "out", ["yolo", "labelme"], sources[:1], unnamed)
    assert not (tmp_path / "out/yolo/classes.txt").exists()
    content = json.loads((tmp_path / "out/labelme/a.json").read_text())
    assert content["shapes"][0]["label"] == "class 0"


def test_frames_of_a_video(tmp_path):
    video = Input(tmp_path / "v.mp4", Path("v"), "v.mp4")
    write(tmp_path / "out", ["labelme", "cvat"], [video.frame(7)], prediction(("blob",)))
    content = json.loads((tmp_path / "out/labelme/v/000007.json").read_text())
    assert content["imagePath"] == "v/000007"


def test_a_semantic_model_is_refused_before_the_first_image(tmp_path):
    with pytest.raises(ValueError, match=r"predicts no instances for \['yolo', 'cvat'\]. Take"):
        OutputWriter(tmp_path / "out", ["cvat", "yolo", "masks"]).check_label_maps()
    OutputWriter(tmp_path / "out", ["overlay", "masks", "json"]).check_label_maps()


def test_names_that_no_xml_can_hold(tmp_path, sources):
    """Bytes that are not of UTF-8, and control characters, cost no result of other pictures."""
    odd = [
        replace(sources[0], file_name="bad\udcff.jpg"),
        replace(sources[1], file_name="a\x01\n.jpg"),
    ]
    named = replace(prediction(("blob",)), class_info=Classes(things=("big\n dog", "star\x1b")))
    write(tmp_path / "out", ["cvat", "yolo"], odd, named, named)
    root = ElementTree.parse(tmp_path / "out/cvat.xml").getroot()
    assert [x.get("name") for x in root.findall("image")] == ["bad\ufffd.jpg", "a\ufffd\n.jpg"]
    lines = (tmp_path / "out/yolo/classes.txt").read_text().splitlines()
    assert lines == ["big dog", "star\x1b"]  # a line for each class


def test_a_picture_called_as_a_result_does_not_replace_it(tmp_path, sources):
    writer = OutputWriter(tmp_path / "out", ["yolo"], inputs=sources)
    writer.write(prediction(("blob",)), sources[0])
    with pytest.raises(ValueError, match=r"yolo/classes\.txt is another result of this run"):
        writer.write(prediction(("blob",)), replace(sources[1], name=Path("classes")))
    writer.close()
    assert (tmp_path / "out/yolo/classes.txt").read_text() == "disc\nstar\n"
