"""Files that are JSON, or nearly: marks at the start, numbers that are none, and cut ends."""

import codecs
import json

import pytest

from pointrend_ext.data.coco.json_text import read_json

CONTENT = {"images": [{"id": 1, "file_name": "größe.jpg"}], "big": 123456789012345678901234567890}
TEXT = json.dumps(CONTENT, ensure_ascii=False)


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        json.dumps(CONTENT, indent=2).replace("\n", "\r\n").encode(),
    ],
)
def test_what_is_read(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    assert read_json(str(tmp_path / "a.json")) == CONTENT


def test_a_lone_surrogate_is_left_to_the_standard_library(tmp_path):
    (tmp_path / "a.json").write_text('{"a": "\\ud800"}')
    assert read_json(str(tmp_path / "a.json")) == {"a": "\ud800"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"a": 1,\n "bbox": [1, NaN, 3]}',
            r"NaN at line 2 column 14 \(after \.\.\.' \"bbox\": \[1,",
        ),
        ('{"a": [Infinity]}', "Infinity at line 1 column 8 .* is not a number. Remove the annot"),
        ('{"a": -Infinity}', "-Infinity at line 1 column"),
        (TEXT[:40], r"It ends in the middle\. It has 42 bytes"),
        ("", "Expecting value: line 1 column 1 .* has 0 bytes"),
        ("<html>not found</html>", "Expecting value: line 1"),
        ('{"a": 1,}', "line 1 column .* has 9 bytes"),
        pytest.param("[" * 100_000, "recursion", id="deep"),
        pytest.param("1" * 10_000, r"4300 digits.* has 10000 bytes", id="long number"),
        ("\x1f\x8b\x08", "if it is an archive, unpack it"),
    ],
)
def test_what_is_not(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"Annotation file '.*a\.json' is not valid.*{message}"):
        read_json(str(tmp_path / "a.json"))
