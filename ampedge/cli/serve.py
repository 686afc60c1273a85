"""`ampedge serve`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ampedge.cli import options

if TYPE_CHECKING:
    from ampedge.config import Config
    from ampedge.model.bundle import Bundle


def serve(
    *,
    host: options.Host = None,
    port: options.Port = None,
    unit: options.Unit = None,
    model: options.Model = None,
    runtime: options.Runtime = None,
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
    watch_model: Annotated[
        bool, typer.Option("--watch-model", help="Take over a new bundle at the model's place while serve runs.")
    ] = False,
    state_dir: options.StateDir = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Poll the registers, infer, publish the label to MQTT, until told to stop; SIGHUP reads config and model again."""
    from dataclasses import replace

    from ampedge.cli.serving import run
    from ampedge.model.keeper import Keeper
    from ampedge.samples import BUNDLE, shipped
    from ampedge.site_map import model_path, next_bundle, site_bundle

    found: tuple[Path, str] | None = None

    def load(running: "Bundle | None" = None) -> "tuple[Config, Bundle, str]":
        nonlocal config_file, found
        config = options.config_from(
            config_file,
            host=host,
            port=port,
            unit=unit,
            broker=broker,
            topic=topic,
            model=model,
            runtime=runtime,
            modbus__interval_s=interval,
            modbus__slave=slave,
            modbus__settle_ms=settle_ms,
            watch_model=watch_model or None,
            state_dir=state_dir,
        )
        config_file = config.file  # from now on it must be there: without it, a reload would take the defaults
        keeper = Keeper(config.state_dir)
        if config.model is None:  # nor is another model looked for where the one that was found is missing for a moment
            if found is None or found[0] == shipped(BUNDLE):  # one's own may have come meanwhile
                found = model_path(config, keeper)
            config = replace(config, found=found)
        if running is None:
            return (config, *site_bundle(config, keeper))
        return (config, *next_bundle(config, keeper, running))

    run(load)
