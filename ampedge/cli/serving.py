"""What `serve` does while it runs: shows it, and does what signals and systemd ask for."""

import os
import secrets
import select
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack

from ampedge import notify
from ampedge.cli.live import Output
from ampedge.cli.serve_watch import REFRESH_S, BrokerWatch, Watchdog
from ampedge.config import Config
from ampedge.errors import AmpedgeError
from ampedge.log import logger
from ampedge.model.bundle import Bundle
from ampedge.model.keeper import Keeper
from ampedge.service.model_watch import ModelWatch
from ampedge.service.observer import observe
from ampedge.service.refusal import refusal
from ampedge.service.service import Service
from ampedge.service.snapshot import ReloadState
from ampedge.service.status import StatusSocket

_STDERR = 2

Load = Callable[[Bundle | None], tuple[Config, Bundle, str]]
"""Reads config and model, with the model that runs now or with None at the start; raises AmpedgeError."""


class Signals:
    """What this process is asked to do; a second request to stop ends it at once.

    The handlers only set flags: one that takes a lock could meet it held by the very thread that it interrupts.
    SIGHUP asks for a reload, unless the terminal that the service was started on has just been closed.
    """

    def __init__(self) -> None:
        self.stop = False
        self._reload = False
        self._terminal = os.isatty(_STDERR)
        self._wake, told = socket.socketpair()
        self._told = told
        self._wake.setblocking(False)
        told.setblocking(False)
        signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self._on_reload)

    def wait(self, timeout_s: float) -> None:
        """Wait, or less long where something is asked."""
        if select.select([self._wake], [], [], timeout_s)[0]:
            self._wake.recv(64)

    def take_reload(self) -> bool:
        """Whether a reload has been asked for since the last call."""
        asked, self._reload = self._reload, False
        if asked and self._terminal and not _terminal_is_there():
            self.stop, asked = True, False
        return asked

    def _on_stop(self, number: int, _frame: object) -> None:
        self.stop = True
        signal.signal(number, signal.SIG_DFL)

    def _on_reload(self, _number: int, _frame: object) -> None:
        self._reload = True


def _terminal_is_there() -> bool:
    try:
        os.tcgetpgrp(_STDERR)
    except OSError:
        return False
    return True


def run(load: Load) -> None:
    """Run the service until SIGINT or SIGTERM; raises AmpedgeError where it cannot start, or fails again and again."""
    signals = Signals()
    config, bundle, said = load(None)
    with ExitStack() as stack:
        boot = secrets.token_hex(8)
        output = Output(stack, config, boot)
        service = stack.enter_context(Service(config, bundle, boot=boot))
        models = ModelWatch(service, Keeper(config.state_dir), said)
        reloader = Reloader(service, models, output, load)
        state, document = service.state, lambda: observe(service, models, reloader.state).as_dict()
        stack.enter_context(StatusSocket(state.wanted, document, held=lambda: state.path is not None))
        watch, watchdog = BrokerWatch(), Watchdog(service)
        notify.ready()
        while not signals.stop:
            signals.wait(REFRESH_S)
            if signals.take_reload():
                reloader.reload()
            service.turn()
            models.turn()
            watch.look(service)
            watchdog.turn()
            output.show(service)
            if service.failed is not None:
                raise service.failed
        notify.stopping()
    produced, log = sum(loop.events for loop in service.devices), service.log
    kept, lost = log.counts.waiting - log.unwritten, log.unwritten
    left = f"{kept} wait for the broker" if log.usable else f"{lost} are lost"  # what waits on the disk is not known
    logger.info("Stopped after %d events; %s.", produced, left)


class Reloader:
    """Reads config and model again; what is wrong with them is logged, and the old ones go on."""

    def __init__(self, service: Service, models: ModelWatch, output: Output, load: Load) -> None:
        self.state = ReloadState()
        self._service = service
        self._models = models
        self._output = output
        self._load = load

    def reload(self) -> None:
        """Do it now, in the thread that runs the service."""
        notify.reloading()
        why, running = None, self._service.bundle
        try:
            config, bundle, said = self._load(running)
            self._service.reload(config, bundle)
        except Exception as error:  # whatever it is, a service that runs does not end because of it
            remedy = error.remedy if isinstance(error, AmpedgeError) else ""
            why = f"{refusal(error)} {remedy}".rstrip()
            logger.error("Not reloaded, everything goes on as before: %s", why)
            self._models.obey()
        else:
            self._output.configure(config)
            self._models.loaded(said, goes_on=bundle is running)
            logger.info("Reloaded.")
        self.state = ReloadState(self.state.count + 1, why)
        notify.ready()
