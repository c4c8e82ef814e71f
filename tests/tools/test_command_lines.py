"""Every tool speaks with one voice: help, and a mistake of its user in one line."""

import ast
import re
from pathlib import Path

import pytest

CONFIG = ("--config-file", "Toy/pointrend_rcnn_toy.yaml")
OUTPUT = ("--output", "OUT")
ABSENT_WEIGHTS = (*CONFIG, "--weights", "gone.pth", "--input", "a.jpg", *OUTPUT)
MISTAKES = {
    "compare_semantic": (
        ("--predictions", "a=a.json", "b=b.json", "--dataset", "nowhere_val", *OUTPUT),
        "'nowhere_val' is not a registered data set",
    ),
    "convert_checkpoint": ((*CONFIG, "gone.pkl", "OUT.pth"), "gone.pkl"),
    "demo": ((*CONFIG, "--input", "gone.jpg", *OUTPUT), "gone.jpg: there is no such file"),
    "describe_data": (("gone", *OUTPUT), "'gone': there is no such file or folder"),
    "export_model": ((*CONFIG, "--weights", "gone.pth", "--output", "OUT.onnx"), "gone.pth"),
    "evaluate": (("--annotations", "gone.json", "--predictions", "a.json"), "gone.json"),
    "make_toy_data": (("--data-root", "OUT", "--num-train", "0"), "num_train"),
    "report": (("--evaluation", "gone.json", "--output", "OUT.html"), "gone.json"),
    "sample_points": (("gone.json", "--output", "OUT.json"), "gone.json"),
    "toy_demo": (("--data-root", "OUT", *OUTPUT, "MODEL.GONE", "1"), "MODEL.GONE"),
    "train_net": ((*CONFIG, "MODEL.GONE", "1"), "MODEL.GONE"),
    "visualize_data": ((*CONFIG, *OUTPUT, "MODEL.GONE", "1"), "MODEL.GONE"),
    "visualize_flow": (ABSENT_WEIGHTS, "gone.pth"),
    "visualize_points": (ABSENT_WEIGHTS, "gone.pth"),
}
TOOLS = sorted(MISTAKES)
FOLDER = Path(__file__).parents[2] / "tools"


def test_every_tool_is_tried():
    shared = [path.stem for path in FOLDER.glob("*.py") if "run_tool(" in path.read_text()]
    assert sorted(shared) == TOOLS


@pytest.mark.parametrize("name", TOOLS)
def test_help(name, call_tool, capsys):
    with pytest.raises(SystemExit, match="0"):
        call_tool(name, "--help")
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {name}.py")
    assert ("--config-file" in text) <= ("KEY VALUE" in text or "opts" in text)


@pytest.mark.parametrize("name", TOOLS)
def test_a_mistake_is_one_line(name, call_tool, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, reason = MISTAKES[name]
    assert call_tool(name, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{name}.py: Error: ")
    assert reason in error
    assert error.count("\n") == 1
    assert not any(path.suffix in (".png", ".pth", ".html") for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        (
            "compare_semantic",
            ("--predictions", "a=x", "a=y", "--dataset", "toy_val", *OUTPUT),
            "--predictions has the names ['a', 'a']; give two",
        ),
        (
            "report",
            ("--evaluation", "e.json", "--run", "a=x", "--run", "a=y", "--output", "OUT.html"),
            "--run has two called 'a'",
        ),
        (
            "report",
            ("--evaluation", "e.json", *("--model", "a=c,w") * 2, "--output", "OUT.html"),
            "--model has two called 'a'",
        ),
    ],
)
def test_none_of_two_of_one_name_is_dropped(name, words, said, call_tool, capsys):
    assert call_tool(name, *words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", TOOLS)
def test_examples_are_understood(name, call_tool, capsys, tmp_path, monkeypatch):
    """A mistake of theirs would be that of ``argparse``, which exits."""
    monkeypatch.chdir(tmp_path)
    doc = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
    for words in re.findall(r"Example: python tools/\w+\.py (.*)", doc, re.DOTALL):
        assert call_tool(name, *words.split()) == 2
        assert "model_final.pth" in capsys.readouterr().err
