"""Data set descriptions as files: what they mean, and what is refused before any data are read."""

import json
from pathlib import Path

import pytest
import yaml

from pointrend_ext.data.descriptions import read_description
from pointrend_ext.data.label_encoding import LabelEncoding

SEMANTIC = {
    "name": "park",
    "task": "semantic",
    "root": "park",
    "classes": ["grass", "path"],
    "splits": {"train": {"images": "a", "labels": "b"}},
}
INSTANCE = {
    "name": "tools",
    "task": "instance",
    "root": "tools",
    "splits": {"train": {"images": "a", "annotations": "b.json"}},
}


@pytest.fixture
def write(tmp_path):
    def make(content, name="set.yaml"):
        path = tmp_path / name
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_every_key_of_a_semantic_description(write, tmp_path):
    path = write(
        """
name: park
task: semantic
root: .
classes: [grass, "no", Weg nach Süden]
values: [1, 2, 900]
ignore_value: 7
image_suffix: _leftImg8bit.png
label_suffix: _ids.png
colors: [[0, 255, 0], [1, 2, 3], [9, 9, 9]]
ignore_color: [0, 0, 0]
splits:
  train: {images: a/train, labels: b/train}
  val: {images: ../val, labels: /elsewhere/val, names: val.txt}
"""
    )
    assert read_description(path).model_dump() == {
        "name": "park",
        "task": "semantic",
        "root": str(tmp_path),
        "splits": {
            "train": {"images": "a/train", "labels": "b/train", "names": None},
            "val": {"images": "../val", "labels": "/elsewhere/val", "names": "val.txt"},
        },
        "classes": ["grass", "no", "Weg nach Süden"],
        "values": [1, 2, 900],
        "ignore_value": 7,
        "image_suffix": "_leftImg8bit.png",
        "label_suffix": "_ids.png",
        "colors": [[0, 255, 0], [1, 2, 3], [9, 9, 9]],
        "ignore_color": [0, 0, 0],
    }


def test_the_keys_that_may_be_left_out(write):
    got = read_description(write(SEMANTIC))
    assert got.encoding() == LabelEncoding.plain(2, 255)
    assert (
        got.values is got.ignore_color is got.image_suffix is got.label_suffix is got.colors is None
    )
    assert read_description(write(INSTANCE)).classes is None


def test_json_is_read_too(write):
    text = json.dumps(INSTANCE, indent="\t")  # tabs, which YAML refuses
    assert read_description(write(text, "set.json")) == read_description(write(INSTANCE))


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("park", "{datasets}/park"),
        ("a/../park", "{datasets}/park"),
        (".", "{file}"),
        ("./park", "{file}/park"),
        ("../park", "{file}/../park"),
        ("..park", "{datasets}/..park"),
        ("/far/park", "/far/park"),
        ("~/park", "{home}/park"),
    ],
)
def test_where_root_starts(write, tmp_path, monkeypatch, root, expected):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    places = {"datasets": tmp_path / "data", "file": tmp_path, "home": tmp_path / "home"}
    got = read_description(write({**SEMANTIC, "root": root}))
    assert got.root == str(Path(expected.format(**places)).resolve())


def test_without_the_variable_root_starts_in_datasets(write, tmp_path, monkeypatch):
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert read_description(write(INSTANCE)).root == str(tmp_path / "datasets/tools")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "depth"}, r"'task' is 'depth'\. .*from: semantic, instance, panoptic\."),
        ({"task": None}, "'task' is None"),
        ({"clases": ["a"]}, r"'clases' is no key\. Did you mean 'classes'"),
        ({"ignore": 3}, r"'ignore' is no key.* 'ignore_value'\?.* image_suffix, label_suffix"),
        ({"name": 2020}, "'name' is 2020, but a text"),
        ({"name": "my set"}, "'name' is 'my set', but a text of letters"),
        ({"root": 5}, "'root' is 5, but a text"),
        ({"root": ""}, "'root' is '', but a text"),
        ({"classes": "grass"}, "'classes' is 'grass', but a list"),
        ({"classes": []}, r"'classes' is \[\]: .* at least 1 item"),
        ({"classes": ["yes", True]}, r"'classes.1' is True, but a text .*quotes"),
        ({"classes": ["a", " "]}, r"'classes.1' is ' ', but a name"),
        ({"classes": ["a", "b", "a"]}, "'classes' names 'a' more than once"),
        ({"ignore_value": 1}, r"is 1, but the values 0 to 1 \(the 2 classes\).* 'values'"),
        ({"ignore_value": 65536}, "'ignore_value' is 65536.* 65535"),
        ({"ignore_value": -1}, "'ignore_value' is -1"),
        ({"ignore_value": "255"}, "'ignore_value' is '255', but an integer"),
        ({"ignore_value": True}, "'ignore_value' is True, but an integer"),
        ({"classes": ["a"], "ignore_value": 1}, r"0 \(background\) and 1 \(the cl.* 'values'"),
        ({"classes": ["a"], "ignore_value": 0}, r"0 \(background\) and 1 \(the class\) are taken"),
        ({"values": [0, 1, 2]}, "'values' must be a list with 2 entries, one per class, .* has 3"),
        ({"classes": ["a"], "values": [9]}, "2 entries, one per class, the first of them the back"),
        ({"values": [4, 4]}, "'values' has 4 for two classes"),
        ({"values": [0, 255], "ignore_value": 255}, "'ignore_value' is 255, but by 'values'"),
        (
            {"colors": [[1, 2, 3], [4, 5, 6]], "ignore_color": [4, 5, 6]},
            r"'ignore_color' is \[4, 5, 6\], but by 'colors'",
        ),
        ({"label_suffix": 3}, "'label_suffix' is 3, but a text"),
        ({"image_suffix": ""}, "'image_suffix' is '', but a text"),
        (
            {"colors": [[1, 2, 3]]},
            "'colors' must be a list with 2 entries, one per class, but it has 1",
        ),
        ({"colors": "red"}, "'colors' is 'red', but a list"),
        ({"colors": [[1, 2, 3], [1, 2, 256]]}, "'colors.1.2' is 256: .* less than or equal to 255"),
        ({"colors": [[1, 2], [1, 2, 3]]}, r"'colors.0' is \[1, 2\]: .* at least 3 items"),
        ({"splits": ["train"]}, r"'splits' is \['train'\], but a mapping"),
        ({"splits": {}}, r"'splits' is \{\}: .* at least 1 item"),
        ({"splits": {1: {}}}, "'splits.1' is 1, but a text"),
        ({"splits": {"train": "a"}}, "'splits.train' is 'a', but a mapping"),
        ({"splits": {"Train": {"images": "a"}}}, "The key 'splits.Train.labels' is missing"),
        (
            {"splits": {"train": {"images": "a", "label": "b"}}},
            r"'splits.train.label' is no key\. Did you mean 'labels'.* images, labels",
        ),
        (
            {"splits": {"train": {"images": "a", "labels": ["b"]}}},
            r"'splits.train.labels' is \['b'\], but a text",
        ),
        ({**INSTANCE, "ignore_value": 255}, "'ignore_value' is no key"),
        *(
            ({key: ...}, f"The key '{key}' is missing")
            for key in ("name", "root", "classes", "splits")
        ),
    ],
)
def test_mistakes_name_the_file_and_the_remedy(write, changes, message):
    with pytest.raises(ValueError, match=rf"description '.*set\.yaml': .*{message}.*datasets\.md"):
        read_description(write({k: v for k, v in {**SEMANTIC, **changes}.items() if v is not ...}))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a.yaml", "'task' is None.* is needed"),
        (b"- a\n- b", "a.yaml", "'task' is None"),
        (b"name: [a", "a.yaml", "line 1, column 9: expected"),
        (
            b"name: a\ntask: b\nname: c",
            "a.yaml",
            "the key 'name' is given twice, in line 1 and in line 3",
        ),
        (b'{"name": }', "a.json", "Expecting value: line 1"),
        (b'{"name": 1, "name": 2}', "a.json", "the key 'name' is given twice"),
    ],
)
def test_files_of_another_kind(tmp_path, content, name, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}'(:| is not valid JSON:) {message}"):
        read_description(tmp_path / name)


def test_encodings_of_text(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ValueError, match=r"a\.yaml' is no text in UTF-8"):
        read_description(path)
    path.write_text(yaml.safe_dump(SEMANTIC), encoding="utf-8-sig")
    assert read_description(path).name == SEMANTIC["name"]


COLORS = [[9, 9, 9], [0, 0, 0], [1, 2, 3]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ignore_value": 2}, LabelEncoding((0, 1), 2, 2)),
        ({"ignore_value": 0}, LabelEncoding((1, 2), 0, 255, is_guessed=True)),
        ({"ignore_value": 0, "values": [1, 2]}, LabelEncoding((1, 2), 0, 255)),
        ({"values": [0, 255]}, LabelEncoding((0, 255), None, 255)),
        ({"values": [0, 128]}, LabelEncoding((0, 128), 255, 255)),
        ({"values": [7, 8], "ignore_value": 1}, LabelEncoding((7, 8), 1, 255)),
        ({"classes": ["a"], "values": [0, 255]}, LabelEncoding((0, 255), None, 255)),
        ({"classes": ["a"], "colors": COLORS[:1]}, LabelEncoding.plain(2, 255)),
        (
            {"classes": ["a"], "colors": COLORS[:2], "ignore_color": COLORS[2]},
            LabelEncoding((0, 1), 255, 255, ((9, 9, 9), (0, 0, 0)), (1, 2, 3)),
        ),
        (
            {"classes": [f"c{i}" for i in range(300)], "ignore_value": 0},
            LabelEncoding(tuple(range(1, 301)), 0, 65535, is_guessed=True),
        ),
    ],
)
def test_what_values_mean(write, changes, expected):
    assert read_description(write({**SEMANTIC, **changes})).encoding() == expected
