"""Files that are JSON, or nearly: marks at the start, numbers that are none, and cut ends."""

import codecs
import json
import random
import re

import pytest

from pointrend_ext.data import strict_json
from pointrend_ext.data.strict_json import parse_json, read_json, read_typed_json

CONTENT = {"images": [{"id": 1, "file_name": "größe.jpg"}], "big": 123456789012345678901234567890}
TEXT = json.dumps(CONTENT, ensure_ascii=False)

ODD_SPACES = ("\n", "\t", "\r\n", "  ", "\t ", " \n")


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
        pytest.param("1" * 10_000, r"4300.* digits.* has 10000 bytes", id="long number"),
        ("\x1f\x8b\x08", "if it is an archive, unpack it"),
    ],
)
def test_what_is_not(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"Annotation file '.*a\.json' is not valid.*{message}"):
        read_json(str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"annotations": [], "images": [], "annotations": [1]}', "annotations"),
        ('{"annotations": [{"id": 1, "bbox": [1, 2], "bbox" : [3]}]}', "bbox"),
        ('[{"a": {"b": [{"c": 1, "c": 1}]}}]', "c"),
        ('{"a" : 1, "a": 2}', "a"),
        ('{"a": "\\ud800", "b": 1, "b": 2}', "b"),  # read by the standard library
        ('{"a\\"": 1, "a\\"": 2}', 'a"'),
        ('{"a": 1, "\\u0061": 2}', "a"),
        *((f'{{"id" : 1, "id"{space}:2}}', "id") for space in ODD_SPACES),
    ],
)
def test_a_key_that_is_given_twice(tmp_path, text, key):
    """The last one would count, and half of the annotations would be lost without a word."""
    (tmp_path / "a.json").write_text(text)
    message = f"a.json': the key {key!r} is given twice; only one could count. Take one out."
    with pytest.raises(ValueError, match=re.escape(message)):
        read_json(str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "x\\":", "b": "{\\"c\\": 1, \\"c\\": 2}"}',
        '{"a"\n:\n1}',
        '[1, {"a": 1}, {"a": 2}]',
        '{"a": "b : c  : \\t:"}',
        "3",
    ],
)
def test_what_only_looks_like_a_repeated_key(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert read_json(str(tmp_path / "a.json")) == json.loads(text)


def test_numbers_that_are_none_pass_where_a_reader_says_more():
    text = b'[{"score": NaN, "score2": 1e999}]'
    assert str(parse_json(text, "f")) == "[{'score': nan, 'score2': inf}]"
    with pytest.raises(ValueError, match=r"^f: the key 'a' is given twice"):
        parse_json(b'[{"a": NaN, "a": 1}]', "f")


def test_a_typed_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": ["1", 2.0]}')
    assert read_typed_json(path, dict[str, tuple[int, ...]], "File") == {"a": (1, 2)}
    for text, message in (
        ('{"a": [1, "x"]}', r"'.*a\.json': a\.1: Input should be a valid integer.*\."),
        ('{"a": [1], "a": []}', r"'.*a\.json': the key 'a' is given twice"),
        ("", r"'.*a\.json' is not valid JSON"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"^File {message}"):
            read_typed_json(path, dict[str, tuple[int, ...]], "File")


@pytest.mark.parametrize("seed", range(200))
def test_no_repeated_key_is_passed_over(monkeypatch, seed):
    """Random JSON with random white space, against the standard library's pairs; tiny chunks."""
    monkeypatch.setattr(strict_json, "_CHUNK", 5)
    draw = random.Random(seed)

    def space():
        return "".join(draw.choice(" \t\n\r") for _ in range(draw.choice([0, 0, 1, 2, 5])))

    def value(depth):
        kind = draw.randrange(5 if depth else 3)
        if kind < 2:
            return json.dumps(draw.choice([1, None, 'a": 1', " :", "\\\n:", ":", '"']))
        if kind == 2:
            return draw.choice(["[]", "{}", "-1.5e3"])
        parts = [value(depth - 1) for _ in range(draw.randrange(4))]
        if kind == 3:
            return f"[{','.join(space() + part + space() for part in parts)}]"
        keys = [json.dumps(draw.choice(["a", "b", 'c"', "d:", 'e":'])) for _ in parts]
        pairs = (f"{k}{space()}:{space()}{v}" for k, v in zip(keys, parts, strict=True))
        return f"{{{','.join(space() + pair + space() for pair in pairs)}}}"

    text = value(4)
    repeats = []

    def note(pairs):
        repeats.append(len(pairs) - len(dict(pairs)))
        return dict(pairs)

    plain = json.loads(text, object_pairs_hook=note)
    if any(repeats):
        with pytest.raises(ValueError, match="is given twice"):
            parse_json(text.encode(), "f")
    else:
        assert parse_json(text.encode(), "f") == plain
