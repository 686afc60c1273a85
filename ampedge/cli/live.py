"""What `serve` shows: log lines, and on a terminal live lines below them, one a device."""

import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ampedge import log
from ampedge.causes import in_words
from ampedge.config import Config
from ampedge.decision import in_percent
from ampedge.records import UNKNOWN, Quality
from ampedge.service.device import DeviceLoop
from ampedge.service.service import Service

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_STYLES = {Quality.GOOD: "green", Quality.UNCERTAIN: "yellow", Quality.BAD: "red"}


class Output:
    """Where the log lines go, and the live lines above them on a terminal."""

    def __init__(self, stack: ExitStack, config: Config, boot: str) -> None:
        self._boot = boot
        self._write: Callable[[str], object] | None = None
        self._live: Live | None = None
        if sys.stderr.isatty() and config.settings.log.format != "json":
            from rich.console import Console
            from rich.live import Live as Lines

            console = Console(stderr=True)
            self._write = lambda text: console.print(text, markup=False, highlight=False)
            self._live = Lines(console=console, auto_refresh=False, transient=True)
            self._live.start()
            stack.callback(self._end)
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Log as the config says."""
        settings = config.settings.log
        file = config.path("log.file", settings.file)
        log.set_up(
            self._write,
            form=settings.format,
            file=None if file is None else Path(file),
            max_bytes=int(settings.max_mb * 1e6),
            backups=settings.backups,
            boot=self._boot,
        )
        for exposed in config.exposed:
            log.logger.warning(
                "Other users can read the secret in %s; keep it to this one: chmod 600 %s", exposed, exposed
            )

    def show(self, service: Service) -> None:
        """Draw the live lines anew, where there is a terminal."""
        if self._live is not None:
            with suppress(OSError):  # a terminal that has been closed is no reason to fail
                self._live.update(lines(service), refresh=True)

    def _end(self) -> None:
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()


def lines(service: Service) -> "Text":
    """What there is to see of each device, of broker and log; what speaks for a label last: ends may be cut off."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    if len(service.devices) == 1:
        (loop,) = service.devices
        text.append_text(_device(loop, service.normal_label)).append("  ").append_text(_delivery(service))
        return text.append(_because(loop, service.normal_label))
    for loop in service.devices:
        text.append(f" {loop.name} ", "bold").append_text(_device(loop, service.normal_label))
        text.append(f"{_because(loop, service.normal_label)}\n")
    return text.append_text(_delivery(service))


def _because(loop: DeviceLoop, normal: str) -> str:
    return f"  {in_words(loop.latest.because, normal)}" if loop.latest is not None and loop.latest.because else ""


def _device(loop: DeviceLoop, normal: str) -> "Text":
    from rich.text import Text

    record = loop.latest
    if record is None:
        return Text("waiting for the first reading ...", "dim")
    style = "bold yellow" if record.label == UNKNOWN else "bold green" if record.label == normal else "bold red"
    text = Text(f" {record.label} ", style)
    if record.confidence is not None:
        text.append(f" {in_percent(record.confidence)} ", "not bold")
    text.append(f" {record.quality} ", _STYLES[record.quality])
    if record.reasons:
        text.append(f"({', '.join(record.reasons)}) ", "dim")
    text.append(f" {loop.age_s():.1f} s ago  {loop.rate():.2g}/s", "dim")
    if loop.poller.skipped:
        text.append(f"  {loop.poller.skipped} skipped", "red")
    return text


def _delivery(service: Service) -> "Text":
    from rich.text import Text

    connected, counts = service.publisher.connected, service.log.counts
    text = Text("MQTT connected" if connected else "MQTT away", "dim" if connected else "bold red")
    if counts.waiting > 1:
        text.append(f", {counts.waiting} waiting", "dim" if connected else "red")
    if counts.dropped:
        text.append(f", {counts.dropped} dropped", "red")
    return text
