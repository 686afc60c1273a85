"""The Mosquitto of this machine: what it does with messages that it has acknowledged."""

from collections.abc import Iterator
from pathlib import Path

from ampedge.doctor.finding import Finding, ok, warning

CONFIG = Path("/etc/mosquitto/mosquitto.conf")

_AUTOSAVE_S = 1800
_OFTEN_S = 60
"""An interval that is short enough: saving at each change writes too much to a card while many messages wait."""

_EXAMPLE = "A config that keeps them is in examples/mosquitto/."


def look(config: Path = CONFIG) -> Iterator[Finding]:
    """Nothing where there is no config that this user can read."""
    try:
        options = dict(_options(config))
    except OSError:
        return
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


def _options(config: Path) -> Iterator[tuple[str, str]]:
    """(option, value) in the order in which Mosquitto reads them; the last one counts."""
    for line in config.read_text("utf-8", "replace").splitlines():
        option, _, value = line.strip().partition(" ")
        if option == "include_dir":
            for further in sorted(Path(value.strip()).glob("*.conf")):
                yield from _options(further)
        elif option and not option.startswith("#"):
            yield option, value.strip()
