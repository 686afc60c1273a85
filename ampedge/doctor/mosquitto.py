"""The Mosquitto of this machine: whom it lets in, and what it does with messages that it has acknowledged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ampedge.doctor.finding import Finding, ok, warning
from ampedge.doctor.listeners import is_loopback

CONFIG = Path("/etc/mosquitto/mosquitto.conf")

_AUTOSAVE_S = 1800
_OFTEN_S = 60
"""An interval that is short enough: saving at each change writes too much to a card while many messages wait."""

_EXAMPLE = "A config that keeps them is in examples/mosquitto/."


def look(config: Path = CONFIG) -> Iterator[Finding]:
    """Nothing where there is no config that this user can read."""
    try:
        lines = list(_options(config))
    except OSError:
        return
    if ports := _open_ports(lines):
        yield warning(
            "mosquitto",
            f"Mosquitto lets everyone in the network in without a password, at port {', '.join(ports)}.",
            "Write `allow_anonymous false` and a password_file into its config, as in examples/mosquitto/.",
        )
    options = dict(lines)
    if options.get("persistence", "false") != "true":
        yield warning(
            "mosquitto",
            f"Persistence is off in {config}: what it has acknowledged and not yet handed on is lost when it restarts.",
            f"Write `persistence true` into it. {_EXAMPLE}",
        )
        return
    on_changes = options.get("autosave_on_changes", "false") == "true"
    given = options.get("autosave_interval", "")
    interval = int(given) if given.isdecimal() else _AUTOSAVE_S
    if on_changes and interval == 1:
        yield ok("mosquitto", "Persistence is on, and each change is saved.")
        return
    if not on_changes and 0 < interval <= _OFTEN_S:
        yield ok("mosquitto", f"Persistence is on, and Mosquitto saves every {interval} s.")
        return
    when = (
        f"after {interval} changes" if on_changes else "only when it ends" if interval == 0 else f"every {interval} s"
    )
    yield warning(
        "mosquitto",
        f"Persistence is on, but Mosquitto saves {when}: a power cut takes what it has acknowledged since.",
        f"Write `autosave_interval {_OFTEN_S}` into {config}. {_EXAMPLE}",
    )


def _open_ports(lines: Sequence[tuple[str, str]]) -> list[str]:
    """The ports at which it lets in who has neither password nor certificate, and not from this machine only."""
    shared = dict(lines)
    listeners: list[tuple[str, str, dict[str, str]]] = []  # port, address, what follows its line
    for option, value in lines:
        if option == "listener":
            port, _, address = value.partition(" ")
            listeners.append((port, address.strip(), {}))
        elif option == "port":
            listeners.append((value, shared.get("bind_address", ""), {}))
        elif listeners:
            listeners[-1][2][option] = value
    each_its_own = shared.get("per_listener_settings") == "true"
    return [
        port
        for port, address, own in listeners
        if (own if each_its_own else shared).get("allow_anonymous") == "true"
        and own.get("require_certificate") != "true"
        and port != "0"  # that is no port but a socket in a directory
        and not is_loopback(address)
    ]


def _options(config: Path) -> Iterator[tuple[str, str]]:
    """(option, value) in the order in which Mosquitto reads them; the last one counts."""
    for line in config.read_text("utf-8", "replace").splitlines():
        option, _, value = line.strip().partition(" ")
        if option == "include_dir":
            for further in sorted(Path(value.strip()).glob("*.conf")):
                yield from _options(further)
        elif option and not option.startswith("#"):
            yield option, value.strip()
