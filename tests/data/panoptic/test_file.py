"""The JSON file of panoptic annotations and predictions: what is read, and what is refused."""

import copy
import json

import pytest

from pointrend_ext.data.panoptic import (
    read_categories,
    read_panoptic_file,
    read_predictions,
)
from tests.data.panoptic.builders import RED, write


def test_content(tmp_path):
    data = write(tmp_path)
    file = read_panoptic_file(data.json_file)
    assert file.class_ids(things=True) == {2: "star", 3: "gear"}
    assert file.class_ids(things=False) == {7: "sky", 9: "sand"}
    assert [a.image_id for a in file.annotations] == [2, 1]
    assert [s.iscrowd for s in file.annotations[0].segments_info] == [False] * 4 + [True]
    assert read_panoptic_file(data.json_file) is file
    assert read_categories(data.json_file) == file.categories
    data.content["categories"][0]["name"] = "heaven"
    data.json_file.write_text(json.dumps(data.content) + " ")
    assert read_categories(data.json_file)[0].name == "heaven"


def broken(content, *path, value):
    content = copy.deepcopy(content)
    node = content
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return content


SEGMENT = ("annotations", 1, "segments_info", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("categories",), ..., r"categories: Field required"),
        (("categories", 1, "id"), 7, "two categories have the id 7"),
        (("categories", 1, "name"), "sky", "two categories are called 'sky'"),
        (("categories", 1, "isthing"), "perhaps", r"categories\.1\.isthing: "),
        (("images", 0, "height"), 0, r"images\.0\.height: .* greater than or equal to 1"),
        (("images", 1, "id"), 1, "two images have the id 1"),
        (("annotations", 0, "image_id"), 1, "two annotations have the image_id 1"),
        (("annotations", 0, "image_id"), 3, "of the image 3: there is no image of this id"),
        (("annotations", 0, "file_name"), "1.png", "two annotations have the file_name '1.png'"),
        (("annotations", 0, "file_name"), 3, r"annotations\.0\.file_name: .* valid string"),
        ((*SEGMENT, "id"), 0, r"segments_info\.0\.id: .* greater than or equal to 1"),
        ((*SEGMENT, "id"), 2**24, r"segments_info\.0\.id: .* less than 16777216"),
        ((*SEGMENT, "id"), 5, "two segments of the image 1 have the id 5"),
        ((*SEGMENT, "category_id"), 4, rf"segment {RED} has the category_id 4, which is not"),
        ((*SEGMENT, "category_id"), ..., r"segments_info\.0\.category_id: Field required"),
    ],
)
def test_what_is_refused(tmp_path, path, value, message):
    data = write(tmp_path)
    data.json_file.write_text(json.dumps(broken(data.content, *path, value=value)))
    with pytest.raises(ValueError, match=message) as error:
        read_panoptic_file(data.json_file)
    assert str(data.json_file) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " is not valid JSON: "),
        ("[1]", ": Input should be a dictionary"),
        ('{"images": [', " is not valid JSON: .* ends in the middle"),
        ("PK\x03", " is not valid JSON: "),
        ('{"images": [], "images": []}', ": the key 'images' is given twice"),
    ],
)
def test_what_is_no_such_file(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"Panoptic annotation file '.*a\.json'{message}"):
        read_panoptic_file(path)
    with pytest.raises(FileNotFoundError):
        read_panoptic_file(tmp_path / "b.json")


def test_predictions(tmp_path):
    data = write(tmp_path)
    truth = read_panoptic_file(data.json_file)
    path = tmp_path / "predictions.json"
    entries = [{"image_id": n, "file_name": f"{n}.png", "segments_info": []} for n in (1, 2)]
    path.write_text(json.dumps({"annotations": entries}))
    assert sorted(read_predictions(path, truth)) == [1, 2]
    path.write_text(json.dumps({"annotations": entries[1:]}))
    with pytest.raises(ValueError, match=r"1 of 2 images have no entry, the first has the id 1"):
        read_predictions(path, truth)
    entries[0]["segments_info"] = [{"id": 1, "category_id": 1}]
    path.write_text(json.dumps({"annotations": entries}))
    with pytest.raises(ValueError, match=r"segment 1 has the category_id 1"):
        read_predictions(path, truth)
