"""`ampedge benchmark`."""

from typing import Annotated

import typer

from ampedge.cli import options


def benchmark(
    *,
    model: options.Model = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Measure this line of the table only; may be repeated."),
    ] = None,
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Measure the model in every format and runtime that this machine has: figures, time, memory, size, start."""
    import json
    from functools import partial

    from rich.console import Console
    from rich.progress import track

    from ampedge.benchmark.benchmark import benchmark as run
    from ampedge.benchmark.benchmark import chosen
    from ampedge.cli.benchmark_table import show
    from ampedge.cli.training_screen import messages
    from ampedge.site_map import site_bundle

    candidates = chosen(only or ())
    bundle, which = site_bundle(options.config_from(config_file, model=model), insist=False, runs=False)
    with messages() as console:
        console.print(which, markup=False, soft_wrap=True)
        bar = partial(track, description="Measuring", console=console, transient=True, disable=not console.is_terminal)
        found = run(bundle, candidates, insist=bool(only), track=bar)
    if as_json:
        print(json.dumps(found.document(), ensure_ascii=False))
    else:
        show(found, Console(highlight=False, soft_wrap=True))
