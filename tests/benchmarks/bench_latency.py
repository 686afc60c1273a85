"""From the write of a row into the embedded slave to the message at a subscriber.

`ampedge serve` hosts the slave; rows are written one at a time with function code 16, each followed by the
wait for its event at a subscriber on the same machine.
"""

import json
import statistics
import time

import paho.mqtt.client as mqtt

from ampedge.modbus.client import Master
from ampedge.modbus.codec import encode_row
from ampedge.modbus.plan import plan_writes
from tests.benchmarks.parts import GOLDEN, HOST, Parts, free_port, listens, wait_for

ROWS = 300
SETTLE_MS = 20.0


def main() -> None:
    arrived: dict[float, float] = {}

    def note(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        value = json.loads(message.payload)["values"]["plate_voltage"]["value"]
        arrived.setdefault(value, time.perf_counter())

    with Parts() as parts:
        port = free_port()
        parts.serve("--slave", "embedded", "--settle-ms", str(SETTLE_MS), port=port)
        wait_for(lambda: listens(port), "serve")
        subscriber = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        subscriber.on_message = note
        subscriber.connect(HOST, parts.broker_port)
        subscriber.subscribe("amp/inference/event", qos=1)
        subscriber.loop_start()
        datamap = parts.bundle.datamap
        plan, master, delays_ms = plan_writes(datamap), Master(HOST, port), []
        for row in range(ROWS):
            values = (400.0 + row / 8, *GOLDEN[1:])
            words = encode_row(datamap.tags, values)
            written_s = time.perf_counter()
            master.write(plan, words)
            wait_for(lambda expected=values[0]: expected in arrived, "the event")
            delays_ms.append((arrived[values[0]] - written_s) * 1000)
        master.close()
        subscriber.disconnect()
        subscriber.loop_stop()
    median_ms, last_ms = statistics.median(delays_ms), statistics.quantiles(delays_ms, n=100)[98]
    print(f"write to message over {ROWS} rows: median {median_ms:.2f} ms, 99 % {last_ms:.2f} ms")
    print(f"median beyond settle_ms = {SETTLE_MS:g}: {median_ms - SETTLE_MS:.2f} ms (promised: at most 5)")


if __name__ == "__main__":
    main()
