"""The names of the topics, derived from the one that the user gives."""


def event_topic(topic: str) -> str:
    """Where the full events go: `{topic}/event`."""
    return f"{topic}/event"


def status_topic(topic: str, given: str | None = None) -> str:
    """Where `online` and `offline` go: as given, else `status` beside the topic (`amp/status`)."""
    if given is not None:
        return given
    parent, slash, _ = topic.rpartition("/")
    return f"{parent}/status" if slash else f"{topic}/status"


def device_topic(status: str, device: str) -> str:
    """Where the state of one device goes: `{status topic}/{device}`."""
    return f"{status}/{device}"
