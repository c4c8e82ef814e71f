"""The file last_checkpoint leads to a checkpoint of its folder, or to a sentence that says why."""

import pytest
import torch

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.checkpoint.last_checkpoint import last_checkpoint, named_last


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("model_0000009.pth", "model_0000019.pth", "model_final.pth", "my own.pth"):
        (run / name).touch()
    (tmp_path / "other.pth").touch()
    return run


def test_the_checkpoint_to_name_is_the_one_of_most_iterations(tmp_path, folder):
    assert last_checkpoint(tmp_path / "none") is None
    assert last_checkpoint(str(tmp_path)) is None
    with pytest.raises(ValueError, match=r"echo model_0000019\.pth > /.*/last_checkpoint$"):
        last_checkpoint(folder)
    assert named_last(folder) == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("model_0000009.pth", "model_0000009.pth"),
        ("my own.pth\r\n", "my own.pth"),
        ("linked.pth", "linked.pth"),  # the user's own doing
    ],
)
def test_a_file_of_the_folder_is_taken(folder, text, name):
    (folder / "linked.pth").symlink_to("../other.pth")
    (folder / "last_checkpoint").write_text(text)
    assert last_checkpoint(folder) == folder / name
    assert PointRendCheckpointer(torch.nn.Linear(1, 1), str(folder)).get_checkpoint_file() == str(
        folder / name
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"../other.pth", r"'\.\./other\.pth', and must name .* beside it in a line\. If it is mo"),
        (b"/tmp/other.pth", "says '/tmp/other.pth', and must"),
        (b"sub/model.pth", "says 'sub/model.pth', and must"),
        (b"model_0000009.pth\nmodel_final.pth\n", r"9\.pth\\nmodel_final\.pth', and must"),
        (b"\x1b[2Jmodel_final.pth", r"says '\\x1b\[2Jmodel"),
        ("model_final.pth".encode("utf-16"), "and must name"),  # of PowerShell's echo
        (b"\n", "says '', and must name"),
        (b".", r"says '\.', and must name"),
        (b"..", r"says '\.\.', and must name"),
        (b"detectron2://a/b.pkl", "and must name"),
        (b"x" * 10**6, "xxx does not exist"),
        (b"a\0b", r"says 'a\\x00b', and must name"),
        (b"model_0000029.pth", r"model_0000029\.pth does not exist, which .*last_checkpoint"),
        (b"model_final.pth?matching_heuristics=True", "does not exist"),
    ],
)
def test_another_content_is_refused(folder, content, message):
    (folder / "last_checkpoint").write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        last_checkpoint(folder)
    assert str(caught.value).endswith(
        f"If it is model_0000019.pth: echo model_0000019.pth > {folder / 'last_checkpoint'}"
    )
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()


def test_a_folder_or_a_broken_link_is_no_file(folder, tmp_path):
    tag = folder / "last_checkpoint"
    tag.mkdir()  # Detectron2 would start anew, at iteration 1
    with pytest.raises(ValueError, match="is no file that names the checkpoint"):
        last_checkpoint(folder)
    tag.rmdir()
    tag.symlink_to("gone")
    with pytest.raises(ValueError, match="is no file that names"):
        last_checkpoint(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "last_checkpoint").write_text("model_final.pth")
    with pytest.raises(FileNotFoundError, match=r"Copy a checkpoint to .*empty and write its name"):
        last_checkpoint(empty)
