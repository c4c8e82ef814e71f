"""YAML with repeated keys, tabs and other slips."""

import pytest
import yaml

from pointrend_ext.data.strict_yaml import load_yaml

GOOD = """
base: &base {x: 1, y: [1, 2]}
other:
  <<: *base
  x: 3
numbers: [1, 2.5, true, null, "1"]
date: 2024-02-29
"""


@pytest.mark.parametrize("text", [GOOD, "\ufeffa: 1", "", "- 1\n- a: 2\n- a: 3", "a: b # \tc"])
def test_valid_text_is_read_as_yaml_reads_it(text):
    assert load_yaml(text, "f") == yaml.safe_load(text)


def test_merged_keys_may_be_replaced():
    assert load_yaml(GOOD, "f")["other"] == {"x": 3, "y": [1, 2]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"f: the key 'a' is given twice, in line 1 and in line 3; only one"),
        ("m:\n  a: {x: 1}\n  a: {y: 1}", "the key 'a' is given twice, in line 2 and in line 3"),
        ("- {a: 1, b: 2, 'a': 3}", "the key 'a' is given twice, in line 1 and in line 1"),
        ("yes: 1\ntrue: 2", "the key True is given twice"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n  <<: *x", "the key '<<' is given twice"),
        ("m:\n\ta: 1", "f: line 2, column 1 holds a tab, but YAML is indented with spaces"),
        ("m:\tq", "f: line 1, column 3 holds a tab"),
        ("a: [1", r"f: line 1, column 6: expected ',' or '\]'"),
        ("a: 1\n---\nb: 2", r"f: line 2, column 1: but found another document"),
        ("a: \x00", "f: it is no text that YAML can hold: .*special characters"),
        ("a: !!python/name:os.system ''", "f: line 1, column 4: could not determine a constructor"),
        ("? [a]\n: 1", "f: line 1, column 3: found unhashable key"),
        ("a: 2024-13-45", "f: a value cannot be read: month must be in 1..12"),
        ("[" * 5000 + "]" * 5000, "f: it is nested too deeply"),
    ],
)
def test_refusals_are_one_sentence_with_the_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_yaml(text, "f")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("opening", "closing"), ["[]", ("{a: ", "}")])
def test_aliases_that_multiply(opening, closing):
    keys = [f"k{i}: " if closing == "}" else "" for i in range(10)]
    lines = [f"v0: &v0 {opening}1{closing}"]
    for n in range(1, 7):
        items = ", ".join(f"{key}*v{n - 1}" for key in keys)
        lines.append(f"v{n}: &v{n} {opening[0]}{items}{closing}")
    assert len(load_yaml("\n".join(lines[:6]), "f")["v5"]) == 10
    with pytest.raises(ValueError, match=r"f: its aliases \(\*name\) repeat too many values"):
        load_yaml("\n".join(lines), "f")
    assert load_yaml("a: &a [*a]", "f")["a"][0]  # holds itself: whoever reads it looks for that


def test_merges_that_multiply():
    lines = ["v0: &v0 {x: 1}"]
    for n in range(1, 10):  # PyYAML alone would go through 10**9 pairs
        lines.append(f"v{n}: &v{n} {{<<: [{', '.join([f'*v{n - 1}'] * 10)}]}}")
    assert load_yaml("\n".join(lines[:4]), "f")["v3"] == {"x": 1}
    with pytest.raises(ValueError, match=r"f: its merges \(<<\) repeat too many values"):
        load_yaml("\n".join(lines), "f")
