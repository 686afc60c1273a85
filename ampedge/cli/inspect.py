"""`ampedge inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from ampedge.cli import options


def inspect(
    data: Annotated[Path, typer.Argument(help="The table to look at, as CSV with a header.")],
    *,
    label: options.TableLabel = "status",
    features: options.Features = None,
    drop: options.Drop = None,
    group: options.Group = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Column of the times; without it, the first that is recognised.")
    ] = None,
    sep: options.Sep = None,
    decimal: options.Decimal = None,
    fix: Annotated[
        Path | None,
        typer.Option("--fix", metavar="OUT.csv", help="Write a cleaned copy, and every change to OUT.changes.csv."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one page, with pictures.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with exit code 6 where there are findings of severity error.")
    ] = False,
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Say what is wrong with a table before a model is trained on it; with --fix, write a cleaned copy."""
    from ampedge.cli.inspecting import run
    from ampedge.errors import GateError
    from ampedge.training.settings import TableSettings, parsed_names

    settings = TableSettings(
        label=label,
        features=None if features is None else parsed_names("--features", features),
        drop=() if drop is None else parsed_names("--drop", drop),
        group=group,
        sep=sep,
        decimal=decimal,
        drop_bad_rows=True,
    )
    config = options.config_from(config_file)
    errors = run(data, settings, config.datamap, time=time, fix=fix, html=html, as_json=as_json)
    if strict and errors:
        raise GateError(
            f"{data} has {errors} finding{'s' * (errors != 1)} of severity error.",
            "Mend the table, or write a cleaned copy with --fix.",
        )
