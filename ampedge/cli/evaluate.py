"""`ampedge evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ampedge.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from ampedge.training.judging.evaluation import Evaluation


def evaluate(
    given: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MODEL] [OTHER] [DATA]",
            help="A table with the model's columns; without it, the held-out rows of the bundle directory. "
            "Two models, directories or .ampedge files, are compared on the same rows.",
        ),
    ] = None,
    *,
    model: options.Model = None,
    runtime: options.Runtime = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Column of the labels; without it, the one of the training table.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", help="Column of the experiment a row belongs to: judge each by itself, and the figures over all."
        ),
    ] = None,
    cv: Annotated[
        int | None,
        typer.Option(
            "--cv", min=2, max=20, help="Train the model's recipe anew on so many folds of the table, and judge each."
        ),
    ] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(
            "--cost",
            metavar="CLASS=N",
            help="Show what it trades to say this class from 1/(1+N) on, where a miss costs N false alarms.",
        ),
    ] = None,
    sep: options.Sep = None,
    decimal: options.Decimal = None,
    drop_bad_rows: options.DropBadRows = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory for report.html, report.json and their pictures.")
    ] = Path("evaluation"),
    min_macro_f1: Annotated[
        float | None,
        typer.Option("--min-macro-f1", min=0, max=1, help="End with exit code 6 where macro-F1 is below this."),
    ] = None,
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Score a model, or compare two, through the code that serve runs, and write a report."""
    from functools import partial

    from rich.console import Console
    from rich.progress import track

    from ampedge.cli.evaluation_tables import show
    from ampedge.cli.judged import told_apart
    from ampedge.cli.reading import reading_bar
    from ampedge.errors import GateError, UsageError
    from ampedge.site_map import site_bundle
    from ampedge.training.judging.evaluation import evaluate as run
    from ampedge.training.judging.judged_rows import rows_to_score
    from ampedge.training.judging.report import PAGE, write_report
    from ampedge.training.settings import parsed_costs

    models, data = told_apart(given or [], model)
    of_tables = {"--sep": sep, "--decimal": decimal, "--drop-bad-rows": drop_bad_rows}
    if data is None and (unread := next((name for name, value in of_tables.items() if value), None)):
        raise UsageError(f"{unread} says how a table is read, and none is given.", "Give a table, or leave it out.")
    costs = parsed_costs(cost or ())
    if costs and (cv is not None or len(models) == 2):
        raise UsageError("--cost is shown for one model on one set of rows.", "Leave out --cost, --cv or a model.")
    config = options.config_from(config_file, model=str(models[0]) if models else model, runtime=runtime)
    messages = Console(stderr=True, soft_wrap=True, highlight=False)
    judge = partial(
        run,
        datamap=config.datamap,
        min_confidence=config.settings.decision.min_confidence,
        track=partial(track, description="Scoring", console=messages, transient=True, disable=not messages.is_terminal),
    )
    read: dict[str, Any] = {
        "label": label,
        "group": group,
        "sep": sep,
        "decimal": decimal,
        "drop_bad_rows": drop_bad_rows,
    }
    if len(models) == 2:
        if cv is not None:
            raise UsageError("--cv trains the recipe of one model, and two are given.", "Leave one of them away.")
        if min_macro_f1 is not None:
            raise UsageError("--min-macro-f1 is a limit for one model, and two are given.", "Leave one of them away.")
        _compare(models, data, read, judge, out=out, as_json=as_json)
        messages.print(f"Report: {out / PAGE}", markup=False)
        return
    bundle, which = site_bundle(config, insist=False)
    messages.print(which, markup=False)
    if cv is not None:
        from ampedge.cli.cross_validating import cross_validated

        cross_validated(bundle, data, count=cv, read=read, out=out, min_macro_f1=min_macro_f1, as_json=as_json)
        return
    with reading_bar(messages, data or bundle.path) as progress:
        rows, scored = rows_to_score(bundle, data, progress=progress, **read)
    found = judge(bundle, rows, scored=scored, min_macro_f1=min_macro_f1, costs=costs)
    write_report(found, out)
    show(found, as_json=as_json)
    messages.print(f"Report: {out / PAGE}", markup=False)
    if not found.passed:
        raise GateError(
            f"Macro-F1 is {found.scores['macro_f1']:.4f}, below the limit of {min_macro_f1:g}.",
            f"Look at the worst classes in {out / PAGE}.",
        )


def _compare(
    models: list[Path],
    data: Path | None,
    read: dict[str, Any],
    judge: "Callable[..., Evaluation]",
    *,
    out: Path,
    as_json: bool,
) -> None:
    """Judge two models on the same rows, and say whether the difference is more than luck."""
    from ampedge.cli.comparison_tables import show
    from ampedge.model.bundle import load_bundle
    from ampedge.training.judging.comparison_report import write_comparison
    from ampedge.training.judging.judged_rows import rows_for_both
    from ampedge.training.judging.model_comparison import compare

    first, second = map(load_bundle, models)
    mine, its, scored = rows_for_both(first, second, data, **read)
    comparison = compare(judge(first, mine, scored=scored), judge(second, its, scored=scored), mine.rows)
    write_comparison(comparison, out)
    show(comparison, as_json=as_json)
