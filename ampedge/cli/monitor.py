"""`ampedge monitor`."""

from typing import Annotated

import typer

from ampedge.cli import options


def monitor(
    *,
    host: Annotated[str | None, typer.Option("--host", help="The MQTT broker's address.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="The MQTT broker's TCP port.")] = None,
    broker: Annotated[
        str | None, typer.Option("--broker", help="The same in one, as in the other commands: HOST or HOST:PORT.")
    ] = None,
    topic: options.Topic = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Only this device, where the topic holds `{device}`.")
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Print `[INFERENCE] healthy`, a line for each bare label, as without a terminal."),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help='Print each event as one line of JSON; {"label": ...} for a label that no event follows within 1 s.',
        ),
    ] = False,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many labels.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the first label, as --count 1.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", min=0.001, help="End after so many seconds; an error where --count or --once is not reached."
        ),
    ] = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Show what a service publishes on MQTT, live; of a service that publishes bare labels only, those."""
    from ampedge.cli.monitoring import run
    from ampedge.errors import UsageError

    for given, what in ((plain and as_json, "--plain and --json"), (once and count is not None, "--once and --count")):
        if given:
            raise UsageError(f"{what} contradict each other.", "Give one of them.")
    config = options.broker_config(config_file, host=host, port=port, broker=broker, topic=topic, device=device)
    run(config, plain=plain, as_json=as_json, count=1 if once else count, timeout_s=timeout)
