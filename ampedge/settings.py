"""Every key of the configuration: its type, its default, what it means, and what it may not be."""

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from ampedge.datamap import DataMap, TableName, Tag, TypeName, WordOrder, parse_address
from ampedge.errors import ConfigError

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")  # looking for plugins costs a fifth of the start

_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NO_TEXT = r"\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef" + "".join(
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
"""What MQTT does not want in a text: brokers end the connection over it."""

_TOPIC_CHARACTERS = re.compile(f"[^#+{_NO_TEXT}]+")
_DEVICE_CHARACTERS = re.compile(f"[^#+/{{}}{_NO_TEXT}]+")
_TEXT_CHARACTERS = re.compile(f"[^{_NO_TEXT}]*")
_LONGEST_BYTES = 65_535  # of any text and any binary data in MQTT

DEVICE_PLACEHOLDER = "{device}"


class Section(BaseModel):
    """Base of every section: strict types, no unknown key, frozen once read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True, slots=True)
class _Given:
    """Builds the check of a field with its first value: most configs have none, and building is a part of the start.

    What is wrong inside becomes one error of the field with the others in it; `problems` takes them out again.
    """

    def __get_pydantic_core_schema__(self, source: Any, _: GetCoreSchemaHandler) -> CoreSchema:
        def validated(value: Any) -> Any:
            if value == ():
                return value
            from pydantic import TypeAdapter

            return TypeAdapter(source).validate_python(value)

        return core_schema.no_info_plain_validator_function(validated)


_T = TypeVar("_T")
Given = Annotated[_T, _Given()]


def problems(error: ValidationError, above: tuple[int | str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Every problem of a config, as pydantic tells it, with its whole place in `loc`."""
    for found in error.errors(include_url=False):
        inner = found.get("ctx", {}).get("error")
        place = above + found["loc"]
        if isinstance(inner, ValidationError):
            yield from problems(inner, place)
        else:
            yield {**found, "loc": place}


def status_topic(topic: str, given: str | None = None) -> str:
    """Where `online` and `offline` of the service go: as given, else `status` beside the topic (`amp/status`)."""
    if given is not None:
        return given
    levels = topic.split("/")
    first = next((i for i, level in enumerate(levels) if DEVICE_PLACEHOLDER in level), len(levels) - 1)
    if first == 0:
        return "ampedge/status" if DEVICE_PLACEHOLDER in topic else f"{topic}/status"
    return "/".join([*levels[:first], "status"])


def _plain_host(host: str | None) -> str | None:
    if host is None or (":" in host and _is_ipv6(host)):
        return host
    if len(host) > 255 or not all(_HOST_LABEL.fullmatch(label) for label in host.removesuffix(".").split(".")):
        raise ValueError("write a host name or an IP address, without scheme, user or port")
    return host


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host)
    except OSError:
        return False
    return True


def _plain_device(device: str) -> str:
    if not _DEVICE_CHARACTERS.fullmatch(device):
        raise ValueError("a device's name has no '#', '+', '/', brace or control character")
    return device


def check_password(password: str) -> None:
    """Raise ValueError for a password that MQTT cannot carry."""
    if len(password.encode("utf-8", "replace")) > _LONGEST_BYTES:
        raise ValueError(f"a password for MQTT has at most {_LONGEST_BYTES} bytes")


class CheckSection(Section):
    """A register with a known content, read at every connection: the proof of address and word order."""

    address: int | str = Field(description='Wire address as a number, or "40001" or "hr:0" as text.')
    table: TableName | None = Field(None, description="Which table; holding where the address does not say.")
    type: TypeName = Field("float32", description="How the number is encoded.")
    word_order: WordOrder = Field("ABCD", description="Byte order; A is the most significant byte.")
    value: float = Field(description="What it must hold; otherwise nothing that the device says is believed.")

    @model_validator(mode="after")
    def _whole(self) -> "CheckSection":
        if problems := self.as_tag().problems():
            raise ValueError("; ".join(problems))
        return self

    def as_tag(self) -> Tag:
        """The register as a tag named `check`."""
        table, address = parse_address(self.address, self.table)
        return Tag("check", address, table=table, type=self.type, word_order=self.word_order)


class ModbusSection(Section):
    """The slave (server) that holds the registers, and how it is polled."""

    host: str | None = Field(None, description="The slave's address; without one, serve hosts it on 127.0.0.1:5020.")
    port: int | None = Field(None, ge=1, le=65535, description="Its TCP port (502, or 5020 without a host).")
    unit: int = Field(1, ge=0, le=255, description="Its unit id.")
    interval_s: float = Field(1.0, gt=0, le=86400, description="Seconds between polls.")
    timeout_s: float = Field(
        3.0, gt=0, le=20, description="Seconds until a connection stands or a whole reply is there."
    )
    reconnect_settle_s: float = Field(
        5.0, ge=0, le=86400, description="Seconds after a lost device is back in which its readings are uncertain."
    )
    close_after_poll: bool = Field(
        False, description="Close the connection after each poll, for devices that allow one master at a time."
    )
    check: Given[CheckSection | None] = Field(None, description="A register with a known content; see below.")
    slave: Literal["auto", "embedded", "external"] = Field(
        "auto",
        description="embedded: serve hosts the slave; external: it polls one; auto: it hosts it where the address is "
        "this machine's own and nothing answers there.",
    )
    settle_ms: float = Field(
        20.0, ge=0, le=60000, description="Embedded slave: milliseconds without a further write until a row is whole."
    )

    _plain_host = field_validator("host")(_plain_host)


class TagSection(Section):
    """One tag of the data map."""

    name: str = Field(min_length=1, max_length=64, description="The tag's name, as the column of the training table.")
    address: int | str = Field(description='Wire address as a number, or "40001" or "hr:0" as text.')
    table: TableName | None = Field(None, description="Which table; holding where the address does not say.")
    type: TypeName = Field("float32", description="How the number is encoded.")
    word_order: WordOrder = Field("ABCD", description="Byte order; A is the most significant byte.")
    unit: str = Field("", max_length=32, description="Engineering unit.")
    scale: float = Field(1.0, description="value = raw x scale + offset.")
    offset: float = Field(0.0, description="See scale.")
    valid: tuple[float, float] | None = Field(
        None, strict=False, description="Physical range [low, high]; a value outside is bad, never a class."
    )
    invalid: tuple[int, ...] = Field(
        (), strict=False, description="Raw bit patterns that mean no value, such as 0x7FFF."
    )
    max_step: float | None = Field(
        None,
        gt=0,
        description="Largest change between two readings that can be real; a larger one is uncertain.",
    )
    expect_change_s: float | None = Field(
        None, gt=0, description="Seconds without any change after which the tag counts as frozen, and so as uncertain."
    )

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if name != name.strip() or re.search(r"[\x00-\x1f\x7f]", name):
            raise ValueError("a tag's name has no control character and no outer spaces")
        return name

    @field_validator("unit")
    @classmethod
    def _plain_unit(cls, unit: str) -> str:
        if re.search(r"[\x00-\x1f\x7f-\x9f]", unit):
            raise ValueError("a unit has no control character")
        return unit

    @field_validator("address", mode="before")
    @classmethod
    def _readable(cls, address: Any) -> int | str:
        if isinstance(address, bool) or not isinstance(address, int | str):
            raise ValueError('an address is a number or text: 0 (wire address), "40001" or "hr:0"')
        parse_address(address)
        return address

    @model_validator(mode="after")
    def _whole(self) -> "TagSection":
        if problems := self.as_tag().problems():
            raise ValueError("; ".join(problems))
        return self

    def as_tag(self) -> Tag:
        """The tag as the rest of the program knows it."""
        table, address = parse_address(self.address, self.table)
        return Tag(
            name=self.name,
            address=address,
            table=table,
            type=self.type,
            word_order=self.word_order,
            unit=self.unit,
            scale=self.scale,
            offset=self.offset,
            valid=self.valid,
            invalid=self.invalid,
            max_step=self.max_step,
            expect_change_s=self.expect_change_s,
        )


class DeviceSection(Section):
    """One of several devices; what it does not give is as in `[modbus]`."""

    name: str = Field(max_length=64, description="The device's name in events and topics.")
    host: str = Field(description="The slave's address.")
    port: int | None = Field(None, ge=1, le=65535, description="Its TCP port.")
    unit: int | None = Field(None, ge=0, le=255, description="Its unit id.")
    interval_s: float | None = Field(None, gt=0, le=86400, description="Seconds between polls.")
    timeout_s: float | None = Field(None, gt=0, le=20, description="As in [modbus].")
    reconnect_settle_s: float | None = Field(None, ge=0, le=86400, description="As in [modbus].")
    close_after_poll: bool | None = Field(None, description="As in [modbus].")
    check: Given[CheckSection | None] = Field(None, description="As in [modbus].")
    tags: Given[tuple[TagSection, ...]] = Field(
        (), description="Its own tags, `[[devices.tags]]`; without them the shared `[[tags]]`."
    )

    _plain_name = field_validator("name")(_plain_device)
    _plain_host = field_validator("host")(_plain_host)

    @field_validator("tags")
    @classmethod
    def _own_registers(cls, tags: tuple[TagSection, ...]) -> tuple[TagSection, ...]:
        return _without_conflicts(tags)


class MqttSection(Section):
    """The broker and the topics."""

    host: str = Field("localhost", description='The broker; "embedded" runs a small one inside serve.')
    port: int = Field(1883, ge=1, le=65535, description="Its TCP port (1883, or 8883 with TLS).")
    tls: bool = Field(False, description="Encrypt the connection, and check the broker's certificate and name.")
    ca_file: str | None = Field(None, description="TLS: the authorities to trust, PEM; without it the system's.")
    cert_file: str | None = Field(None, description="TLS: this client's certificate, PEM, if the broker wants one.")
    key_file: str | None = Field(None, description="TLS: its private key, PEM; without it, it is in cert_file.")
    topic: str = Field(
        "amp/inference",
        description="Topic of the bare label; events go to {topic}/event. `{device}` stands for the device's name.",
    )
    status_topic: str | None = Field(
        None,
        validate_default=True,
        description="Topic of online and offline; by default `status` beside the topic (amp/status).",
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        "auto", description="MQTT version; auto is 5, and 3.1.1 where the broker cannot."
    )
    client_id: str | None = Field(
        None,
        max_length=64,
        description="Client id of serve; by default one that belongs to this machine and state directory.",
    )
    username: str | None = Field(None, description="User name at the broker.")
    password: SecretStr | None = Field(None, description="Its password; better in the environment or in a file.")
    password_file: str | None = Field(None, description="A file whose first line is the password.")
    heartbeat_s: float = Field(30.0, gt=0, le=86400, description="Seconds between events while the device is offline.")

    @model_validator(mode="before")
    @classmethod
    def _port_of_tls(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("tls") is True:
            return {"port": 8883, **given}
        return given

    @field_validator("tls")
    @classmethod
    def _outside(cls, tls: bool, info: ValidationInfo) -> bool:
        if tls and info.data.get("host") == "embedded":
            raise ValueError("the broker inside serve is for trying and has no TLS")
        return tls

    @field_validator("ca_file", "cert_file", "key_file")
    @classmethod
    def _only_with_tls(cls, file: str | None, info: ValidationInfo) -> str | None:
        if file is not None and info.data.get("tls") is False:
            raise ValueError("this says nothing without tls = true")
        if file is not None and info.field_name == "key_file" and info.data.get("cert_file") is None:
            raise ValueError("a key says nothing without its cert_file")
        return file

    @field_validator("topic", "status_topic")
    @classmethod
    def _plain_topic(cls, topic: str | None) -> str | None:
        if topic is not None and (not _TOPIC_CHARACTERS.fullmatch(topic) or len(topic.encode()) > 1024):
            raise ValueError("a topic to publish to has no '#', '+' or control character and 1 to 1024 bytes")
        return topic

    @field_validator("client_id", "username")
    @classmethod
    def _plain_text(cls, text: str | None) -> str | None:
        if text is not None and (not _TEXT_CHARACTERS.fullmatch(text) or len(text.encode()) > _LONGEST_BYTES):
            raise ValueError(f"a text for MQTT has no control character and at most {_LONGEST_BYTES} bytes")
        return text

    @field_validator("password")
    @classmethod
    def _short_password(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None:
            check_password(password.get_secret_value())
        return password

    @field_validator("topic")
    @classmethod
    def _known_placeholders(cls, topic: str) -> str:
        if left := re.search(r"\{[^{}]*\}|[{}]", topic.replace(DEVICE_PLACEHOLDER, "")):
            raise ValueError(f"{left[0]} is no placeholder; there is {DEVICE_PLACEHOLDER}")
        return topic

    @field_validator("status_topic")
    @classmethod
    def _own_topic(cls, status: str | None, info: ValidationInfo) -> str | None:
        topic = str(info.data.get("topic"))
        if status is not None and re.search("[{}]", status):
            raise ValueError("the service has one status, so its topic has no placeholder")
        if status_topic(topic, status) in (topic, f"{topic}/event", f"{topic}/dropped"):
            raise ValueError("online and offline need a topic of its own, which no label or event goes to")
        return status

    @field_validator("password_file")
    @classmethod
    def _one_password(cls, file: str | None, info: ValidationInfo) -> str | None:
        if file is not None and info.data.get("password") is not None:
            raise ValueError("give password or password_file, not both")
        return file

    _plain_host = field_validator("host")(_plain_host)


class DecisionSection(Section):
    """When a class becomes a label."""

    min_confidence: float = Field(0.5, ge=0, le=1, description="Below this probability the label is `unknown`.")
    normal_label: str | None = Field(
        None, description="The healthy state; by default the bundle's (in training: the commonest class)."
    )
    reasons: bool = Field(
        True, description="Events say which tags speak for a label, and what would be normal in the bundle's own."
    )


class StoreSection(Section):
    """The event log: what waits for the broker and what happened, in one file of the state directory."""

    commit_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds between commits while the broker acknowledges (at most 5 else).",
    )
    max_mb: float = Field(512.0, ge=1, le=1_000_000, description="The log's largest size in MB; the oldest goes first.")
    keep_days: float = Field(
        90.0, gt=0, le=36500, description="Days that delivered events are kept; what waits is never dropped by age."
    )


class LogSection(Section):
    """What the service says of itself."""

    format: Literal["auto", "human", "json"] = Field(
        "auto", description="auto: for people on a terminal, JSON lines otherwise."
    )
    file: str | None = Field(None, description="Also write to this file, which is rotated.")
    max_mb: float = Field(5.0, gt=0, le=10_000, description="Size at which that file is rotated.")
    backups: int = Field(3, ge=0, le=1000, description="How many rotated files are kept.")


class Settings(Section):
    """Everything that can be configured."""

    device: str = Field("device", max_length=64, description="The device's name in events and topics.")
    model: str | None = Field(
        None, description="Bundle directory or .ampedge file, from here or from this file's place."
    )
    runtime: Literal["numpy", "litert", "onnx", "keras"] = Field(
        "numpy", description="What runs the model: the labels are the same; all but numpy need an extra."
    )
    watch_model: bool = Field(False, description="Take over a new bundle at the same place while serve runs.")
    verify_key: str | None = Field(
        None, description="File with an Ed25519 public key, PEM; only bundles signed with its other half are run."
    )
    state_dir: str | None = Field(
        None,
        description="Where serve keeps its event log and its lock; by default the one that systemd gives, "
        "else ./ampedge-state.",
    )
    modbus: ModbusSection = Field(default_factory=ModbusSection)
    devices: Given[tuple[DeviceSection, ...]] = Field(())
    tags: Given[tuple[TagSection, ...]] = Field(())
    mqtt: MqttSection = Field(default_factory=MqttSection)
    decision: DecisionSection = Field(default_factory=DecisionSection)
    store: StoreSection = Field(default_factory=StoreSection)
    log: LogSection = Field(default_factory=LogSection)

    _plain_device = field_validator("device")(_plain_device)

    @field_validator("devices")
    @classmethod
    def _own_names(cls, devices: tuple[DeviceSection, ...], info: ValidationInfo) -> tuple[DeviceSection, ...]:
        names = [device.name for device in devices]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two devices are named {twice[0]!r}")
        modbus = info.data.get("modbus")
        if devices and modbus is not None and modbus.slave == "embedded":
            raise ValueError('serve hosts a slave for one device only: leave out slave = "embedded" or [[devices]]')
        return devices

    @field_validator("mqtt")
    @classmethod
    def _own_topics(cls, mqtt: MqttSection, info: ValidationInfo) -> MqttSection:
        names = [device.name for device in info.data.get("devices", ())] or [info.data.get("device", "")]
        if len(names) > 1 and DEVICE_PLACEHOLDER not in mqtt.topic:
            raise ValueError(f'several devices need own topics: write topic = "amp/{DEVICE_PLACEHOLDER}/inference"')
        status = status_topic(mqtt.topic, mqtt.status_topic)
        states = {status, *(f"{status}/{name}" for name in names)}
        for name in names:
            topic = mqtt.topic.replace(DEVICE_PLACEHOLDER, name)
            if taken := states.intersection((topic, f"{topic}/event", f"{topic}/dropped")):
                raise ValueError(
                    f"what device {name!r} publishes would go to {taken.pop()}, a topic of online and offline: "
                    "write another topic or status_topic"
                )
        return mqtt

    @field_validator("tags")
    @classmethod
    def _own_registers(cls, tags: tuple[TagSection, ...]) -> tuple[TagSection, ...]:
        return _without_conflicts(tags)


def _without_conflicts(tags: tuple[TagSection, ...]) -> tuple[TagSection, ...]:
    try:
        DataMap(tuple(tag.as_tag() for tag in tags))
    except ConfigError as error:
        raise ValueError(error.problem.replace("\n", "; ")) from None
    return tags


def keys(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    """(dotted path, section, field) of every key there is; lists of tables are `tags.NAME`, `devices.tags.NAME`."""
    for name, field in section.model_fields.items():
        inner = _section_of(name, field.annotation)
        if inner is not None:
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", section, name


def _section_of(name: str, annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds one or many of."""
    inner = {"tags": TagSection, "devices": DeviceSection, "check": CheckSection}.get(name, annotation)
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
