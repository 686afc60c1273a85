"""`ampedge rollback`."""

from typing import Annotated

import typer

from ampedge.cli import options


def rollback(
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Let the model that was rolled back run again.")] = False,
    state_dir: Annotated[
        str | None, typer.Option("--state-dir", help="The state directory of the service, where it keeps its models.")
    ] = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Return to the model that ran before this one, and tell the running service."""
    import signal

    from ampedge.model.keeper import Keeper
    from ampedge.site_map import verify_key
    from ampedge.store.state_dir import holder

    config = options.config_from(config_file, state_dir=state_dir)
    keeper, pid = Keeper(config.state_dir), holder(config.state_dir)
    if pid is not None:
        _send(pid, 0)  # whether it may be told, before anything is changed
    print(keeper.undo() if undo else keeper.roll_back(verify_key=verify_key(config)))
    if pid is not None and _send(pid, signal.SIGHUP):
        print(f"The service (process {pid}) was told.")
    else:
        print("No service runs there; this holds from its next start.")


def _send(pid: int, number: int) -> bool:
    """Send a signal; False where the process has ended."""
    import os

    from ampedge.errors import UsageError

    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise UsageError(
            f"The service (process {pid}) belongs to another user; nothing was changed.",
            "Run this as that user, or with sudo.",
        ) from error
    return True
