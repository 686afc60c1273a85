"""`ampedge probe`."""

from typing import Annotated

import typer

from ampedge.cli import options


def probe(
    *,
    host: options.Host = None,
    port: options.Port = None,
    unit: options.Unit = None,
    device: options.Device = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", help='Read registers from here, without a data map: 0 (wire address), 40001 or "hr:0".'
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="With --address: how many registers (10).")
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", help="With --address: holding, input, coil or discrete (holding).")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Read again and again until interrupted.")] = False,
    interval: Annotated[
        float | None, typer.Option("--interval", help="With --watch: seconds from one reading to the next.")
    ] = None,
    model: options.Model = None,
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Read the tags of a device once and show them in every word order, to find word order and addresses.

    It only reads.  A value is plausible where it is a number within the tag's valid range and the model's training;
    where neither is known, a float of a usual size.
    """
    from ampedge.cli import probing
    from ampedge.errors import UsageError

    for given, option, needed in (
        (count is not None and address is None, "--count", "--address"),
        (table is not None and address is None, "--table", "--address"),
        (interval is not None and not watch, "--interval", "--watch"),
    ):
        if given:
            raise UsageError(f"{option} says nothing without {needed}.", f"Add {needed}, or leave {option} out.")
    config = options.config_from(
        config_file, host=host, port=port, unit=unit, only=device, model=model, modbus__interval_s=interval
    )
    wanted = None if address is None else probing.registers(address, table, count or 10)
    probing.run(config, wanted, watch=watch, as_json=as_json)
