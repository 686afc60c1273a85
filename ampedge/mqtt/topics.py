"""The names of the topics, derived from the one that the user gives."""

from ampedge.settings import DEVICE_PLACEHOLDER, MqttSection, status_topic

__all__ = ["device_topic", "dropped_topic", "event_topic", "label_topic", "service_topic", "status_topic"]


def label_topic(mqtt: MqttSection, device: str) -> str:
    """Where the bare labels of a device go: the topic, with the device's name in the place of `{device}`."""
    return mqtt.topic.replace(DEVICE_PLACEHOLDER, device)


def event_topic(topic: str) -> str:
    """Where the full events go: `{topic}/event`."""
    return f"{topic}/event"


def dropped_topic(topic: str) -> str:
    """Where it is announced that events were dropped: `{topic}/dropped`."""
    return f"{topic}/dropped"


def service_topic(mqtt: MqttSection) -> str:
    """Where `online` and `offline` of the service go."""
    return status_topic(mqtt.topic, mqtt.status_topic)


def device_topic(status: str, device: str) -> str:
    """Where the state of one device goes: `{status topic}/{device}`."""
    return f"{status}/{device}"
