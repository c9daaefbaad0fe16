"""Atomic writes: whatever fails on the way, the old state stays and nothing half-written is left."""

import errno
import os
from pathlib import Path

import pytest

from stemma.errors import StemmaError
from stemma.storage import atomic_file, atomic_folder, remove_leftovers, sha256, write_json


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.json"
    write_json(path, {"n": 1})
    before = sha256(path)
    write_json(path, {"n": 2})
    assert sha256(path) != before
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path, "w") as file:
        file.write("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", _no_space)
    with pytest.raises(OSError, match="No space left"):
        write_json(tmp_path / "x.json", {})
    with pytest.raises(OSError, match="No space left"), atomic_folder(tmp_path / "folder") as folder:
        (folder / "part").write_text("data")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_only_complete(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_folder(target) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "x").write_text("1")
        assert not target.exists()
    assert (target / "deep" / "x").read_text() == "1"
    with pytest.raises(StemmaError, match="already exists"), atomic_folder(target):
        pass
    with atomic_folder(target, replace=True) as folder:
        (folder / "y").write_text("2")
    assert sorted(p.name for p in target.iterdir()) == ["y"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failed_replacement_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_folder(target) as folder:
        (folder / "x").write_text("1")
    with pytest.raises(RuntimeError), atomic_folder(target, replace=True) as folder:
        (folder / "x").write_text("2")
        raise RuntimeError
    assert (target / "x").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_replacement_that_fails_at_its_last_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "x").write_text("1")
    real = os.replace

    def second_fails(source: Path, destination: Path) -> None:
        if Path(source).suffix == ".tmp":
            _no_space()
        real(source, destination)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(OSError, match="No space left"), atomic_folder(target, replace=True) as folder:
        (folder / "x").write_text("2")
    assert (target / "x").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_a_kill_left_aside_is_moved_back_before_anything_else(tmp_path: Path) -> None:
    aside, target = tmp_path / ".out.old", tmp_path / "out"
    aside.mkdir()
    (aside / "x").write_text("1")
    with pytest.raises(StemmaError, match="already exists"), atomic_folder(target):
        pass
    assert (target / "x").read_text() == "1"
    os.replace(target, aside)
    with pytest.raises(RuntimeError), atomic_folder(target, replace=True):
        assert (target / "x").read_text() == "1"
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_only_leftovers_of_the_names_given_are_cleared_up(tmp_path: Path) -> None:
    for name in (".model.ab12cd_9.tmp", ".model.old", ".other.old", ".step-3.old", "step-3", ".model.tmp"):
        (tmp_path / name).mkdir()
    for name in (".run.json.ab12cd_9.tmp", ".bashrc.old"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path, "model", "run.json", "step-*")
    kept = [".bashrc.old", ".model.tmp", ".other.old", "model", "step-3"]
    assert sorted(p.name for p in tmp_path.iterdir()) == kept


def test_the_folder_a_command_runs_in_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (Path(), tmp_path.parent):
        with pytest.raises(StemmaError, match="is the folder this command runs in"), atomic_folder(place):
            pytest.fail("the work was begun")
    with atomic_folder(Path("below/../out")) as folder:
        (folder / "x").write_text("1")
    assert (tmp_path / "out" / "x").read_text() == "1"


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("1")
    with pytest.raises(StemmaError, match="already exists"), atomic_folder(tmp_path / "out", replace=True):
        pass
    assert (tmp_path / "out").read_text() == "1"
