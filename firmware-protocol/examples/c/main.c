/* What firmware does: at its start a hello that tells its channels, then frames of samples. Writes both to files.
 *
 *   ./sensor DIRECTORY [BOOT [UNIX_MICROS]]
 *
 * Without BOOT and UNIX_MICROS the bytes are those of the examples in SPEC.md. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sensor_frame.h"

/* Constants, so that they stay in flash. */
static const SensorFrameChannel CHANNELS[] = {
    {.name = "flow", .unit = "l/min", .kind = SENSOR_FRAME_KIND_F32, .has_range = true, .min = 0, .max = 80,
     .interval_micros = 100000},
    {.name = "door", .kind = SENSOR_FRAME_KIND_BOOL},
};

/* Static, so that it is not on the stack. A frame of few samples does with less than SENSOR_FRAME_MAX_BYTES. */
static uint8_t buffer[256];

/* In firmware: publish over MQTT, or sensor_frame_cobs and out of the UART. */
static int send(const char *directory, const char *name, int32_t length) {
    char path[1024];
    FILE *file;
    size_t written;

    if (length < 0) {
        fprintf(stderr, "%s: %s\n", name, sensor_frame_error_text(length));
        return 1;
    }
    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    written = fwrite(buffer, 1, (size_t)length, file);
    if (fclose(file) != 0 || written != (size_t)length) {
        perror(path);
        return 1;
    }
    printf("%s: %" PRId32 " bytes\n", path, length);
    return 0;
}

int main(int argc, char **argv) {
    SensorFrameHeader header = {.device = "pump-7", .boot = 4, .has_clock = true, .base_micros = 1772366400000000};
    SensorFrameTable table;
    SensorFrame frame;
    int32_t error;

    if (argc < 2) {
        fprintf(stderr, "usage: %s DIRECTORY [BOOT [UNIX_MICROS]]\n", argv[0]);
        return 2;
    }
    if (argc > 2) header.boot = (uint32_t)strtoul(argv[2], NULL, 10);
    if (argc > 3) header.base_micros = strtoll(argv[3], NULL, 10);

    error = sensor_frame_table(&table, CHANNELS, sizeof CHANNELS / sizeof CHANNELS[0]);
    if (error < 0) {
        fprintf(stderr, "table: %s\n", sensor_frame_error_text(error));
        return 1;
    }
    if (send(argv[1], "hello.bin", sensor_frame_hello(&header, &table, buffer, sizeof buffer)) != 0) return 1;

    /* A second later: three values that were sampled at an even pace, and one event with its own time. */
    const float flow[] = {12.0f, 12.25f, 12.5f};
    const int64_t door_at[] = {150000};
    const bool door[] = {true};
    header.seq += 1;
    header.base_micros += 1000000;
    sensor_frame_begin_in_table(&frame, &header, &table, buffer, sizeof buffer);
    sensor_frame_f32_every(&frame, "flow", 0, 100000, flow, 3);
    sensor_frame_bool(&frame, "door", door_at, door, 1);
    /* What went wrong on the way is told here, too. */
    return send(argv[1], "frame.bin", sensor_frame_finish(&frame));
}
