"""Files and directories that are written whole and then renamed, so that no reader meets half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def name_as_text(path: Path) -> str:
    """The file's name; what in it is no text is written as an escape."""
    return path.name.encode("utf-8", "backslashreplace").decode()


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the place of `path` only if all went well."""
    import tempfile  # with shutil, a tenth of the start of commands that write nothing

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    made = Path(name)
    try:
        made.chmod(0o644)
        yield made
        _sync(made)
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


@contextmanager
def replaced_directory(path: Path) -> Iterator[Path]:
    """A temporary directory beside `path` to fill; it takes the place of `path` only if all went well."""
    import shutil
    import tempfile

    path = Path(os.path.realpath(path))  # unlike resolve, silent about links in a circle: the system reports them
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    old = made.with_name(made.name + ".old")
    try:
        made.chmod(0o755)
        yield made
        for file in made.rglob("*"):
            if file.is_file():
                _sync(file)
        if path.exists():
            path.rename(old)
        made.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
