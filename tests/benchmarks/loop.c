/* The plain C loop that a serve cycle is measured against: read ten registers, publish a label and an event.
 * usage: loop PORT_OF_SLAVE PORT_OF_BROKER CYCLES EVENT_FILE; prints microseconds a cycle. */
#include <modbus.h>
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int acknowledged = 0;

static void on_publish(struct mosquitto *broker, void *data, int mid) {
    (void)broker, (void)data, (void)mid;
    acknowledged++; /* also called for a label, once it is sent */
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int cycles = atoi(argv[3]);
    char event[4096];
    FILE *file = fopen(argv[4], "rb");
    if (!file) return 2;
    int size = (int)fread(event, 1, sizeof event, file);
    fclose(file);

    modbus_t *slave = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
    if (!slave || modbus_set_slave(slave, 1) || modbus_connect(slave)) return 3;
    mosquitto_lib_init();
    struct mosquitto *broker = mosquitto_new(NULL, true, NULL);
    mosquitto_int_option(broker, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(broker, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_publish_callback_set(broker, on_publish);
    if (mosquitto_connect(broker, "127.0.0.1", atoi(argv[2]), 60)) return 3;
    for (int i = 0; i < 20; i++) mosquitto_loop(broker, 10, 1);

    double begun = seconds();
    for (int i = 0; i < cycles; i++) {
        uint16_t words[10];
        if (modbus_read_registers(slave, 0, 10, words) != 10) return 4;
        if (mosquitto_publish(broker, NULL, "c/inference", 7, "healthy", 0, false)) return 5;
        if (mosquitto_publish(broker, NULL, "c/inference/event", size, event, 1, false)) return 5;
        mosquitto_loop(broker, 0, 1);
    }
    while (acknowledged < 2 * cycles) mosquitto_loop(broker, 10, 1);
    printf("%.3f\n", (seconds() - begun) / cycles * 1e6);
    return 0;
}
