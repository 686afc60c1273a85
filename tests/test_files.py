"""Files and directories appear whole or not at all."""

from pathlib import Path

import pytest

from ampedge.files import replaced_directory, replaced_file


def everything(place: Path) -> list[str]:
    """All that lies there, hidden files, too."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "x.csv"
    with replaced_file(path) as made:
        made.write_text("whole")
        assert made.parent == path.parent  # the same disk, so that it can be renamed
        assert made.suffix == ".csv"  # some libraries choose the format by it
        assert not path.exists()
    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o777 == 0o644
    assert everything(path.parent) == ["x.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(error), replaced_file(path) as made:
        made.write_text("half")
        raise error
    assert everything(tmp_path) == ["x"]
    assert path.read_text() == "old"


def test_a_file_cannot_take_the_place_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").touch()
    with pytest.raises(OSError, match="directory"), replaced_file(tmp_path / "x") as made:
        made.write_text("new")
    assert everything(tmp_path) == ["x", "x/mine"]


def test_a_directory_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model"
    for name in ("first", "second"):
        with replaced_directory(path) as made:
            (made / name).write_text(name)
            (made / "sub").mkdir()
            (made / "sub" / "file").write_text("x")
        assert everything(path.parent) == ["model", f"model/{name}", "model/sub", "model/sub/file"]
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [True, False])
def test_a_failure_leaves_the_old_directory_and_nothing_else(
    tmp_path: Path, error: type[BaseException], old: bool
) -> None:
    path = tmp_path / "model"
    if old:
        path.mkdir()
        (path / "old").touch()
    before = everything(tmp_path)
    with pytest.raises(error), replaced_directory(path) as made:
        (made / "half").touch()
        raise error
    assert everything(tmp_path) == before


def test_the_old_directory_comes_back_where_the_new_one_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == path and not self.name.endswith(".old"):
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no"), replaced_directory(path) as made:
        (made / "new").touch()
    assert everything(tmp_path) == ["model", "model/old"]


def test_the_old_directory_is_never_deleted_while_nothing_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == path:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no"), replaced_directory(path) as made:
        (made / "new").touch()
    assert [name for name in everything(tmp_path) if name.endswith("/old")]


def test_a_link_to_a_directory_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "disk" / "model", tmp_path / "model"
    real.mkdir(parents=True)
    (real / "old").touch()
    link.symlink_to(real)
    with replaced_directory(link) as made:
        (made / "new").touch()
    assert link.is_symlink()
    assert everything(real) == ["new"]
    assert everything(tmp_path) == ["disk", "disk/model", "disk/model/new", "model"]


def test_relative_paths_are_taken_from_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with replaced_file(Path("x")) as made:
        made.write_text("x")
    with replaced_directory(Path("model")) as made:
        (made / "y").touch()
    assert everything(tmp_path) == ["model", "model/y", "x"]


def test_links_in_a_circle_are_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with (
        pytest.raises(OSError, match=r"symbolic link|File exists|Not a directory"),
        replaced_directory(tmp_path / "loop") as made,
    ):
        (made / "x").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]
