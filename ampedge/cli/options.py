"""The options that several commands share, spelled once, and how they reach the config."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ampedge.config import Config

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Config file; without it ./ampedge.toml where there is one.")
]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="Bundle directory or .ampedge file; without it ./model and so on.")
]
Runtime = Annotated[
    str | None,
    typer.Option("--runtime", metavar="numpy|litert|onnx|keras", help="What runs the model; without it numpy."),
]
Host = Annotated[str | None, typer.Option("--host", help="The slave's address.")]
Port = Annotated[int | None, typer.Option("--port", help="The slave's TCP port.")]
Unit = Annotated[int | None, typer.Option("--unit", help="The slave's unit id.")]
Device = Annotated[str | None, typer.Option("--device", help="The name of one of several devices.")]
Broker = Annotated[str | None, typer.Option("--broker", help="The MQTT broker, HOST or HOST:PORT.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Topic of the bare label.")]
TableLabel = Annotated[str, typer.Option("--label", help="Column of the labels.")]
Features = Annotated[
    str | None,
    typer.Option("--features", metavar="A,B,C", help="Use exactly these columns; without it, all with numbers."),
]
Drop = Annotated[str | None, typer.Option("--drop", metavar="A,B,C", help="Leave these columns out of the features.")]
Group = Annotated[
    str | None,
    typer.Option("--group", help="Column of the experiment a row belongs to; one experiment is never split."),
]
Sep = Annotated[
    str | None, typer.Option("--sep", help="What separates the columns (',' ';' '|' tab), where it is not recognised.")
]
Decimal = Annotated[
    str | None, typer.Option("--decimal", help="The decimal sign ('.' or ','), where it is not recognised.")
]
DropBadRows = Annotated[
    bool, typer.Option("--drop-bad-rows", help="Leave out rows with a bad cell or the wrong number of fields.")
]
StateDir = Annotated[str | None, typer.Option("--state-dir", help="The directory of the service's event log and lock.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def config_from(
    file: Path | None,
    *,
    host: str | None = None,
    port: int | None = None,
    unit: int | None = None,
    broker: str | None = None,
    topic: str | None = None,
    only: str | None = None,
    **flags: Any,
) -> "Config":
    """The checked config with this command's flags on top, and with the device named `only` where one is given.

    `flags` are further dotted paths with `__` for the dot (`modbus__interval_s`).
    """
    from ampedge.config import load_config

    broker_host, broker_port = _split_broker(broker)
    given = {
        "modbus.host": host,
        "modbus.port": port,
        "modbus.unit": unit,
        "mqtt.host": broker_host,
        "mqtt.port": broker_port,
        "mqtt.topic": topic,
    }
    given.update({name.replace("__", "."): value for name, value in flags.items()})
    return load_config(file, given, device=only)


def broker_config(
    file: Path | None,
    *,
    host: str | None,
    port: int | None,
    broker: str | None,
    topic: str | None,
    device: str | None,
) -> "Config":
    """The checked config of a command whose `--host` and `--port` name the broker, as `--broker` does."""
    from ampedge.errors import UsageError

    broker_host, broker_port = _split_broker(broker)
    for name, one, other in (("--host", host, broker_host), ("--port", port, broker_port)):
        if one is not None and other is not None and one != other:
            raise UsageError(f"{name} {one} and --broker {broker} name two brokers.", "Give one of them.")
    given: dict[str, Any] = {"mqtt__host": host, "mqtt__port": port, "device": device}
    flags = {name: value for name, value in given.items() if value is not None}
    return config_from(file, broker=broker, topic=topic, **flags)


def _split_broker(broker: str | None) -> tuple[str | None, int | None]:
    """(host, port) of HOST, HOST:PORT, IPv6, [IPv6] or [IPv6]:PORT."""
    from ampedge.errors import UsageError

    if broker is None:
        return None, None
    if match := re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]+))?", broker):
        return match[1].strip("[]"), int(match[2]) if match[2] else None
    if re.fullmatch(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", broker):
        return broker, None
    raise UsageError("--broker is no HOST or HOST:PORT.", "Write it as in --broker 192.168.1.75:1883.")
