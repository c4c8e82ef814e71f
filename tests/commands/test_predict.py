"""Options of ``pointrend predict`` that would do nothing, or worse, are refused."""

import pytest

from pointrend_ext import cli


@pytest.mark.parametrize(
    "words",
    [
        ["--config-file", "c.yaml", "--compare-weights", "w.pth"],
        ["--config-file", "c.yaml", "--titles", "ours", "theirs"],
        ["--runtime", "onnx", "--weights", "m.onnx", "--compare-weights", "w.pth"],
    ],
)
def test_what_is_of_a_second_model(words, tmp_path, capsys):
    (tmp_path / "a.png").touch()
    given = ["--input", str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    assert cli.main(["predict", *given, *words]) == 2
    assert "--compare-weights and --titles go with --compare" in capsys.readouterr().err


def test_cameras_are_numbered_from_0(tmp_path, capsys):
    """OpenCV would end the process."""
    with pytest.raises(SystemExit, match="2"):
        cli.main(["predict", "--webcam", "-1", "--output", str(tmp_path)])
    assert "--webcam: -1 is below 0" in capsys.readouterr().err
