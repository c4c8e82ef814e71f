"""What of a folder cannot be read is said, not passed over."""

import os

from pointrend_ext.inference.demo import find_inputs


def test_links_to_files_that_are_not_there(tmp_path):
    """As git-annex and DVC leave them before they fetch what they lead to."""
    (tmp_path / "a.jpg").write_text("x")
    (tmp_path / "b.jpg").symlink_to("gone/b.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "linked.jpg").symlink_to("folder.jpg")
    for pattern in (tmp_path, tmp_path / "*.jpg"):
        found = find_inputs([str(pattern)])
        assert [x.file_name for x in found.inputs] == ["a.jpg", "b.jpg"]


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.jpg").write_text("x")
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_inputs([str(tmp_path)])
    assert [x.file_name for x in found.inputs] == ["a.jpg"]
    (problem,) = found.problems
    assert "Permission denied" in problem
    assert "locked" in problem


def test_results_of_an_earlier_run_are_no_pictures(tmp_path):
    """As of ``--input photos --output photos/seen``, typed twice."""
    for name in ("a.jpg", "seen/a.jpg", "seen/masks/a_00_cat.png", "more/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "seen/.pointrend_files").touch()
    found = find_inputs([str(tmp_path)])
    assert [x.file_name for x in found.inputs] == ["a.jpg", "more/b.jpg"]
    assert found.notes == [f"{tmp_path}/seen: results of an earlier run are passed over."]
    named = find_inputs([str(tmp_path / "seen")])
    assert [x.file_name for x in named.inputs] == ["a.jpg", "masks/a_00_cat.png"]
