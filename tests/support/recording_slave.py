"""A slave that takes every write and remembers the requests as they came over the wire."""

from types import TracebackType
from typing import Any, Self

from pyModbusTCP.server import DataBank, DataHandler, ModbusServer


class RecordingSlave:
    """A context manager; `requests` lists (unit, function code, address, words) of each write, in order."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, int, int, list[Any]]] = []
        self._server = ModbusServer("127.0.0.1", 0, no_block=True, data_hdl=_Recorder(self.requests))

    def __enter__(self) -> Self:
        self._server.start()
        self.port = self._server._service.server_address[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()


class _Recorder(DataHandler):
    def __init__(self, requests: list[tuple[int, int, int, list[Any]]]) -> None:
        super().__init__(DataBank(coils_size=2048, d_inputs_size=0, h_regs_size=2048, i_regs_size=0))
        self._requests = requests

    def write_coils(self, address: int, bits_l: list[bool], srv_info: Any) -> Any:
        self._note(address, bits_l, srv_info)
        return super().write_coils(address, bits_l, srv_info)

    def write_h_regs(self, address: int, words_l: list[int], srv_info: Any) -> Any:
        self._note(address, words_l, srv_info)
        return super().write_h_regs(address, words_l, srv_info)

    def _note(self, address: int, data: list[Any], srv_info: Any) -> None:
        frame = srv_info.recv_frame
        self._requests.append((frame.mbap.unit_id, frame.pdu.func_code, address, list(data)))
