"""What the broker does not take, in sentences, and the topics on which nothing is tried for a while."""

import time

from paho.mqtt.reasoncodes import ReasonCode

from ampedge.log import logger

RETRY_S = 60.0
"""Seconds until something is tried again on a topic that the broker refused."""

_NOT_AUTHORIZED = 0x87


class Refusals:
    """Only MQTT 5 tells of them; a topic that was refused gets one try a minute until something is taken there.

    `sentences` has one for each topic, and for whatever else was complained of; `latest_s` is monotonic time.
    """

    def __init__(self) -> None:
        self.sentences: dict[str, str] = {}
        self.latest_s = float("-inf")
        self._until_s: dict[str, float] = {}

    def pause(self, topic: str) -> bool:
        """Whether nothing is to be tried on this topic now."""
        until_s = self._until_s.get(topic)
        return until_s is not None and time.monotonic() < until_s

    def over(self) -> list[str]:
        """The topics on which something may be tried again."""
        return [topic for topic in self._until_s if not self.pause(topic)]

    def refused(self, topic: str, code: ReasonCode) -> None:
        """The broker has refused something on this topic."""
        self.latest_s = time.monotonic()
        self._until_s[topic] = self.latest_s + RETRY_S
        if code.value == _NOT_AUTHORIZED:
            self.complain(topic, f"The broker does not let this user publish to {topic}.")
        else:
            self.complain(topic, f"The broker refuses what is published to {topic}: {code}.")

    def tried(self, topic: str) -> None:
        """Something is on its way there; what follows waits for its verdict."""
        if topic in self._until_s:
            self._until_s[topic] = time.monotonic() + RETRY_S

    def taken(self, topic: str) -> bool:
        """The broker has taken something on this topic; whether it had refused something there."""
        self.sentences.pop(topic, None)
        return self._until_s.pop(topic, None) is not None

    def complain(self, about: str, sentence: str) -> None:
        """Keep a sentence until it is withdrawn, and log it."""
        logger.error("%s", sentence)
        self.sentences[about] = sentence

    def note(self, about: str, sentence: str) -> None:
        """Keep a sentence until it is withdrawn, which is looked at again and again; what is new is logged."""
        if self.sentences.get(about) != sentence:
            self.complain(about, sentence)

    def withdraw(self, about: str) -> None:
        """It no longer holds."""
        self.sentences.pop(about, None)
