"""`ampedge simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from ampedge.cli import options


def simulate(
    samples: Annotated[
        Path | None,
        typer.Argument(help="The rows to play, as published or plain CSV; without it, the samples that ampedge ships."),
    ] = None,
    *,
    host: options.Host = None,
    port: options.Port = None,
    unit: options.Unit = None,
    device: options.Device = None,
    interval: Annotated[
        float, typer.Option("--interval", min=0, max=86400, help="Seconds from one row to the next.")
    ] = 1.0,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="How many rows to play, from the top again after the last.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Play the rows again and again until interrupted.")] = False,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Play the rows in a random order.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="With --shuffle: the same seed, the same order.")] = None,
    row: Annotated[int | None, typer.Option("--row", help="Play this row only, counted from 1.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TAG=VALUE", help="Give a tag this value in every row; may be repeated."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Column of the expected label; without it, status where there is one.")
    ] = None,
    sep: options.Sep = None,
    decimal: options.Decimal = None,
    check: Annotated[
        bool, typer.Option("--check", help="Listen on MQTT and compare each row's label with the one expected.")
    ] = False,
    min_score: Annotated[
        float | None,
        typer.Option("--min-score", min=0, max=1, help="With --check: the least share of right labels (0.9)."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=0.001, max=86400, help="With --check: seconds to wait for a label (10)."),
    ] = None,
    broker: options.Broker = None,
    topic: options.Topic = None,
    model: options.Model = None,
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Play rows into the slave, as a Modbus master does; with --check, see whether the right labels come out."""
    from ampedge.cli import plays
    from ampedge.errors import UsageError
    from ampedge.sample_rows import read_samples
    from ampedge.simulator.play import as_plays, choose, default_samples, parse_overrides, writable
    from ampedge.site_map import site_map

    for given, option, needed in (
        (min_score is not None and not check, "--min-score", "--check"),
        (timeout is not None and not check, "--timeout", "--check"),
        (seed is not None and not shuffle, "--seed", "--shuffle"),
    ):
        if given:
            raise UsageError(f"{option} says nothing without {needed}.", f"Add {needed}, or leave {option} out.")
    for given, pair in (
        (loop and count is not None, "--loop and --count"),
        (shuffle and row is not None, "--row and --shuffle"),
    ):
        if given:
            raise UsageError(f"{pair} contradict each other.", "Give one of them.")
    config = options.config_from(
        config_file, host=host, port=port, unit=unit, broker=broker, topic=topic, only=device, model=model
    )
    datamap, map_source = site_map(config)
    writable(datamap)
    path = samples or default_samples(datamap)
    rows = read_samples(path, datamap, label=label, sep=sep, decimal=decimal)
    overrides = parse_overrides(settings or (), datamap)
    chosen = choose(rows, number=row, count=count, loop=loop, shuffle=shuffle, seed=seed)
    plays.run(
        as_plays(chosen, datamap, overrides),
        config,
        datamap,
        about=f"{map_source} Rows of {path}.",
        labels=[plays.shown_label(one.label, bool(overrides)) for one in rows],
        interval_s=interval,
        check=plays.Check(0.9 if min_score is None else min_score, timeout or 10.0) if check else None,
        as_json=as_json,
    )
