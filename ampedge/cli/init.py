"""`ampedge init`."""

from pathlib import Path
from typing import Annotated

import typer

from ampedge.cli import options


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the files.")] = Path(),
    *,
    table: Annotated[
        Path | None, typer.Option("--from", help="Your own table: its columns become the tags of the config.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="With --from: the column of the label (status).")] = None,
    sep: options.Sep = None,
    decimal: options.Decimal = None,
) -> None:
    """Write a commented ampedge.toml and samples to begin with; without --from, those of the amplifier."""
    from rich.console import Console

    from ampedge import starter
    from ampedge.errors import UsageError

    if table is None:
        for option, given in (("--label", label), ("--sep", sep), ("--decimal", decimal)):
            if given is not None:
                raise UsageError(f"{option} says nothing without --from.", "Name your table with --from data.csv.")
        files = starter.shipped_files()
        train = "ampedge train data.csv"
    else:
        import shlex

        from ampedge.table import read_table
        from ampedge.training.dataset import dataset
        from ampedge.training.settings import TableSettings

        settings = TableSettings(label=label or "status", drop_bad_rows=True)
        data = dataset(read_table(table, sep=sep, decimal=decimal), settings)
        messages = Console(stderr=True, highlight=False, soft_wrap=True)
        for note in data.notes:
            messages.print(note, markup=False)
        names = [data.classes[place] for place in data.targets]
        files = starter.files_for_table(table.stem, data.datamap, data.values, names)
        train = f"ampedge train {shlex.quote(str(table.absolute()))}" + (f" --label {label}" if label else "")
    for path in starter.write_files(directory, files):
        typer.echo(f"Wrote {path}")
    enter = "" if directory == Path() else f"cd {directory} && "
    typer.echo(f"Read through ampedge.toml, then: {enter}{train}")
