"""`ampedge card`."""

from pathlib import Path
from typing import Annotated

import typer

from ampedge.cli import options


def card(
    *,
    model: options.Model = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write it to this file, NAME.md; without it, to stdout.")
    ] = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Write the model's card in Markdown: what it reads and says, its figures and limits, how it was made."""
    import sys

    from rich.console import Console

    from ampedge.errors import UsageError
    from ampedge.model.card import card as written
    from ampedge.site_map import site_bundle
    from ampedge.training.destination import new_file

    if out is not None and out.suffix != ".md":
        raise UsageError(f"--out {out}: the name of a card ends in .md.", f"Give --out {out}.md")
    bundle, which = site_bundle(options.config_from(config_file, model=model), insist=False, runs=False)
    messages = Console(stderr=True, soft_wrap=True, highlight=False)
    messages.print(which, markup=False)
    text = written(bundle)
    if out is None:
        sys.stdout.write(text)
        return
    with new_file(out) as made:
        made.write_text(text, "utf-8")
    messages.print(f"Card: {out}", markup=False)
