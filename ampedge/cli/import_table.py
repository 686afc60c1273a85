"""An import on the terminal."""

import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ampedge.training.importing.importer import Imported


def show(imported: Imported, *, as_json: bool) -> None:
    """Notes on stderr; on stdout the rows, and what a service that mixes something up says of them."""
    messages = Console(stderr=True, soft_wrap=True, highlight=False)
    for note in imported.notes:
        messages.print(note, style="bold red" if note.startswith("Warning") else "dim", markup=False)
    messages.print(f"Model: {imported.bundle.path}", markup=False)
    if as_json:
        print(json.dumps(imported.document(), ensure_ascii=False))
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print("Golden rows, and what a service says of them that has another list of labels, or no scaler:\n")
    console.print(_table(imported))


def _table(imported: Imported) -> Table:
    ways = list(imported.rows[0].otherwise)
    table = Table(box=None, pad_edge=False)
    for title in ("right", *ways, "values"):
        table.add_column(Text(title))
    for row in imported.rows:
        wrong = (Text(said, style="" if said == row.right else "red") for said in row.otherwise.values())
        table.add_row(Text(row.right), *wrong, Text(" ".join(f"{value:.4g}" for value in row.values)))
    return table
