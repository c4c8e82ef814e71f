"""Files and their bases: what is inherited, and one sentence for each mistake."""

import pytest

from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.config_yaml import read_yaml
from pointrend_ext.modeling.recording import leaves


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write_file


def test_nearer_files_win_and_each_value_knows_its_file(write):
    far = write("far.yaml", "A: {X: 1, Y: 1, Z: 1}\n")
    near = write("sub/near.yaml", "_BASE_: ../far.yaml\nA: {Y: 2, Z: 2}\nB: 2\n")
    own = write("own.yaml", "_BASE_: sub/near.yaml\nA: {Z: 3}\n")
    content, files, sources = read_yaml(own)
    assert content == {"A": {"X": 1, "Y": 2, "Z": 3}, "B": 2}
    place = lambda path: path.rsplit("/", 1)[1]  # noqa: E731
    assert {name: place(file) for name, file in files.items()} == {
        "A.X": place(far),
        "A.Y": place(near),
        "A.Z": place(own),
        "B": place(near),
    }
    assert [place(file) for file in sources] == ["own.yaml", "near.yaml", "far.yaml"]


def test_of_several_bases_the_later_one_wins(write):
    write("a.yaml", "A: {X: 1, Y: 1}\n")
    write("b.yaml", "A: {Y: 2}\n")
    content, *_ = read_yaml(write("own.yaml", "_BASE_: [a.yaml, b.yaml]\n"))
    assert content == {"A": {"X": 1, "Y": 2}}


def test_one_base_of_two_others_is_no_circle(write):
    write("root.yaml", "A: 1\n")
    for name in ("a", "b"):
        write(f"{name}.yaml", "_BASE_: root.yaml\n")
    content, _, sources = read_yaml(write("own.yaml", "_BASE_: [a.yaml, b.yaml]\n"))
    assert content == {"A": 1}
    names = [path.rsplit("/", 1)[1] for path in sources]
    assert names == ["own.yaml", "b.yaml", "root.yaml", "a.yaml", "root.yaml"]


def test_an_anchor_of_a_base_is_not_changed_with_its_copy(write):
    write("base.yaml", "A: &a {X: {Z: 1}}\nB: *a\n")
    content, *_ = read_yaml(write("own.yaml", "_BASE_: base.yaml\nB: {X: {Z: 2}}\n"))
    assert content == {"A": {"X": {"Z": 1}}, "B": {"X": {"Z": 2}}}


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfSEED: 5\n", b"SEED: 5\r\nVERSION: 2\r\n"])
def test_byte_order_mark_and_windows_lines(write, content):
    assert load_cfg(write("my.yaml", content)).SEED == 5


MISTAKES = {
    "repeated": ("SEED: 1\nMODEL: {}\nSEED: 2\n", r"my\.yaml: the key 'SEED'.*line 1 .*line 3"),
    "repeated below": (
        "MODEL:\n  MASK_ON: True\n  DEVICE: cpu\n  MASK_ON: False\n",
        r"my\.yaml: the key 'MASK_ON'.*line 2 .*line 4",
    ),
    "tab": ("MODEL:\n\tMASK_ON: True\n", r"my\.yaml: line 2.*tab"),
    "UTF-16": ("SEED: 1\n".encode("utf-16"), r"my\.yaml: byte 0 \(line 1\) is not UTF-8"),
    "Latin 1": (b"SEED: 1\nOUTPUT_DIR: m\xfcll\n", r"my\.yaml: byte 21 \(line 2\) is not UTF-8"),
    "unclosed": ("MODEL: [1, 2\nVERSION: 2\n", r"my\.yaml: line 2, column 8"),
    "list": ("- SEED: 1\n", r"my\.yaml holds no configuration"),
    "text": ("SEED 1\n", r"my\.yaml holds no configuration"),
    "empty": ("# nothing\n", r"my\.yaml holds no configuration"),
    "two documents": ("SEED: 1\n---\nSEED: 2\n", r"my\.yaml: line 2.*document"),
    "no text": ("MODEL: {on: 1}\n", r"my\.yaml: the key True below MODEL is no text"),
    "itself": ("MODEL: &m {X: *m}\n", r"my\.yaml: MODEL\.X.* nested too deeply, or holds itself"),
    "base of itself": ("_BASE_: my.yaml\n", r"circle, .*my\.yaml -> .*my\.yaml\. Take"),
    "no base": ("_BASE_: no.yaml\n", r"my\.yaml: _BASE_ is 'no\.yaml', but there is no such file"),
    "number as base": ("_BASE_: 5\n", r"my\.yaml: _BASE_ is 5; the path of a file"),
    "empty base": ("_BASE_: ''\n", r"my\.yaml: _BASE_ is ''; the path"),
    "mapping as base": ("_BASE_: {a: b}\n", r"my\.yaml: _BASE_ is {'a': 'b'}; the path"),
    "list of bases": ("_BASE_: [base.yaml, 5]\n", r"my\.yaml: _BASE_ is \['base.yaml', 5\]; the"),
    "folder as base": ("_BASE_: .\n", r"my\.yaml: _BASE_ is '\.', but there is no such file"),
    "section over value": (
        "_BASE_: base.yaml\nSEED: {A: 1}\n",
        r"my\.yaml: SEED has keys below it, but in a base it is 7",
    ),
    "base inside": ("MODEL: {_BASE_: base.yaml}\n", r"Unknown .*my\.yaml: MODEL\._BASE_"),
    "old version": ("VERSION: 1\n", r"my\.yaml: VERSION is 1, but only .* VERSION 2"),
}


@pytest.mark.parametrize(("content", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(write, content, message):
    write("base.yaml", "SEED: 7\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_cfg(write("my.yaml", content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["- 1\n", "", "SEED: 1\nSEED: 1\n", "MODEL:\n\tMASK_ON: 1\n"])
def test_a_mistake_in_a_base_names_the_base(write, content):
    write("base.yaml", content)
    with pytest.raises(ValueError, match=r"base\.yaml"):
        load_cfg(write("my.yaml", "_BASE_: base.yaml\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("SOLVER: {MAX_ITR: 5}\n", r"Unknown .* in .*base\.yaml: SOLVER\.MAX_ITR"),
        ("SOLVER: {MAX_ITER: 1.5}\n", r"base\.yaml: SOLVER\.MAX_ITER is 1\.5, but a whole"),
        ("SOLVER: 5\n", r"base\.yaml: SOLVER is a section of the configuration, but is given 5"),
    ],
)
def test_values_of_a_base_name_the_base(write, content, message):
    write("base.yaml", content)
    with pytest.raises(ValueError, match=message):
        load_cfg(write("my.yaml", "_BASE_: base.yaml\nSEED: 1\n"))


def test_a_circle_of_three(write):
    for name, base in (("a", "b"), ("b", "c"), ("c", "a")):
        path = write(f"{name}.yaml", f"_BASE_: {base}.yaml\nSEED: 1\n")
    with pytest.raises(ValueError, match=r"circle, .*c\.yaml -> .*a\.yaml -> .*b\.yaml -> .*c\."):
        load_cfg(path)


def test_a_configuration_in_python(write):
    with pytest.raises(ValueError, match=r"my\.py is a configuration in Python .*reads YAML"):
        load_cfg(write("my.py", "cfg = 1\n"))


def test_json_is_yaml(write):
    assert load_cfg(write("my.json", '{"SEED": 3, "MODEL": {"MASK_ON": true}}')).MODEL.MASK_ON


def test_leaves():
    assert dict(leaves({"A": {"B": 1, "C": {}}, "D": None})) == {"A.B": 1, "A.C": {}, "D": None}
