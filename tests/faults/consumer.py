"""A consumer that takes every message of a topic, in a thread of its own, and never goes away."""

import threading
from abc import ABC, abstractmethod
from typing import Self

from ampedge.mqtt.subscriber import Message, Subscriber
from ampedge.settings import MqttSection


class Consumer(ABC):
    """A context manager; a test says in `take` what it does with each message."""

    def __init__(self, port: int, topic: str) -> None:
        mqtt = MqttSection(host="127.0.0.1", port=port)
        self._subscriber = Subscriber(mqtt, password=None, topics=[topic], wait_s=10)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._read)

    @abstractmethod
    def take(self, message: Message) -> None:
        """One message, in the order of arrival."""

    @property
    def connected(self) -> bool:
        """Whether it gets what is published from now on."""
        return self._subscriber.connected

    def __enter__(self) -> Self:
        self._subscriber.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._subscriber.close()

    def _read(self) -> None:
        while not self._ending.is_set():
            message = self._subscriber.get(0.1)
            if message is not None:
                self.take(message)
