"""The live view of `monitor`: the board on a terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from ampedge.cli.monitor_overview import overview
from ampedge.cli.monitor_view import drawn
from ampedge.monitor.board import Board, Kind
from ampedge.mqtt.subscriber import Message, Subscriber


class Screen:
    """Draws the board anew at every turn; a context manager that leaves the last view behind."""

    def __init__(self, board: Board, subscriber: Subscriber, where: str) -> None:
        self.counted = 0
        self._board = board
        self._subscriber = subscriber
        self._where = where
        self._now_s = 0.0
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def take(self, kind: Kind, message: Message) -> None:  # noqa: ARG002  # it is on the board
        if kind is Kind.LABEL:
            self.counted += 1

    def turn(self, now_s: float) -> None:
        self._now_s = now_s
        self._live.update(self._drawn(), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self._console.print(self._drawn())

    def _drawn(self) -> RenderableType:
        problem = self._subscriber.problem
        views = self._board.views(self._now_s, problem=problem)
        if len(views) > 1:
            return overview(views, self._where, problem=problem, size=self._console.size)
        view = self._board.view(self._now_s, problem=problem)
        return drawn(view, self._where, problem=problem, size=self._console.size)
