"""`ampedge demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    *,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Leave everything that the demo makes in this new or empty directory.")
    ] = None,
) -> None:
    """Show the whole system on this machine: data, train, evaluate, export, serve, simulate, monitor."""
    import importlib.util

    from ampedge.cli.showing import show
    from ampedge.errors import InUseError, missing_extra

    for library, extra in (("tensorflow", "train,broker"), ("sklearn", "train,broker"), ("amqtt", "train,broker")):
        if importlib.util.find_spec(library) is None:
            raise missing_extra("The demo", extra)
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise InUseError(f"{keep} is not an empty directory; nothing was written.", "Choose another one with --keep.")
    show(keep)
