"""`ampedge collect`."""

from pathlib import Path
from typing import Annotated

import typer

from ampedge.cli import options


def collect(
    *,
    label: Annotated[str, typer.Option("--label", help="The state that the device is in now: the label of each row.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table that the rows are added to.")] = Path("data.csv"),
    count: Annotated[int, typer.Option("--count", min=1, help="How many good readings to collect.")] = 600,
    interval: Annotated[float | None, typer.Option("--interval", help="Seconds from one reading to the next.")] = None,
    host: options.Host = None,
    port: options.Port = None,
    unit: options.Unit = None,
    device: options.Device = None,
    model: options.Model = None,
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Read labelled rows from a live device into a training table; what is not good is left out and counted."""
    import json
    import signal

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ampedge import collect as collecting
    from ampedge.clock import SystemClock
    from ampedge.modbus.client import Master
    from ampedge.modbus.source import ModbusSource
    from ampedge.service.hosting import reachable
    from ampedge.site_map import site_map

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    label = collecting.checked_label(label)
    config = options.config_from(
        config_file, host=host, port=port, unit=unit, only=device, model=model, modbus__interval_s=interval
    )
    datamap, map_source = site_map(config)
    site, clock = config.device, SystemClock()
    master = Master(reachable(site.host), site.port, unit=site.unit, timeout_s=site.timeout_s)
    source = ModbusSource(
        master,
        datamap,
        device=site.name,
        clock=clock,
        reconnect_settle_s=site.reconnect_settle_s,
        close_after_poll=site.close_after_poll,
        check=site.check,
        interval_s=site.interval_s,
    )
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=messages,
        disable=not messages.is_terminal,
    )
    messages.print(f"{map_source} Reading {master.address}, unit {site.unit}, into {out}.", markup=False)
    tally = collecting.Tally()
    interrupted = False
    try:
        with collecting.GrowingTable(out, datamap) as table, bar:
            task = bar.add_task(label, total=count, note="")
            for tally, record in collecting.collect(
                source, table, label=label, count=count, interval_s=site.interval_s, clock=clock
            ):
                bar.update(task, completed=tally.rows, note=", ".join(record.reasons))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        master.close()
    if as_json:
        document = {
            "out": str(out),
            "label": label,
            "rows": tally.rows,
            "left_out": tally.left_out,
            "reasons": dict(tally.reasons),
            "interrupted": interrupted,
        }
        typer.echo(json.dumps(document))
    else:
        typer.echo(collecting.summary(tally, out, label))
    if interrupted:
        raise typer.Exit(130)
