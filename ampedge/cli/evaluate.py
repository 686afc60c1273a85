"""`ampedge evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from ampedge.cli import options


def evaluate(
    data: Annotated[
        Path | None,
        typer.Argument(help="A table with the model's columns; without it, the held-out rows of the bundle directory."),
    ] = None,
    *,
    model: options.Model = None,
    runtime: options.Runtime = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Column of the labels; without it, the one of the training table.")
    ] = None,
    sep: options.Sep = None,
    decimal: options.Decimal = None,
    drop_bad_rows: options.DropBadRows = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory for report.html, report.json and confusion_matrix.png.")
    ] = Path("evaluation"),
    min_macro_f1: Annotated[
        float | None,
        typer.Option("--min-macro-f1", min=0, max=1, help="End with exit code 6 where macro-F1 is below this."),
    ] = None,
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Score the model through the code that serve runs, and write a report."""
    from functools import partial

    from rich.console import Console
    from rich.progress import track

    from ampedge.cli.evaluation_tables import show
    from ampedge.errors import GateError
    from ampedge.site_map import site_bundle
    from ampedge.training import evaluation
    from ampedge.training.report import PAGE, write_report

    config = options.config_from(config_file, model=model, runtime=runtime)
    bundle, which = site_bundle(config, insist=False)
    messages = Console(stderr=True, soft_wrap=True, highlight=False)
    messages.print(which, markup=False)
    rows, scored = evaluation.rows_to_score(
        bundle, data, label=label, sep=sep, decimal=decimal, drop_bad_rows=drop_bad_rows
    )
    found = evaluation.evaluate(
        bundle,
        rows,
        scored=scored,
        datamap=config.datamap,
        min_confidence=config.settings.decision.min_confidence,
        min_macro_f1=min_macro_f1,
        track=partial(track, description="Scoring", console=messages, transient=True, disable=not messages.is_terminal),
    )
    write_report(found, out)
    show(found, as_json=as_json)
    messages.print(f"Report: {out / PAGE}", markup=False)
    if not found.passed:
        raise GateError(
            f"Macro-F1 is {found.scores['macro_f1']:.4f}, below the limit of {min_macro_f1:g}.",
            f"Look at the worst classes in {out / PAGE}.",
        )
