"""Every key of the configuration: its type, its default, what it means, and what it may not be."""

import os
import re
import socket
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ampedge.datamap import DataMap, TableName, Tag, TypeName, WordOrder, parse_address
from ampedge.errors import ConfigError

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")  # looking for plugins costs a fifth of the start

_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_TOPIC_CHARACTERS = re.compile(r"[^\x00-\x1f#+\x7f]+")


class Section(BaseModel):
    """Base of every section: strict types, no unknown key, frozen once read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


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


class ModbusSection(Section):
    """The slave (server) that holds the registers, and how it is polled."""

    host: str | None = Field(None, description="The slave's address; without one, serve hosts it on 127.0.0.1:5020.")
    port: int | None = Field(None, ge=1, le=65535, description="Its TCP port (502, or 5020 without a host).")
    unit: int = Field(1, ge=0, le=255, description="Its unit id.")
    interval_s: float = Field(1.0, gt=0, le=86400, description="Seconds between polls.")
    timeout_s: float = Field(3.0, gt=0, le=60, description="Seconds to wait for a connection or a reply.")
    slave: Literal["auto", "embedded", "external"] = Field(
        "auto",
        description="embedded: serve hosts the slave; external: it polls one; auto: it hosts it where the address is "
        "this machine's own and nothing answers there.",
    )
    settle_ms: float = Field(
        20.0, ge=0, le=60000, description="Embedded slave: milliseconds without a further write until a row is whole."
    )

    _plain_host = field_validator("host")(_plain_host)


class MqttSection(Section):
    """The broker and the topics."""

    host: str = Field("localhost", description='The broker; "embedded" runs a small one inside serve.')
    port: int = Field(1883, ge=1, le=65535, description="Its TCP port.")
    topic: str = Field("amp/inference", description="Topic of the bare label; events go to {topic}/event.")
    status_topic: str | None = Field(
        None,
        validate_default=True,
        description="Topic of online and offline; by default `status` beside the topic (amp/status).",
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        "auto", description="MQTT version; auto is 5, and 3.1.1 where the broker cannot."
    )
    client_id: str | None = Field(None, max_length=64, description="Client id of serve; by default made anew.")
    username: str | None = Field(None, description="User name at the broker.")
    password: SecretStr | None = Field(None, description="Its password; better in the environment or in a file.")
    password_file: str | None = Field(None, description="A file whose first line is the password.")
    heartbeat_s: float = Field(30.0, gt=0, le=86400, description="Seconds between events while the device is offline.")

    @field_validator("topic", "status_topic")
    @classmethod
    def _plain_topic(cls, topic: str | None) -> str | None:
        if topic is not None and (not _TOPIC_CHARACTERS.fullmatch(topic) or len(topic.encode()) > 1024):
            raise ValueError("a topic to publish to has no '#', '+' or control character and 1 to 1024 bytes")
        return topic

    @field_validator("status_topic")
    @classmethod
    def _own_topic(cls, status: str | None, info: ValidationInfo) -> str | None:
        topic = str(info.data.get("topic"))
        beside = f"{topic.rpartition('/')[0]}/status"
        if (beside if status is None else status) in (topic, f"{topic}/event"):
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
        )


class Settings(Section):
    """Everything that can be configured."""

    device: str = Field("device", max_length=64, description="The device's name in events and topics.")
    model: str | None = Field(
        None, description="Bundle directory or .ampedge file, from here or from this file's place."
    )
    modbus: ModbusSection = Field(default_factory=ModbusSection)
    mqtt: MqttSection = Field(default_factory=MqttSection)
    decision: DecisionSection = Field(default_factory=DecisionSection)
    tags: tuple[TagSection, ...] = Field((), strict=False)

    @field_validator("device")
    @classmethod
    def _plain_device(cls, device: str) -> str:
        if not re.fullmatch(r"[^#+/\x00-\x1f\x7f]+", device):
            raise ValueError("a device's name has no '#', '+', '/' or control character")
        return device

    @field_validator("tags")
    @classmethod
    def _own_registers(cls, tags: tuple[TagSection, ...]) -> tuple[TagSection, ...]:
        try:
            DataMap(tuple(tag.as_tag() for tag in tags))
        except ConfigError as error:
            raise ValueError(error.problem.replace("\n", "; ")) from None
        return tags


def keys(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    """(dotted path, section, field) of every key there is; tags are `tags.NAME`."""
    for name, field in section.model_fields.items():
        inner = TagSection if name == "tags" else field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", section, name
