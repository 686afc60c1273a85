"""A device: whether it answers, and whether what it says can be believed."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from ampedge.clock import SystemClock
from ampedge.config import Device
from ampedge.decision import in_percent
from ampedge.doctor.finding import Finding, ok, problem, warning
from ampedge.errors import UnreachableError
from ampedge.modbus.client import Master
from ampedge.modbus.source import ModbusSource
from ampedge.model.bundle import Bundle
from ampedge.pipeline import Pipeline, Reader
from ampedge.records import UNKNOWN, Quality, Reason, Record
from ampedge.service.hosting import reachable
from ampedge.service.snapshot import in_words

_LIMIT_S = 3.0
_UNREADABLE = (Reason.NOT_A_NUMBER, Reason.INFINITE, Reason.DENORMAL, Reason.OUT_OF_RANGE, Reason.OUTSIDE_TRAINING)


def look(
    device: Device, bundle: Bundle | None, told: dict[str, Any] | None, *, hosted: bool = False
) -> Iterator[Finding]:
    """Ask the device itself, unless a running service has just read it (`told` is what that says of the device).

    Many a device allows one master only, and would hang up on the service.
    `hosted` says that the registers are written by a master, which may not have begun yet.
    """
    check = f"device {device.name}"
    where = f"{device.host}:{device.port}, unit {device.unit}"
    if told is not None and _is_fresh(told, device):
        yield ok(check, f"The running service read {where}, {in_words(told['good_age_s'])} ago: {told['label']}.")
        return
    datamap = device.datamap or (None if bundle is None else bundle.datamap)
    master = Master(reachable(device.host), device.port, unit=device.unit, timeout_s=min(_LIMIT_S, device.timeout_s))
    with closing(master):
        try:
            master.connect()
        except UnreachableError as error:
            yield problem(check, error)
            return
        if datamap is None:
            yield ok(check, f"{where} accepts a connection. What it holds cannot be judged without tags or a model.")
            return
        source = ModbusSource(
            master,
            datamap,
            device=device.name,
            clock=SystemClock(),
            check=device.check,
            interval_s=device.interval_s,
        )
        frame = source.poll()
    record = Reader(datamap).read(frame) if bundle is None else Pipeline(bundle, datamap).run(frame)
    yield from _judged(check, where, record, hosted=hosted)


def _is_fresh(told: dict[str, Any], device: Device) -> bool:
    """Whether the service has read that very device within three intervals, and well."""
    if told["address"] != f"{device.host}:{device.port}" or not told["online"] or told["quality"] == Quality.BAD:
        return False
    return told["good_age_s"] is not None and bool(told["good_age_s"] <= 3 * device.interval_s + 1)


def _judged(check: str, where: str, record: Record, *, hosted: bool) -> Iterator[Finding]:
    values = ", ".join(_shown(value.name, value.value, value.unit) for value in record.values)
    reasons = {value.reason for value in record.values if value.reason is not None}
    if record.frame.detail:
        yield problem(
            check,
            UnreachableError(
                record.frame.detail,
                "Compare unit id, addresses and tables of the data map with the device's manual, and the check "
                "register if there is one.",
            ),
        )
    elif Reason.NEVER_WRITTEN in reasons:
        said = f"Every register of {where} is zero."
        if hosted:
            yield warning(check, f"{said} No master has written into it yet.", "Write a row with `ampedge simulate`.")
        else:
            yield problem(check, UnreachableError(said, _probe(where, "whether the addresses are off by one")))
    elif record.quality is Quality.BAD:
        said = f"{where} answers with values that cannot be: {', '.join(record.reasons)} ({values})."
        remedy = "The device says that it has no value: look at its sensors."
        if reasons & {*_UNREADABLE}:
            remedy = _probe(where, "which word order and which base address make sense of it")
        yield problem(check, UnreachableError(said, remedy))
    elif record.quality is Quality.UNCERTAIN:
        said = f"{where} answers with values far from what the model was trained on: {values}."
        yield warning(check, said, _probe(where, "whether word order and addresses are right"))
    else:
        label = record.label
        sure = "" if record.confidence is None or label == UNKNOWN else f" {in_percent(record.confidence)}"
        yield ok(check, f"{where} answers: {values}" + (f"; {label}{sure}." if record.class_name else "."))


def _shown(name: str, value: float | None, unit: str) -> str:
    return f"{name} -" if value is None else f"{name} {value:.5g} {unit}".rstrip()


def _probe(where: str, question: str) -> str:
    return f"`ampedge probe` shows the registers of {where} in every word order: see {question}."
