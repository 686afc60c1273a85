"""`ampedge doctor`."""

import typer

from ampedge.cli import options


def doctor(
    *,
    model: options.Model = None,
    state_dir: options.StateDir = None,
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Say what is wrong here and what to do about it: config, model, devices, broker, disk, the running service."""
    from ampedge.cli.diagnosis import show
    from ampedge.doctor.examination import examine
    from ampedge.systemd.machine import this_machine

    flags = {"model": model, "state_dir": state_dir}
    report = show(lambda: examine(config_file, flags, this_machine()), as_json=as_json)
    raise typer.Exit(report.exit_code)
