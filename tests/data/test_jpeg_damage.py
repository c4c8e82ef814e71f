"""Damage inside of JPEG files, which every decoder passes over in silence."""

import io
import logging
import os
import sys

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data import jpeg_damage
from pointrend_ext.data.jpeg_damage import find_damaged_jpegs
from pointrend_ext.data.pixels import ImageRules
from pointrend_ext.data.reading import read_image
from tests.data.builders import noise


def jpeg(seed=0, **options):
    buffer = io.BytesIO()
    mode = options.pop("mode", "RGB")
    Image.fromarray(noise(120, 160, seed)).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def damaged(kind, data):
    """Damage the middle; the picture's end marker stays."""
    middle, end = len(data) // 2, len(data) * 3 // 4
    return {
        "cut": data[:middle] + b"\xff\xd9",
        "a part is gone": data[:middle] + data[end:],
        "overwritten with zeros": data[:middle] + bytes(end - middle) + data[end:],
        "overwritten with text": data[:middle] + b"text" * ((end - middle) // 4) + data[end:],
    }[kind]


KINDS = ["cut", "a part is gone", "overwritten with zeros", "overwritten with text"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"mode": "L"}, {"restart_marker_blocks": 8}]
)
def test_damage_is_found_and_whole_files_are_not(tmp_path, capfd, kind, options):
    files = [tmp_path / f"{number}.jpg" for number in range(4)]
    for number, file in enumerate(files):
        data = jpeg(number, **options)
        file.write_bytes(damaged(kind, data) if number == 2 else data)
    assert read_image(str(files[2]), "RGB").shape == (120, 160, 3)  # nothing is said
    found = find_damaged_jpegs([*map(str, files)], ImageRules())
    assert [*found] == [str(files[2])]
    assert found[str(files[2])].startswith("Corrupt JPEG data: ")
    assert capfd.readouterr().err == ""
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_groups_and_threads_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(jpeg_damage, "_TOGETHER", 3)
    files = [str(tmp_path / f"{number}.jpg") for number in range(10)]
    bad = {files[n] for n in (2, 3, 9)}
    for number, file in enumerate(files):
        data = jpeg(number)
        (tmp_path / file).write_bytes(damaged("cut", data) if file in bad else data)
    assert find_damaged_jpegs(files, ImageRules()).keys() == bad


def test_other_files_are_passed_over(tmp_path):
    """They are refused, or are none of this format; what others write meanwhile is no damage."""
    names = ["gone.jpg", "http://x.test/a.jpg", "empty.jpg", "text.jpg", "a.png", "large.jpg"]
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("Corrupt JPEG data: not at all")
    Image.fromarray(noise()).save(tmp_path / "a.png")
    (tmp_path / "large.jpg").write_bytes(damaged("cut", jpeg()))
    files = [name if ":" in name else str(tmp_path / name) for name in names]
    assert find_damaged_jpegs(files, ImageRules(max_megapixels=0.01)) == {}
    assert find_damaged_jpegs([], ImageRules()) == {}
    assert jpeg_damage._warned(lambda text: print(text, file=sys.stderr), "100%") == ""


def test_an_opencv_that_says_nothing_is_noticed(monkeypatch, caplog):
    monkeypatch.setattr(jpeg_damage, "_decode_bytes", lambda data: np.zeros(1))
    with caplog.at_level(logging.WARNING):
        assert find_damaged_jpegs(["a.jpg"], ImageRules()) == {}
    assert "does not tell which JPEG files are damaged" in caplog.text
