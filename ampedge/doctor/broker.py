"""The broker: whether it lets this client in; nothing is published."""

import time

from ampedge.config import EMBEDDED_BROKER, Config
from ampedge.doctor.finding import Finding, ok, problem, warning
from ampedge.errors import AmpedgeError, UnreachableError, missing_extra
from ampedge.mqtt.subscriber import Subscriber
from ampedge.mqtt.topics import service_topic

_LIMIT_S = 6.0
_TURN_S = 0.02
_NO_RIGHT = "does not let this user read"
_REMEDIES = (
    ("user name", "Set username in [mqtt], and the password in password_file or as AMPEDGE_MQTT__PASSWORD."),
    ("client certificate", "Set cert_file and key_file in [mqtt] to the pair that the broker's authority issued."),
    (
        "this client's certificate",
        "Set cert_file and key_file in [mqtt] to the pair that the broker's authority issued.",
    ),
    ("not trusted here", "Set ca_file in [mqtt] to the certificate of the authority that signed the broker's."),
    ("another name", "Write the name in the certificate as host in [mqtt], or have the broker's certificate renewed."),
    ("expired", "Have the broker's certificate renewed; if it is not the certificate, set this machine's clock."),
    ("not valid yet", "Set this machine's clock: `sudo timedatectl set-ntp true`."),
    ("TLS", "Check the port: with TLS it is 8883 as a rule, without it 1883 (tls in [mqtt])."),
)
_REMEDY = "Check that a broker runs there (sudo apt install mosquitto), and host and port in [mqtt]."


def look(config: Config, *, service_runs: bool) -> Finding:
    """Connect under a name of its own, ask for the topic of the status, and leave."""
    mqtt = config.mqtt
    if config.settings.mqtt.host == EMBEDDED_BROKER and not service_runs:
        return _embedded()
    where = f"The broker at {mqtt.host}:{mqtt.port}"
    topic = service_topic(mqtt)
    try:
        trouble = _trouble(Subscriber(mqtt, password=config.password(), topics=[topic]))
    except AmpedgeError as error:
        return problem("broker", error)
    if trouble is None:
        who = "this client" if mqtt.username is None else f"the user {mqtt.username}"
        return ok("broker", f"{where} lets {who} in{', over TLS' if mqtt.tls else ''}.")
    if _NO_RIGHT in trouble:
        return warning("broker", trouble, f"serve looks there for its own `offline`: allow it to read {topic}.")
    remedy = next((remedy for part, remedy in _REMEDIES if part in trouble), _REMEDY)
    return problem("broker", UnreachableError(trouble, remedy))


def _trouble(subscriber: Subscriber) -> str | None:
    """What keeps this client out, None where it was let in."""
    subscriber.start()
    until_s = time.monotonic() + _LIMIT_S
    try:
        while time.monotonic() < until_s:
            if subscriber.connected:
                return None
            if subscriber.problem is not None:
                return subscriber.problem
            time.sleep(_TURN_S)
    finally:
        subscriber.close()
    return "The broker does not answer."


def _embedded() -> Finding:
    try:
        import amqtt  # noqa: F401
    except ImportError:
        return problem("broker", missing_extra("The embedded broker", "broker"))
    return warning(
        "broker",
        "serve will run a small broker of its own, which asks nobody for a password and keeps nothing.",
        "For more than a trial install Mosquitto and name it as host in [mqtt].",
    )
