"""The page's session: what it returns is what the predictor does, and what it refuses."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.serving import session as module
from pointrend_ext.serving.session import Limits, Session
from pointrend_ext.structures.classes import Classes


def same(one, other):
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.classes, other.classes)
    np.testing.assert_array_equal(np.asarray(one.masks), np.asarray(other.masks))


@pytest.fixture(scope="module")
def session(predictors):
    return Session(predictors("instance"), Limits(max_megapixels=1, timeout=120))


@pytest.fixture(scope="module")
def photo(make_picture, tmp_path_factory):
    """A file that lies on its side."""
    path, exif = tmp_path_factory.mktemp("photo") / "photo 0012.png", Image.Exif()
    exif[274] = 6
    Image.fromarray(make_picture()).save(path, exif=exif)
    return str(path)


@pytest.fixture(scope="module")
def seen(session, photo):
    return session.open(photo)


def final(seen):
    return seen.stages[-1].prediction


def test_a_picture_is_predicted_as_by_the_predictor(session, photo, seen):
    same(final(seen), session.predictor(photo))
    assert final(seen).size_hw == (170, 120)  # upright
    assert len(seen.stages) == 6
    assert seen.name == "photo 0012.png"
    assert not seen.has_given
    same(final(session.find(seen)), final(seen))


def test_boxes_are_drawn_one_after_the_other(session, photo, seen):
    one = session.with_box(seen, [0.75, 0.1, 0.25, 0.5], "star")  # any two opposite corners
    assert one.drawn == ((30, 17, 90, 85),)
    assert seen.drawn == ()
    two = session.with_box(one, [-0.2, 0.5, 0.5, 1.7], "gear")
    assert two.drawn == ((30, 17, 90, 85), (0, 85, 60, 170))
    same(final(two), session.predictor(photo, two.drawn, classes=["gear", "gear"]))
    chosen = session.with_box(seen, [0.25, 0.1, 0.75, 0.5], None)
    same(final(chosen), session.predictor(photo, [[30, 17, 90, 85]]))
    assert session.find(two).drawn == ()


@pytest.mark.parametrize(
    ("corners", "said"),
    [
        ([0.5, 0.1, 0.5, 0.4], "no area"),
        ([1.5, 0.1, 1.7, 0.4], "no area"),
        ([0.5, 0.1, None, 0.4], "two corners"),
        ([0.5, 0.1, float("nan"), 0.4], "two corners"),
        ([0.5, 0.1, 0.7], "two corners"),
        ("abcd", "two corners"),
        ({}, "two corners"),
    ],
)
def test_what_is_no_box(session, seen, corners, said):
    with pytest.raises(ValueError, match=said):
        session.with_box(seen, corners, None)


def test_boxes_of_a_file(session, photo, seen, tmp_path, monkeypatch):
    ids = Classes(things=session.predictor.classes.things, thing_ids=tuple(range(10, 20)))
    monkeypatch.setattr(session.predictor, "classes", ids)
    entries = [
        {"image_id": 12, "category_id": 13, "score": 0.9, "bbox": [20, 30, 80, 60]},
        {"image_id": 12, "category_id": 10, "score": 0.3, "bbox": [5.5, 8, 60, 70]},
        {"image_id": 7, "category_id": 10, "score": 0.3, "bbox": [5.5, 8, 60, 70]},
    ]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(entries))
    got = final(session.with_boxes_of(seen, str(path)))
    boxes = [[20, 30, 100, 90], [5.5, 8, 65.5, 78]]
    same(got, session.predictor(photo, boxes, classes=[3, 0], scores=[0.9, 0.3]))
    path.write_text(json.dumps(entries[2:]))  # of one image, which must be this one
    assert final(session.with_boxes_of(seen, str(path))).scores.tolist() == [np.float32(0.3)]
    monkeypatch.setattr(session.predictor, "classes", Classes())  # ids that mean nothing
    path.write_text(json.dumps(entries[:1]))
    got = final(session.with_boxes_of(seen, str(path)))
    same(got, session.predictor(photo, boxes[:1], scores=[0.9]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Boxes 'b.json' is not valid JSON"),
        ("[]", "holds no box"),
        ("[3]", "Boxes 'b.json'"),
        ('[{"image_id": [1], "bbox": [1, 2, 3, 4]}]', "holds no box"),
        ('[{"image_id": 1}, {"image_id": 2}]', r"2 images \(1, 2\).*'photo 0012.png'"),
        ('[{"image_id": 1, "score": 1, "bbox": [1, 2, 3]}]', "bbox"),
        ('[{"image_id": 1, "score": 1, "bbox": [1, 2, 900, 3]}]', "beyond its image"),
    ],
)
def test_what_is_no_file_of_boxes(session, seen, tmp_path, text, said, monkeypatch):
    monkeypatch.setattr(session.predictor, "classes", Classes())
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        session.with_boxes_of(seen, str(tmp_path / "b.json"))
    assert str(tmp_path) not in str(error.value)


def test_too_many_boxes(session, seen, monkeypatch):
    monkeypatch.setattr(module, "MOST_BOXES", 1)
    one = session.with_box(seen, [0.2, 0.2, 0.8, 0.8], "star")
    with pytest.raises(ValueError, match="There are 2 boxes, and this page takes 1 at most"):
        session.with_box(one, [0.2, 0.2, 0.8, 0.8], "star")


def test_a_hundred_megapixels(session, tmp_path):
    path = tmp_path / "wall.png"
    Image.new("1", (12500, 8000)).save(path, compress_level=1)
    with pytest.raises(ValueError, match=r"wall.png has 8000 x 12500 .* 100.0 megapixels.* 1 at"):
        session.open(str(path))


def test_what_is_no_picture(session, tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("these are notes")
    with pytest.raises(ValueError, match=r"'notes.jpg' is .*no image \(15 bytes\)") as error:
        session.open(str(path))
    assert str(tmp_path) not in str(error.value)
    with pytest.raises(ValueError, match="does not exist"):
        session.open(str(tmp_path / "gone.jpg"))


def test_a_request_that_takes_too_long_ends_and_the_next_is_answered(predictors, photo):
    predictor = predictors("instance")
    session = Session(predictor, Limits(timeout=30))
    expected = session.open(photo)
    session._time_limit.seconds = 0.5
    ran = []
    slow = predictor.model.backbone.bottom_up.stem.register_forward_pre_hook(
        lambda *_: time.sleep(0.6)
    )
    last = predictor.model.roi_heads.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        with pytest.raises(ValueError, match=r"longer than the 0\.5 seconds .*--timeout"):
            session.open(photo)
    finally:
        slow.remove()
        last.remove()
    assert ran == []  # it has not gone on
    session._time_limit.seconds = 30
    same(final(session.open(photo)), final(expected))


def test_users_at_once_get_their_own(session, make_picture, tmp_path):
    paths = []
    for number in range(3):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(make_picture(seed=number)).save(paths[-1])
    expected = [session.open(path) for path in paths]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(session.open, paths))
    for got, wanted in zip(found, expected, strict=True):
        assert got.name == wanted.name
        for one, other in zip(got.stages, wanted.stages, strict=True):
            same(one.prediction, other.prediction)
            np.testing.assert_array_equal(one.points, other.points)


@pytest.mark.parametrize(
    "limits", [{"max_megapixels": 0}, {"timeout": -1}, {"timeout": float("nan")}]
)
def test_limits_that_let_nothing_through(limits):
    option = next(iter(limits)).replace("_", "-")
    with pytest.raises(ValueError, match=f"--{option} is .* above 0"):
        Limits(**limits)


def test_a_semantic_model_takes_no_boxes(predictors, photo):
    session = Session(predictors("semantic"))
    assert session.class_names == ()
    with pytest.raises(ValueError, match="semantic model"):
        session.with_box(session.open(photo), [0.1, 0.1, 0.9, 0.9], None)
