"""`ampedge service`: ampedge as a service of systemd."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ampedge.cli import options

if TYPE_CHECKING:
    from ampedge.systemd.machine import Machine

app = typer.Typer(no_args_is_help=True, help="Run `ampedge serve` as a service of systemd, from boot on.")

Name = Annotated[str, typer.Option("--name", help="The service's name.")]


@app.command()
def install(
    *,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Config file; without it ./ampedge.toml, else the one installed before."),
    ] = None,
    model: options.Model = None,
    name: Name = "ampedge",
    user: Annotated[
        str, typer.Option("--user", help="The user that it runs as; made where there is none.")
    ] = "ampedge",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be written and run.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Install, or install anew with what changed: a hardened unit, the config and the model; then start it."""
    import sys

    from ampedge.errors import UsageError
    from ampedge.service.hosting import is_local
    from ampedge.systemd import installing
    from ampedge.systemd.state import ask, sentences

    machine = _machine()
    planned = installing.plan(machine, name=name, user=user, file=config_file, model=model, is_local=is_local)
    _say(f"The service {name}:")
    for what, value in planned.summary:
        _say(f"  {what:<8} {value}")
    for note in planned.notes:
        _say(note)
    if dry_run:
        for step in planned.steps:
            typer.echo(f"Would {step}")
    installing.check_place(machine, name)
    if dry_run:
        return
    machine.check_systemd()
    machine.check_root()
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("Nobody is there to say yes.", "Add --yes, or look first with --dry-run.")
        if not typer.confirm("Install and start it?", err=True):
            return
    planned.carry_out(machine)
    for line in sentences(name, ask(machine, name)):
        typer.echo(line)


@app.command()
def status(*, name: Name = "ampedge") -> None:
    """Say how the service stands; exit code 4 where it does not run."""
    from ampedge.errors import UnreachableError
    from ampedge.systemd.state import ask, check_ours, sentences
    from ampedge.systemd.unit import old_unit_notes

    machine = _machine()
    machine.check_systemd()
    check_ours(machine, name)
    known = ask(machine, name)
    for line in sentences(name, known):
        typer.echo(line)
    for note in old_unit_notes(machine):
        _say(note)
    if known.get("ActiveState") not in ("active", "reloading"):
        raise UnreachableError(f"{name} does not run.", "See why with `ampedge service logs`.")


@app.command()
def logs(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each line as it comes.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many lines to begin with.")] = 50,
    name: Name = "ampedge",
) -> None:
    """Show the last lines of the service's log."""
    from ampedge.systemd import journal
    from ampedge.systemd.state import check_ours

    check_ours(_machine(), name)
    for line in journal.lines(name, count=count, follow=follow):
        typer.echo(line)


@app.command()
def restart(*, name: Name = "ampedge") -> None:
    """Stop and start the service, if its config is right."""
    _tell("restart", name)


@app.command()
def reload(*, name: Name = "ampedge") -> None:
    """Let the service read its config and its model again, if the config is right, without a pause."""
    _tell("reload", name)


@app.command()
def uninstall(
    *,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove its config, model, secrets, events and logs for good.")
    ] = False,
    name: Name = "ampedge",
) -> None:
    """Stop the service and remove its unit; what it has stored stays unless it is purged."""
    from ampedge.systemd import removing
    from ampedge.systemd.installing import config_path
    from ampedge.systemd.state import check_ours
    from ampedge.systemd.unit import Unit

    machine = _machine()
    if not purge or machine.at(Unit.path_of(name)).exists() or not machine.at(config_path(name)).exists():
        check_ours(machine, name)
    machine.check_root()
    if machine.at(Unit.path_of(name)).exists():
        for line in removing.uninstall(machine, name):
            typer.echo(line)
    if purge:
        for line in removing.purge(machine, name):
            typer.echo(line)
    elif left := removing.left_behind(machine, name):
        _say(f"What stays: {', '.join(left)}. With --purge it goes, too.")


def _tell(verb: str, name: str) -> None:
    from ampedge.systemd.installing import check_installed
    from ampedge.systemd.state import ask, check_ours, sentences

    machine = _machine()
    machine.check_systemd()
    check_ours(machine, name)
    machine.check_root()
    check_installed(machine, name)
    machine.run("systemctl", verb, f"{name}.service")
    for line in sentences(name, ask(machine, name)):
        typer.echo(line)


def _machine() -> "Machine":
    from ampedge.systemd.machine import this_machine

    return this_machine()


def _say(text: str) -> None:
    typer.echo(text, err=True)
