"""`ampedge history`."""

from pathlib import Path
from typing import Annotated

import typer

from ampedge.cli import options


def history(
    *,
    since: Annotated[
        str, typer.Option("--since", help="How far back: 30min, 2h, 3d, or a time such as 2026-11-23T08:30.")
    ] = "1d",
    device: Annotated[str | None, typer.Option("--device", help="Only of the device of this name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every event instead of the changes.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the newest so many.")] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write a table to this file; with --all it has a column for each tag.")
    ] = None,
    state_dir: options.StateDir = None,
    config_file: options.ConfigFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every event as it was published, a line each.")
    ] = False,
) -> None:
    """Show what happened: when labels and qualities changed, from the event log of `serve`, newest last.

    It reads while the service runs and changes nothing; what happened in the last minute may not be in the log yet.
    """
    from ampedge.cli import past
    from ampedge.errors import UsageError

    if as_json and csv is not None:
        raise UsageError("--json and --csv contradict each other.", "Give one of them.")
    config = options.config_from(config_file, state_dir=state_dir)
    past.show(config.state_dir, since, device=device, limit=limit, every=every, as_json=as_json, csv=csv)
