"""The loop of the published service, written anew from its description, to measure a cycle of it.

Five reads of two registers, a scaled row, `model.predict` of Keras, the label published.
usage: published_loop.py PORT_OF_SLAVE PORT_OF_BROKER CYCLES; prints wall and CPU microseconds a cycle.
"""

import os
import struct
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import paho.mqtt.client as mqtt
from pyModbusTCP.client import ModbusClient
from sklearn.preprocessing import StandardScaler

LABELS = ["failsoon", "healthy", "overdriven", "unstable"]


def main() -> None:
    slave_port, broker_port, cycles = map(int, sys.argv[1:])
    draw = np.random.RandomState(1)
    scaler = StandardScaler().fit(draw.normal(size=(100, 5)))
    sizes = (64, 32, 16)
    hidden = [keras.layers.Dense(size, activation="relu") for size in sizes]
    model = keras.Sequential([keras.Input((5,)), *hidden, keras.layers.Dense(4, activation="softmax")])
    slave = ModbusClient("127.0.0.1", slave_port, auto_open=True)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker_port)
    client.loop_start()

    def cycle() -> None:
        values = []
        for address in range(0, 10, 2):
            words = slave.read_holding_registers(address, 2)
            values.append(struct.unpack(">f", struct.pack(">HH", *words))[0])
        probabilities = model.predict(scaler.transform(np.array([values])), verbose=0)
        client.publish("published/inference", LABELS[int(np.argmax(probabilities))])

    for _ in range(3):
        cycle()
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(cycles):
        cycle()
    wall_s, used_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    print(f"{wall_s / cycles * 1e6:.1f} {used_s / cycles * 1e6:.1f}")


if __name__ == "__main__":
    main()
