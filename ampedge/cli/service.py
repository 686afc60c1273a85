"""`ampedge service`: ampedge as a service of systemd."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ampedge.cli import options

if TYPE_CHECKING:
    from ampedge.config import Config
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
    _show(machine, name)


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
    """Stop and start the service, if it would start with its config and its model."""
    machine, _ = _checked(name)
    machine.run("systemctl", "restart", f"{name}.service")
    _show(machine, name)


@app.command()
def reload(*, name: Name = "ampedge") -> None:
    """Let the service read its config and its model again without a pause, if they are right."""
    from ampedge.errors import UsageError
    from ampedge.service.reloading import reloads, reloads_after

    machine, config = _checked(name)
    before = reloads(config.state_dir)
    machine.run("systemctl", "reload", f"{name}.service")
    after = None if before is None else reloads_after(config.state_dir, before)
    if after is not None and after.problem is not None:
        raise UsageError(f"The service {name} refuses the config and goes on as before: {after.problem}")
    _show(machine, name)
    if after is None:
        _say(f"It does not say whether it has taken them: see `ampedge service logs --name {name}`.")


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


def _checked(name: str) -> "tuple[Machine, Config]":
    """(the machine, the config of its service); raises what keeps this from being told to the service."""
    from ampedge.systemd.installing import checked_config
    from ampedge.systemd.state import check_ours

    machine = _machine()
    machine.check_systemd()
    check_ours(machine, name)
    machine.check_root()
    return machine, checked_config(machine, name)


def _show(machine: "Machine", name: str) -> None:
    from ampedge.systemd.state import ask, sentences

    for line in sentences(name, ask(machine, name)):
        typer.echo(line)


def _machine() -> "Machine":
    from ampedge.systemd.machine import this_machine

    return this_machine()


def _say(text: str) -> None:
    typer.echo(text, err=True)
