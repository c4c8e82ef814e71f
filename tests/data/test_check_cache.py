"""Results of checks are kept until a file changes, and lost without harm."""

import os

import pytest

from pointrend_ext.data import check_cache
from pointrend_ext.data.check_cache import file_version, load_checked, store_checked, versions_key


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("POINTREND_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.json"
    path.write_text("12345")
    return path


def key(path, *settings):
    return versions_key("label_maps-1", [file_version(path)], *settings)


def test_a_result_is_found_again_under_the_same_file_and_settings(file):
    store_checked(key(file, 3), {"counts": [1, 2]})
    assert load_checked(key(file, 3)) == {"counts": [1, 2]}
    assert load_checked(key(file, 4)) is None


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_changed_file_is_checked_again(file, change):
    store_checked(key(file), 1)
    stat = file.stat()
    if change == "size":
        file.write_text("123456")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    else:
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert load_checked(key(file)) is None


def test_a_damaged_entry_and_an_unwritable_folder_cost_nothing_but_time(file, monkeypatch):
    store_checked(key(file), 1)
    (entry,) = (file.parent / "cache").iterdir()
    entry.write_text("{")
    assert load_checked(key(file)) is None
    monkeypatch.setenv("POINTREND_CACHE", str(file))  # a file where a folder would be
    store_checked(key(file), 1)
    assert load_checked(key(file)) is None


def test_the_cache_can_be_turned_off_and_lies_in_the_users_folder(file, monkeypatch):
    monkeypatch.setenv("POINTREND_CACHE", "")
    store_checked(key(file), 1)
    assert load_checked(key(file)) is None
    monkeypatch.delenv("POINTREND_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file.parent / "xdg"))
    store_checked(key(file), 1)
    assert [p.name for p in (file.parent / "xdg/pointrend_ext").iterdir()] == [f"{key(file)}.json"]


def test_only_the_latest_that_were_asked_for_stay(file, monkeypatch):
    monkeypatch.setattr(check_cache, "_MOST", 3)
    folder = file.parent / "cache"
    folder.mkdir()
    (folder / "mine.json").write_text("{}")  # POINTREND_CACHE may be a folder of the user's
    for number in range(5):
        store_checked(key(file, number), number)
        for age, n in enumerate(range(number, -1, -1)):
            entry = folder / f"{key(file, n)}.json"
            if entry.exists() and n:
                os.utime(entry, ns=(10**18 - age, 10**18 - age))
        assert load_checked(key(file, 0)) == 0  # asked for again and again
    assert [load_checked(key(file, number)) for number in range(5)] == [0, None, None, 3, 4]
    assert len([*folder.iterdir()]) == 4
