"""What `monitor` does while it runs: chooses the output, subscribes, ends cleanly."""

import io
import os
import signal
import sys

from rich.console import Console

from ampedge.cli.monitor_lines import JsonLines, PlainLines
from ampedge.clock import SystemClock
from ampedge.config import Config
from ampedge.errors import UsageError, did_you_mean
from ampedge.monitor.board import Board
from ampedge.monitor.watching import watch
from ampedge.mqtt.subscriber import Subscriber
from ampedge.mqtt.topics import service_topic
from ampedge.settings import DEVICE_PLACEHOLDER


def run(config: Config, *, plain: bool, as_json: bool, count: int | None, timeout_s: float | None) -> None:
    """Show labels until told to stop; raises UnreachableError where they did not come in time."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the terminal is restored
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    mqtt = config.mqtt
    clock = SystemClock()
    normal = config.settings.decision.normal_label
    devices = _devices(config)
    board = Board(mqtt.topic, service_topic(mqtt), normal_label=normal, devices=devices)
    with Subscriber(mqtt, password=config.password(), topics=board.topics) as subscriber:
        if plain or as_json or not sys.stdout.isatty():
            messages = Console(stderr=True, highlight=False, soft_wrap=True)

            def say(text: str) -> None:
                messages.print(text, markup=False)

            lines = JsonLines(board, say, most=count) if as_json else PlainLines(board, say)
            try:
                watch(subscriber, board, lines, clock=clock, say=say, count=count, timeout_s=timeout_s)
            except BrokenPipeError:  # whoever read our lines has had enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        from ampedge.cli.monitor_screen import Screen

        with Screen(board, subscriber, f"{mqtt.host}:{mqtt.port}  {mqtt.topic}") as screen:
            watch(subscriber, board, screen, clock=clock, say=lambda _: None, count=count, timeout_s=timeout_s)


def _devices(config: Config) -> list[str]:
    """The devices to show: the one asked for, else those that the config names, else none for whoever is there."""
    names = [device.name for device in config.settings.devices]
    wanted = config.settings.device
    if config.source("device") != "flag":
        return names or ([] if config.source("device") == "default" else [wanted])
    if DEVICE_PLACEHOLDER not in config.mqtt.topic:
        raise UsageError(
            f"The topic {config.mqtt.topic} is that of one device, so --device has nothing to choose from.",
            f"Leave it out, or give the topic of all devices, such as --topic 'amp/{DEVICE_PLACEHOLDER}/inference'.",
        )
    if names and wanted not in names:
        raise UsageError(
            f"There is no device {wanted!r} in the config; "
            f"{did_you_mean(wanted, names) or 'it has: ' + ', '.join(names)}",
        )
    return [wanted]
