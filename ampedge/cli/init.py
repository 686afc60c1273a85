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
    drop: Annotated[
        str | None, typer.Option("--drop", help="With --from: columns that are no features, as in A,B,C.")
    ] = None,
    sep: options.Sep = None,
    decimal: options.Decimal = None,
    drop_bad_rows: options.DropBadRows = False,
) -> None:
    """Write a commented ampedge.toml and samples to begin with; without --from, those of the amplifier."""
    import shlex

    from rich.console import Console

    from ampedge import starter
    from ampedge.errors import UsageError

    given = {"--label": label, "--drop": drop, "--sep": sep, "--decimal": decimal, "--drop-bad-rows": drop_bad_rows}
    how = {option: value for option, value in given.items() if value}
    if table is None:
        if how:
            raise UsageError(f"{next(iter(how))} says nothing without --from.", "Name your table with --from data.csv.")
        files = starter.shipped_files()
        train = "ampedge train data.csv"
    else:
        from ampedge.cli.reading import reading_bar
        from ampedge.table import read_table
        from ampedge.training.rows.dataset import dataset
        from ampedge.training.settings import TableSettings, parsed_names

        settings = TableSettings(
            label=label or "status", drop=parsed_names("--drop", drop) if drop else (), drop_bad_rows=drop_bad_rows
        )
        messages = Console(stderr=True, highlight=False, soft_wrap=True)
        with reading_bar(messages, table) as progress:
            whole = read_table(table, sep=sep, decimal=decimal, drop_bad_rows=drop_bad_rows, progress=progress)
        data = dataset(whole, settings, keep_wild=True)
        for note in data.notes:
            messages.print(note, markup=False)
        names = [data.classes[place] for place in data.targets]
        files = starter.files_for_table(table.stem, data.datamap, data.values, names)
        again = [str(word) for pair in how.items() for word in pair if word is not True]
        train = shlex.join(["ampedge", "train", str(table.absolute()), *again])
    for path in starter.write_files(directory, files):
        typer.echo(f"Wrote {path}")
    if table is not None:
        typer.echo("The samples are rows of your table: a check with them tests the installation, not the model.")
    enter = "" if directory == Path() else f"cd {shlex.quote(str(directory))} && "
    typer.echo(f"Read through ampedge.toml, then: {enter}{train}")
