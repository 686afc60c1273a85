"""How the running parts stand, put into the one snapshot."""

import os

import ampedge
from ampedge.service.device import DeviceLoop
from ampedge.service.model_watch import ModelWatch
from ampedge.service.service import Service
from ampedge.service.snapshot import DeviceState, LogState, LoopState, ModelState, MqttState, ReloadState, Snapshot
from ampedge.service.supervisor import STALLED_S
from ampedge.wire import rfc3339


def observe(service: Service, models: ModelWatch, reload: ReloadState) -> Snapshot:
    """The state of everything at this moment; may be called from any thread."""
    now_s = service.clock.monotonic()
    config, bundle = service.config, service.bundle
    publisher, log = service.publisher, service.log
    counts = log.counts
    acknowledged_s, oldest_s = publisher.acknowledged_s, log.oldest_s
    uptime_s = now_s - service.started_s
    ages_s = {**service.supervisor.ages_s(), "mqtt": now_s - publisher.progress_s}
    return Snapshot(
        version=ampedge.__version__,
        pid=os.getpid(),
        boot=service.boot,
        started=rfc3339(service.clock.time() - uptime_s),
        uptime_s=uptime_s,
        time_synced=service.time_synced,
        config=None if config.file is None else str(config.file.absolute()),
        state_dir=None if service.state.path is None else str(service.state.path.absolute()),
        devices=tuple(_device(loop, now_s) for loop in service.devices),
        mqtt=MqttState(
            broker=service.broker,
            connected=publisher.connected,
            healthy=publisher.healthy,
            problem=publisher.problem,
            acknowledged_age_s=None if acknowledged_s is None else now_s - acknowledged_s,
            in_flight=publisher.in_flight,
        ),
        log=LogState(
            path=str(log.path.absolute()),
            produced=counts.produced,
            delivered=counts.delivered,
            dropped=counts.dropped,
            waiting=counts.waiting,
            oldest_age_s=None if oldest_s is None else now_s - oldest_s,
            problem=log.problem or service.state.problem,
            size_bytes=log.size_bytes,
        ),
        model=ModelState(
            name=bundle.manifest.name,
            version=bundle.manifest.version,
            path=str(bundle.path.absolute()),
            signed=bundle.signed,
            runtime=bundle.runtime.name,
            loaded=rfc3339(models.since.timestamp()),
            problem=models.problem,
            rolled_back=models.rolled_back,
        ),
        reload=reload,
        loops=tuple(LoopState(name, age_s, STALLED_S) for name, age_s in ages_s.items()),
    )


def _device(loop: DeviceLoop, now_s: float) -> DeviceState:
    record, poller = loop.latest, loop.poller
    return DeviceState(
        name=loop.name,
        address=loop.master.address,
        unit=loop.device.unit,
        interval_s=loop.device.interval_s,
        online=loop.online,
        label=None if record is None else record.label,
        quality=None if record is None else record.quality,
        reasons=() if record is None else record.reasons,
        good_age_s=None if loop.last_good_s is None else now_s - loop.last_good_s,
        event_age_s=loop.age_s() if loop.events else None,
        polls=poller.polls,
        failures=poller.failures,
        skipped=poller.skipped,
        detail="" if record is None else record.frame.detail,
        retry_s=poller.retry_in_s,
    )
