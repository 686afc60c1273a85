"""`ampedge train`."""

from pathlib import Path
from typing import Annotated

import typer

from ampedge.cli import options


def train(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="The table to learn from, as CSV with a header.")],
    *,
    label: options.TableLabel = "status",
    features: options.Features = None,
    drop: options.Drop = None,
    group: options.Group = None,
    time_order: Annotated[
        bool, typer.Option("--time-order", help="Train on the first 70 % of the rows and judge on the last 15 %.")
    ] = False,
    layers: Annotated[str, typer.Option("--layers", metavar="N,N,N", help="Units of each hidden layer.")] = "64,32,16",
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training rows.")] = 50,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Rows from one step to the next.")] = 32,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Length of the steps (Adam).")] = 0.001,
    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            help="Stop after so many epochs without a better validation loss and keep the best weights; 0 runs all.",
        ),
    ] = 0,
    l2: Annotated[
        float,
        typer.Option("--l2", help="Keep the network's weights small: add this times their squares to the loss."),
    ] = 0.0,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Try layers, learning rates and L2 on folds of the rows that are not held out, and keep the best; "
            "one that is given is not varied.",
        ),
    ] = False,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            "--class-weight",
            metavar="none|balanced|CLASS=N,...",
            help="What a row of a class counts for in training; balanced: each class the same in all.",
        ),
    ] = "none",
    cost: Annotated[
        list[str] | None,
        typer.Option(
            "--cost",
            metavar="CLASS=N",
            help="A miss of this class costs as much as N false alarms: it is said from 1/(1+N) on. May be repeated.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed on the same machine gives the same model.")] = 42,
    sep: options.Sep = None,
    decimal: options.Decimal = None,
    drop_bad_rows: options.DropBadRows = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model; without it, that of the table.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory to write the model to; an older model there is replaced.")
    ] = Path("model"),
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Learn a classifier from a table of labelled readings, judge it on held-out rows, and write its bundle."""
    from ampedge.cli.training_screen import Screen, messages, show
    from ampedge.training.fitting.sweep import GRID, candidates
    from ampedge.training.settings import (
        FitSettings,
        TableSettings,
        parsed_costs,
        parsed_layers,
        parsed_names,
        parsed_weights,
    )
    from ampedge.training.train import train as run

    fitting = FitSettings(
        layers=parsed_layers(layers),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        l2=l2,
        class_weight=parsed_weights(weights),
        seed=seed,
        costs=parsed_costs(cost or ()),
    )
    table = TableSettings(
        label=label,
        features=None if features is None else parsed_names("--features", features),
        drop=() if drop is None else parsed_names("--drop", drop),
        group=group,
        time_order=time_order,
        sep=sep,
        decimal=decimal,
        drop_bad_rows=drop_bad_rows,
    )
    tried = candidates(fitting, [name for name in GRID if _given(context, name)]) if sweep else ()
    config = options.config_from(config_file)
    with messages() as console, Screen(console) as screen:
        screen.stage(f"Reading {data.name}")
        trained = run(
            data, out=out, config=config, table=table, fitting=fitting, tried=tried, name=name, watcher=screen
        )
    show(trained, as_json=as_json)


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
