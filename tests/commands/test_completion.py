"""The completion of bash, run in a bash; of other shells, that it is written."""

import shutil
import subprocess
import sys

import pytest

from pointrend_ext import cli

pytest.importorskip("shtab")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    words = [sys.executable, "-m", "pointrend_ext", "completion", "bash"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    path = tmp_path_factory.mktemp("completion") / "pointrend"
    path.write_text(done.stdout)
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["da"], {"data"}),
        (["data", ""], {"check", "describe", "points", "look"}),
        (["export", "--pre"], {"--precision"}),
        (["export", "--precision", ""], {"fp32", "fp16", "int8"}),
        (["export", "--output", "mod"], {"model.onnx"}),
        (["doctor", "--j"], {"--json"}),
    ],
)
def test_bash(script, tmp_path, words, expected):
    (tmp_path / "model.onnx").touch()
    typed = " ".join(f"'{word}'" for word in ["pointrend", *words])
    lines = (
        f"source '{script}'; COMP_WORDS=({typed}); COMP_CWORD={len(words)}",
        r"$(complete -p pointrend | sed 's/.*-F \([^ ]*\).*/\1/')",  # its function
        "printf '%s\\n' \"${COMPREPLY[@]}\"",
    )
    run = ["bash", "--norc", "-c", "\n".join(lines)]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert set(done.stdout.split()) == expected, done.stderr


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells(capsys, shell):
    assert cli.main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "pointrend" in text
    assert all(name.split()[-1] in text for name in cli.COMMANDS)


def test_without_the_package(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 2
    assert "pip install 'pointrend-ext[completion]'" in capsys.readouterr().err
