"""Where a command writes what it made: whole, and never over what is not its own."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ampedge.errors import InUseError, UsageError
from ampedge.files import replaced_directory, replaced_file


@contextmanager
def new_file(path: Path, *, option: str = "--out") -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` if all goes well; an older file stays until then.

    `option` is the one that names the file.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a directory.", f"Give a file with {option}, such as {path / 'NAME'}{path.suffix}.")
    if path.exists() and not path.is_file():  # a rename would take the place of /dev/null itself
        raise UsageError(f"{path} is no regular file; nothing was written.", f"Give a file with {option}.")
    with _writable(path, option), replaced_file(path) as made:
        yield made


@contextmanager
def new_directory(path: Path, contents: Collection[str]) -> Iterator[Path]:
    """A temporary directory to fill, which becomes `path` if all goes well.

    `contents` are the names that the command writes: a directory that holds another is not replaced.
    """
    if path.exists() and not path.is_dir():
        raise InUseError(f"{path} exists and is no directory; nothing was written.", "Choose another place with --out.")
    foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in contents) if path.exists() else []
    if foreign:
        raise InUseError(
            f"{path} holds {foreign[0]!r}, which this command did not write; nothing was written.",
            "Choose another place with --out.",
        )
    with _writable(path), replaced_directory(path) as made:
        yield made


@contextmanager
def _writable(path: Path, option: str = "--out") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.", f"Choose another place with {option}."
        ) from error
