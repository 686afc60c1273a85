"""`ampedge serve`."""

from typing import Annotated

import typer

from ampedge.cli import options


def serve(
    *,
    host: options.Host = None,
    port: options.Port = None,
    unit: options.Unit = None,
    model: options.Model = None,
    broker: Annotated[
        str | None, typer.Option("--broker", help='The MQTT broker, HOST or HOST:PORT; "embedded" runs one inside.')
    ] = None,
    topic: options.Topic = None,
    interval: Annotated[float | None, typer.Option("--interval", help="Seconds between polls.")] = None,
    slave: Annotated[
        str | None, typer.Option("--slave", help="auto, embedded (host the slave here) or external (poll one).")
    ] = None,
    settle_ms: Annotated[
        float | None,
        typer.Option("--settle-ms", help="Embedded slave: milliseconds after a write until a row is whole."),
    ] = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Poll the registers, infer, publish the label to MQTT, until told to stop."""
    from ampedge.cli.serving import run
    from ampedge.service.service import Service
    from ampedge.site_map import site_bundle

    config = options.config_from(
        config_file,
        host=host,
        port=port,
        unit=unit,
        broker=broker,
        topic=topic,
        model=model,
        modbus__interval_s=interval,
        modbus__slave=slave,
        modbus__settle_ms=settle_ms,
    )
    bundle, which = site_bundle(config)
    run(Service(config, bundle), which)
