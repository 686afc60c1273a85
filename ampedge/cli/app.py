"""The `ampedge` command: every subcommand, and the one place that prints errors."""

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

import ampedge
from ampedge.cli.benchmark import benchmark
from ampedge.cli.card import card
from ampedge.cli.collect import collect
from ampedge.cli.demo import demo
from ampedge.cli.doctor import doctor
from ampedge.cli.evaluate import evaluate
from ampedge.cli.export import export
from ampedge.cli.history import history
from ampedge.cli.import_ import import_
from ampedge.cli.init import init
from ampedge.cli.inspect import inspect
from ampedge.cli.monitor import monitor
from ampedge.cli.probe import probe
from ampedge.cli.rollback import rollback
from ampedge.cli.serve import serve
from ampedge.cli.service import app as service
from ampedge.cli.simulate import simulate
from ampedge.cli.train import train
from ampedge.errors import AmpedgeError, UsageError


class _Command(TyperCommand):
    """A command that names a choice that there is not without the words of the library that checks it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    name="ampedge",
    help="From a table of sensor readings to a label on MQTT: train, evaluate, export, serve, simulate, monitor.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    inspect, train, evaluate, export, benchmark, card, serve, simulate, monitor, collect, probe, history, doctor, init,
    rollback, demo,
)  # fmt: skip
for _command in _COMMANDS:
    app.command(cls=_Command)(_command)
app.command("import", cls=_Command)(import_)
app.add_typer(service, name="service")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ampedge {ampedge.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a known error becomes two lines and its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a path or name need not be text in the terminal's encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="ampedge")
    except AmpedgeError as error:
        if "--debug" in sys.argv:
            raise
        from rich.console import Console

        from ampedge.log import redacted

        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(redacted(f"Error: {error.problem}"), style="red", markup=False)
        if error.remedy:
            console.print(redacted(error.remedy), markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        if isinstance(error, OSError) and error.filename is not None:  # a place that the user named
            sys.stderr.write(f"Error: {error.filename}: {error.strerror}.\nGive another path.\n")
            sys.exit(UsageError.exit_code)
        from ampedge.log import redacted

        bug = redacted(f"{type(error).__name__}: {error}")
        sys.stderr.write(f"Bug: {bug}\nRun it again as `ampedge --debug ...` and report it.\n")
        sys.exit(1)
