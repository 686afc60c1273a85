"""The service: one loop a device, the loop of the event log, the connection to the broker, the slave where we host it.

Nothing here exits because a device, a broker or a card is away, and none of the loops waits for another.
The slave and the broker are imported only where they are hosted, which is not in the field.
"""

import secrets
from contextlib import ExitStack
from types import TracebackType

from ampedge.clock import Clock, SystemClock, synchronised
from ampedge.config import EMBEDDED_BROKER, Config, Device
from ampedge.errors import AmpedgeError, UsageError
from ampedge.log import logger
from ampedge.model.bundle import Bundle
from ampedge.mqtt.identity import client_id
from ampedge.mqtt.publisher import Publisher
from ampedge.service.delivery import Delivery
from ampedge.service.device import Brain, DeviceLoop, brain_for
from ampedge.service.hosting import hosts_slave
from ampedge.service.supervisor import STALLED_S, Supervisor
from ampedge.site_map import normal_label
from ampedge.store.event_log import EventLog
from ampedge.store.schema import FILE_NAME, refuse_newer
from ampedge.store.state_dir import StateDirectory

_STOP_POLLS_S = 0.3
_STOP_BROKER_S = 0.7
_STOP_S = 1.3
"""For all of the stop; what polls and broker leave of it is the log's."""
_SYNC_S = 1.0
_JUMP_S = 60.0


class Service:
    """Everything that `serve` runs; a context manager that starts and stops it.

    Constructing it checks that config and bundle agree and connects nothing.
    Raises ModelRefusedError, UsageError, InUseError.
    """

    def __init__(self, config: Config, bundle: Bundle, *, boot: str | None = None, clock: Clock | None = None) -> None:
        self.config = config
        self.bundle = bundle
        self.boot = boot or secrets.token_hex(8)
        self.devices: tuple[DeviceLoop, ...] = ()
        self.clock = clock or SystemClock()
        self.normal_label = normal_label(config, bundle)
        self.supervisor = Supervisor(self.clock)
        self.state = StateDirectory(config.state_dir)
        self.time_synced = synchronised()
        self._synced_s = self.clock.monotonic()
        self._offset_s = self.clock.time() - self._synced_s
        self._jumped = False
        self._hosted = False
        self._started = ExitStack()
        self._sequences: dict[str, int] = {}  # of devices that are no longer there; they may come back in this boot
        self._brains: dict[str, Brain] = {}
        self._brains = self._brains_for(config, bundle)

    def __enter__(self) -> "Service":
        with ExitStack() as started:
            started.enter_context(self.state)
            self._check_log()
            self.started_s = self.clock.monotonic()
            store = self.config.settings.store
            self.log = EventLog(
                self.state.wanted,
                boot=self.boot,
                clock=self.clock,
                announcer=self.config.devices[0].name,
                hold=self.state.hold,
                commit_s=store.commit_s,
                max_bytes=int(store.max_mb * 1e6),
                keep_s=store.keep_days * 86400,
                time_is_believed=lambda: self.time_synced is True or not self._jumped,
            )
            self.publisher = self._make_publisher(self.config)
            self._told = _told(self.config)
            self._host(started)
            self.delivery = Delivery(self.log, self.publisher, boot=self.boot, clock=self.clock)
            self.devices = tuple(self._make_loop(self.config, device) for device in self.config.devices)
            self.publisher.start()
            self.supervisor.start(self.delivery)
            for loop in self.devices:
                self.supervisor.start(loop)
            started.callback(self._stop)
            self._started = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()

    @property
    def broker(self) -> str:
        """The broker's address, for people."""
        return f"{self.config.mqtt.host}:{self.config.mqtt.port}"

    @property
    def failed(self) -> AmpedgeError | None:
        """Why the service cannot go on, None while it can; then somebody must mend something or start it anew."""
        if self.supervisor.failed is None:
            return self.delivery.refused
        return AmpedgeError(
            f"The loop {self.supervisor.failed} failed again and again; see the log above.",
            "Start the service anew, and report it with those tracebacks.",
        )

    def stalled(self) -> list[str]:
        """The loops that no longer turn, that of the broker's connection among them."""
        silent_s = self.clock.monotonic() - self.publisher.progress_s
        return self.supervisor.stalled() + (["mqtt"] if silent_s > STALLED_S or not self.publisher.alive else [])

    def turn(self) -> None:
        """What has to be looked at now and then; called about four times a second."""
        now_s = self.clock.monotonic()
        if now_s - self._synced_s < _SYNC_S:
            return
        self._synced_s = now_s
        self.time_synced = synchronised()
        offset_s = self.clock.time() - now_s
        if abs(offset_s - self._offset_s) > _JUMP_S:
            logger.warning("The clock was set by %+.0f s; intervals are not affected.", offset_s - self._offset_s)
            self._jumped = True
            self._offset_s = offset_s
        if self.time_synced:
            self.delivery.offset_s = offset_s

    def think_with(self, bundle: Bundle) -> None:
        """Run this model from each device's next cycle on; raises AmpedgeError and leaves the old one."""
        brains = self._brains_for(self.config, bundle)
        self._check_hosted(self.config, brains)
        self.normal_label = normal_label(self.config, bundle)
        self.bundle = bundle
        self._brains = brains
        for loop in self.devices:
            loop.think_with(brains[loop.name])

    def reload(self, config: Config, bundle: Bundle) -> None:
        """Take over another config: what it leaves as it was keeps running, events go on counting.

        Raises ConfigError, UsageError or ModelRefusedError, and then nothing has changed.
        """
        self._check_reload(config)
        brains = self._brains_for(config, bundle)
        self._check_hosted(config, brains)
        normal = normal_label(config, bundle)
        old, previous = self.config, self.publisher
        told = _told(config)
        publisher = None
        if told != self._told:
            publisher = self._make_publisher(config)
        self.config, self.bundle, self.normal_label, self._brains = config, bundle, normal, brains
        if publisher is not None:
            self._told = told
            self._replace_publisher(publisher, previous)
        self._replace_devices(config, old)
        store = config.settings.store
        self.log.limit(commit_s=store.commit_s, max_bytes=int(store.max_mb * 1e6), keep_s=store.keep_days * 86400)

    def _check_reload(self, config: Config) -> None:
        old = self.config
        if config.state_dir != old.state_dir:
            raise UsageError("state_dir cannot change while serve runs.", "Restart it.")
        hosts_broker = EMBEDDED_BROKER in (old.settings.mqtt.host, config.settings.mqtt.host)
        if hosts_broker and config.settings.mqtt != old.settings.mqtt:
            raise UsageError("The embedded broker cannot change while serve runs.", "Restart it.")
        if self._hosted and (config.devices != old.devices or config.settings.modbus != old.settings.modbus):
            raise UsageError("The slave that serve hosts cannot change while it runs.", "Restart it.")
        if not self._hosted and _place(config) not in (None, _place(old)) and hosts_slave(config)[0]:
            raise UsageError("A slave cannot come to be hosted while serve runs.", "Restart it.")

    def _check_hosted(self, config: Config, brains: dict[str, Brain]) -> None:
        """Raise UsageError where the slave that we host has other registers than a model would be read from."""
        if not self._hosted:
            return
        name = config.device.name
        now, wanted = self._brains[name].pipeline.datamap, brains[name].pipeline.datamap
        if set(now.tags) != set(wanted.tags):
            raise UsageError("The hosted slave has other registers than this model is to read.", "Restart serve.")

    def _replace_publisher(self, publisher: Publisher, previous: Publisher) -> None:
        previous.stop(_STOP_BROKER_S)
        self.publisher = publisher
        self.delivery.use(publisher)
        names = {device.name for device in self.config.devices}  # of the others the old one has said `offline`
        for loop in self.devices:
            if loop.online is not None and loop.name in names:
                publisher.announce(loop.name, loop.online)
        publisher.start()

    def _replace_devices(self, config: Config, old: Config) -> None:
        known = {loop.name: loop for loop in self.devices}
        same = {device.name for device in old.devices if device in config.devices}
        if _rhythm(config) != _rhythm(old):
            same.clear()
        gone = [loop for name, loop in known.items() if name not in same]
        self.supervisor.stop(*gone, timeout_s=_STOP_POLLS_S) if gone else None
        self._sequences |= {loop.name: loop.events for loop in gone}
        loops = []
        for device in config.devices:
            if device.name in same:
                loop = known[device.name]
                loop.think_with(self._brains[device.name])
            else:
                loop = self._make_loop(config, device)
                loop.events = self._sequences.get(device.name, 0)
                if device.name in known:
                    loop.continue_from(known[device.name])
            loops.append(loop)
        self.devices = tuple(loops)
        for loop in loops:
            if loop.name not in same:
                self.supervisor.start(loop)

    def _brains_for(self, config: Config, bundle: Bundle) -> dict[str, Brain]:
        normal = normal_label(config, bundle)
        return {
            device.name: brain_for(
                device,
                config,
                bundle,
                boot=self.boot,
                normal_label=normal,
                before=self._brains.get(device.name),
            )
            for device in config.devices
        }

    def _make_publisher(self, config: Config) -> Publisher:
        return Publisher(
            config.mqtt,
            password=config.password(),
            client_id=client_id(config.mqtt, self.state.path),
            devices=[device.name for device in config.devices],
            receipts=self.log,
        )

    def _make_loop(self, config: Config, device: Device) -> DeviceLoop:
        return DeviceLoop(
            device,
            self._brains[device.name],
            config,
            delivery=self.delivery,
            clock=self.clock,
            time_synced=lambda: self.time_synced,
        )

    def _check_log(self) -> None:
        """Raise UsageError for a log of a newer version before anybody hears of this start."""
        if self.state.path is None:
            return
        try:
            refuse_newer(self.state.path / FILE_NAME)
        except UsageError:
            raise
        except Exception as error:  # the log mends or sets aside what is wrong with it, and says so
            logger.debug("The version of the log is not known yet: %s", error)

    def _host(self, started: ExitStack) -> None:
        """Run the broker and the slave where they are ours to run."""
        if self.config.settings.mqtt.host == EMBEDDED_BROKER:
            from ampedge.mqtt.broker import EmbeddedBroker

            broker = EmbeddedBroker(port=self.config.mqtt.port)
            broker.start()
            started.callback(broker.stop)
            logger.info("Running a broker at %s, for trying things.", self.broker)
        if self.config.settings.devices:
            return
        device = self.config.device
        self._hosted, sentence = hosts_slave(self.config)
        if self._hosted:
            from ampedge.modbus.slave import EmbeddedSlave

            datamap = self._brains[device.name].pipeline.datamap
            slave = EmbeddedSlave(device.host, device.port, datamap, on_write=self._written, is_ours=self._is_ours)
            slave.start()
            started.callback(slave.stop)
        logger.info(sentence)

    def _written(self, is_row: bool) -> None:
        for loop in self.devices:
            loop.poller.written(is_row=is_row)

    def _is_ours(self, peer: tuple[str, int]) -> bool:
        return any(loop.master.connection.local_address == peer for loop in self.devices)

    def _stop(self) -> None:
        """Stop polling, write what is left, say `offline`, all within about two seconds."""
        until_s = self.clock.monotonic() + _STOP_S
        self.supervisor.close()
        late = self.supervisor.stop(*self.devices, timeout_s=_STOP_POLLS_S)  # a poll that hangs does not hold it up
        self.delivery.hurry()
        self.publisher.stop(_STOP_BROKER_S)
        late += self.supervisor.stop(self.delivery, timeout_s=until_s - self.clock.monotonic())
        if lost := self.log.unwritten:
            logger.error("%d events could neither be delivered nor written and are lost.", lost)
        if late:
            logger.warning("Stopped without waiting for %s.", ", ".join(late))


def _told(config: Config) -> tuple[object, ...]:
    """What the connection to the broker is made of."""
    return config.mqtt, config.password(), [device.name for device in config.devices]


def _place(config: Config) -> tuple[object, ...] | None:
    """What decides whether the slave is hosted, None where several devices are polled, of which none is."""
    settings = config.settings
    return None if settings.devices else (config.device.host, config.device.port, settings.modbus.slave)


def _rhythm(config: Config) -> tuple[float, float]:
    return config.settings.mqtt.heartbeat_s, config.settings.modbus.settle_ms
