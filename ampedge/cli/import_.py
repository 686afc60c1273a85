"""`ampedge import`."""

from pathlib import Path
from typing import Annotated

import typer

from ampedge.cli import options


def import_(
    network: Annotated[Path, typer.Argument(metavar="NETWORK", help="The network as Keras saved it, amp_model.h5.")],
    *,
    scaler: Annotated[Path, typer.Option("--scaler", help="The scaler as joblib saved it, scaler.save.")],
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="A,B,C", help="The labels in the order of the network's outputs."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="The table of the training: it gives labels, features, ranges, rows.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Open these files, though they can run code; without it none is opened.")
    ] = False,
    label: Annotated[str, typer.Option("--label", help="With --data: the column of the labels.")] = "status",
    features: Annotated[
        str | None,
        typer.Option("--features", metavar="A,B,C", help="The features in the order of the training."),
    ] = None,
    sep: options.Sep = None,
    decimal: options.Decimal = None,
    drop_bad_rows: options.DropBadRows = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model; without it, that of the table or the network.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory to write the model to; an older model there is replaced.")
    ] = Path("model"),
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Bring in what the published scripts made: amp_model.h5, scaler.save, and labels in the right order."""
    from rich.console import Console

    from ampedge.cli.import_table import show
    from ampedge.training.importing.importer import import_model
    from ampedge.training.settings import TableSettings, parsed_names

    if trust:
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            f"You trust {scaler}: a pickle, which can run code when it is opened.", style="yellow", markup=False
        )
    imported = import_model(
        network,
        scaler,
        trust=trust,
        out=out,
        config=options.config_from(config_file),
        labels=None if labels is None else parsed_names("--labels", labels),
        data=data,
        table=TableSettings(
            label=label,
            features=None if features is None else parsed_names("--features", features),
            sep=sep,
            decimal=decimal,
            drop_bad_rows=drop_bad_rows,
        ),
        name=name,
    )
    show(imported, as_json=as_json)
