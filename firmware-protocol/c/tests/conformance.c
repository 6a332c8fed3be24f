/* The C interface against the specification, and against its callers' mistakes.
 *
 * Standard output is each example of SPEC.md, encoded here: `frame` or `serial` and the bytes in hex, in the order of
 * the text. What is wrong otherwise is told on standard error, with exit code 1. */
#include <stdio.h>
#include <string.h>

#include "sensor_frame.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint8_t out[SENSOR_FRAME_MAX_BYTES];
static uint8_t wire[SENSOR_FRAME_COBS_MAX_BYTES];
static int failures;

#define EXPECT(expected, actual) expect(__LINE__, #actual, (expected), (actual))

static void expect(int line, const char *what, int64_t expected, int64_t actual) {
    if (expected != actual) {
        fprintf(stderr, "conformance.c:%d: %s is %lld, not %lld\n", line, what, (long long)actual, (long long)expected);
        failures += 1;
    }
}

static void show(const char *kind, const uint8_t *bytes, int32_t length) {
    printf("%s ", kind);
    for (int32_t i = 0; i < length; i++) printf("%02x", bytes[i]);
    if (length < 0) printf("%s", sensor_frame_error_text(length));
    printf("\n");
}

static const SensorFrameChannel CHANNELS[] = {
    {.name = "flow", .unit = "l/min", .kind = SENSOR_FRAME_KIND_F32, .has_range = true, .min = 0, .max = 80,
     .interval_micros = 100000},
    {.name = "door", .unit = "", .kind = SENSOR_FRAME_KIND_BOOL},
};
static const SensorFrameHeader PUMP = {.device = "pump-7", .boot = 3, .seq = 300, .has_clock = true,
                                       .base_micros = 1772366400000000};
static const SensorFrameHeader X = {.device = "x", .has_clock = true};
static const uint8_t SECRET[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const SensorFrameKey KEY = {.id = 7, .secret = SECRET, .secret_bytes = sizeof SECRET};

static int32_t smallest(void) {
    SensorFrame frame;
    sensor_frame_begin(&frame, &X, out, sizeof out);
    return sensor_frame_finish(&frame);
}

static void the_specs_frames(void) {
    SensorFrame frame;
    SensorFrameTable table;
    const int64_t seconds[] = {0, 1000000, 2000000}, half[] = {1500000}, back[] = {0, -500000}, word_at[] = {-3000, 0};
    const float temperature[] = {21.5f, 21.625f, 21.5f}, flow[] = {12.0f, 12.25f, 12.5f};
    const bool yes[] = {true};
    const int32_t steps[] = {-70000, INT32_MAX};
    const double level[] = {0.1};
    const int16_t counts[] = {-2, 0, 17, 2047};
    const char *const words[] = {"idle", "l\xc3\xa4uft"};

    EXPECT(0, sensor_frame_begin(&frame, &PUMP, out, sizeof out));
    EXPECT(0, sensor_frame_f32(&frame, "temperature", seconds, temperature, 3));
    EXPECT(0, sensor_frame_bool(&frame, "door", half, yes, 1));
    show("frame", out, sensor_frame_finish(&frame));

    const SensorFrameHeader t1 = {.device = "t1", .boot = UINT32_MAX, .base_micros = 90000000};
    sensor_frame_begin(&frame, &t1, out, sizeof out);
    EXPECT(0, sensor_frame_i32(&frame, "steps", back, steps, 2));
    EXPECT(0, sensor_frame_f64(&frame, "level", NULL, level, 1));
    show("frame", out, sensor_frame_finish(&frame));

    show("frame", out, smallest());

    const SensorFrameHeader mic = {.device = "mic-2", .boot = 9, .seq = 8, .base_micros = 90000000};
    sensor_frame_begin(&frame, &mic, out, sizeof out);
    EXPECT(0, sensor_frame_i16_every(&frame, "counts", -3000, 1000, counts, 4));
    EXPECT(0, sensor_frame_text(&frame, "state", word_at, words, 2));
    show("frame", out, sensor_frame_finish(&frame));

    SensorFrameHeader pump = PUMP;
    pump.boot = 4;
    pump.seq = 0;
    EXPECT(0, sensor_frame_table(&table, CHANNELS, COUNT(CHANNELS)));
    EXPECT(1492195248, table.id);
    show("frame", out, sensor_frame_hello(&pump, &table, out, sizeof out));

    const int64_t door_at[] = {150000};
    pump.seq = 1;
    pump.base_micros += 1000000;
    EXPECT(0, sensor_frame_begin_in_table(&frame, &pump, &table, out, sizeof out));
    EXPECT(0, sensor_frame_f32_every(&frame, "flow", 0, 100000, flow, 3));
    EXPECT(0, sensor_frame_bool(&frame, "door", door_at, yes, 1));
    show("frame", out, sensor_frame_finish(&frame));

    SensorFrameHeader signed_x = X;
    signed_x.seq = 1;
    sensor_frame_begin(&frame, &signed_x, out, sizeof out);
    EXPECT(0, sensor_frame_bool(&frame, "door", NULL, yes, 1));
    show("frame", out, sensor_frame_finish_signed(&frame, &KEY));
    EXPECT(9, sensor_frame_hello_signed(&pump, &table, &KEY, out, sizeof out)
                  - sensor_frame_hello(&pump, &table, out, sizeof out));
}

static int32_t receive_all(SensorFrameReceiver *receiver, const uint8_t *bytes, size_t count, const uint8_t **packet) {
    int32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t next = sensor_frame_receive(receiver, bytes[i], packet);
        if (next != 0) found = next;
    }
    return found;
}

static void the_specs_serial_packets(void) {
    static const uint8_t ack_packet[] = {0x53, 0x41, 1, 0, 1, 'x', 0, 0, 0xa9, 0xd8, 0xf5, 0x75};
    static const uint8_t request[] = {0x53, 0x48, 1, 0, 1, 'x', 0x58, 0x67, 0x22, 0xac};
    SensorFrameReceiver receiver;
    SensorFrameAck ack = {.boot = 9, .seq = 9};
    const uint8_t *packet = NULL;
    int32_t length;

    length = smallest();
    show("serial", wire, sensor_frame_cobs(out, (size_t)length, wire, sizeof wire));

    EXPECT(0, sensor_frame_receiver(&receiver));
    length = sensor_frame_cobs(ack_packet, sizeof ack_packet, wire, sizeof wire);
    show("serial", wire, length);
    length = receive_all(&receiver, wire, (size_t)length, &packet);
    EXPECT((int64_t)sizeof ack_packet, length);
    EXPECT(1, sensor_frame_read_ack(packet, (size_t)length, "x", &ack));
    EXPECT(0, ack.boot + ack.seq);
    EXPECT(0, sensor_frame_read_ack(packet, (size_t)length, "y", &ack));
    EXPECT(SENSOR_FRAME_ERROR_OTHER_PACKET, sensor_frame_read_hello_request(packet, (size_t)length, "x"));

    length = sensor_frame_cobs(request, sizeof request, wire, sizeof wire);
    show("serial", wire, length);
    length = receive_all(&receiver, wire, (size_t)length, &packet);
    EXPECT((int64_t)sizeof request, length);
    EXPECT(1, sensor_frame_read_hello_request(packet, (size_t)length, "x"));
    EXPECT(0, sensor_frame_read_hello_request(packet, (size_t)length, "pump-7"));
    EXPECT(SENSOR_FRAME_ERROR_OTHER_PACKET, sensor_frame_read_ack(packet, (size_t)length, "x", &ack));

    /* Noise costs itself alone; so does a packet that no device is sent. */
    EXPECT(SENSOR_FRAME_ERROR_WRONG_CRC, receive_all(&receiver, (const uint8_t *)"\x06noise", 7, &packet));
    EXPECT(SENSOR_FRAME_ERROR_TRUNCATED, receive_all(&receiver, (const uint8_t *)"\x09noise", 7, &packet));
    memset(out, 1, sizeof out);
    length = sensor_frame_cobs(out, sizeof out, wire, sizeof wire);
    EXPECT(SENSOR_FRAME_ERROR_TOO_LARGE, receive_all(&receiver, wire, (size_t)length, &packet));
    length = sensor_frame_cobs(request, sizeof request, wire, sizeof wire);
    EXPECT((int64_t)sizeof request, receive_all(&receiver, wire, (size_t)length, &packet));
}

/* A frame after one channel that is wrong: the fault is given at once, for what comes behind it, and at the end. */
static void faulty(int line, int32_t fault, SensorFrame *frame, int32_t given) {
    const float one = 1;
    expect(line, "the channel", fault, given);
    expect(line, "the next channel", fault, sensor_frame_f32(frame, "behind", NULL, &one, 1));
    expect(line, "the end", fault, sensor_frame_finish(frame));
    expect(line, "the end again", SENSOR_FRAME_ERROR_NOT_BEGUN, sensor_frame_finish(frame));
    expect(line, "the next frame", 0, sensor_frame_begin(frame, &X, out, sizeof out));
}

static void the_callers_mistakes(void) {
    SensorFrame frame;
    SensorFrameHeader header = X;
    SensorFrameTable table;
    const int64_t far[] = {INT64_MIN, INT64_MAX};
    const float values[] = {1, 2};
    const char *texts[] = {"\xff", NULL};
    char long_name[67];
    memset(long_name, 'n', sizeof long_name);

    memset(&frame, 0, sizeof frame);
    EXPECT(SENSOR_FRAME_ERROR_NOT_BEGUN, sensor_frame_f32(&frame, "a", NULL, values, 1));
    EXPECT(SENSOR_FRAME_ERROR_NOT_BEGUN, sensor_frame_finish(&frame));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_finish(NULL));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_begin(NULL, &X, out, sizeof out));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_begin(&frame, NULL, out, sizeof out));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_f32(&frame, "a", NULL, values, 1));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_finish(&frame));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_begin(&frame, &X, NULL, 100));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_begin_in_table(&frame, &X, NULL, out, sizeof out));
    EXPECT(0, sensor_frame_begin(&frame, &X, out, 10));
    EXPECT(SENSOR_FRAME_ERROR_BUFFER_TOO_SMALL, sensor_frame_finish(&frame));
    EXPECT(0, sensor_frame_begin(&frame, &X, out, SIZE_MAX));
    EXPECT(15, sensor_frame_finish(&frame));
    header.device = NULL;
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_begin(&frame, &header, out, sizeof out));
    header.device = long_name; /* It has no end. */
    EXPECT(SENSOR_FRAME_ERROR_TOO_LARGE, sensor_frame_begin(&frame, &header, out, sizeof out));
    header.device = "\xc3";
    EXPECT(SENSOR_FRAME_ERROR_NOT_UTF8, sensor_frame_begin(&frame, &header, out, sizeof out));
    header.device = "x";
    header.has_clock = false;
    header.base_micros = -1;
    EXPECT(SENSOR_FRAME_ERROR_MALFORMED, sensor_frame_begin(&frame, &header, out, sizeof out));

    EXPECT(0, sensor_frame_begin(&frame, &X, out, sizeof out));
    faulty(__LINE__, SENSOR_FRAME_ERROR_POINTER, &frame, sensor_frame_f32(&frame, NULL, NULL, values, 1));
    faulty(__LINE__, SENSOR_FRAME_ERROR_POINTER, &frame, sensor_frame_f32(&frame, "a", far, NULL, 2));
    faulty(__LINE__, SENSOR_FRAME_ERROR_POINTER, &frame, sensor_frame_f32(&frame, "a", NULL, values, 2));
    faulty(__LINE__, SENSOR_FRAME_ERROR_POINTER, &frame,
           sensor_frame_f32(&frame, "a", NULL, (const float *)(const void *)((const char *)values + 1), 1));
    faulty(__LINE__, SENSOR_FRAME_ERROR_TOO_LARGE, &frame, sensor_frame_f32(&frame, "a", far, values, SIZE_MAX));
    faulty(__LINE__, SENSOR_FRAME_ERROR_TOO_LARGE, &frame, sensor_frame_f32(&frame, long_name, NULL, values, 1));
    faulty(__LINE__, SENSOR_FRAME_ERROR_MALFORMED, &frame, sensor_frame_f32(&frame, "", NULL, values, 1));
    faulty(__LINE__, SENSOR_FRAME_ERROR_MALFORMED, &frame, sensor_frame_f32(&frame, "a\n", NULL, values, 1));
    faulty(__LINE__, SENSOR_FRAME_ERROR_MALFORMED, &frame, sensor_frame_f32(&frame, "a", far, values, 2));
    faulty(__LINE__, SENSOR_FRAME_ERROR_MALFORMED, &frame, sensor_frame_f32_every(&frame, "a", 0, 0, values, 2));
    faulty(__LINE__, SENSOR_FRAME_ERROR_NOT_UTF8, &frame, sensor_frame_text(&frame, "a", NULL, texts, 1));
    faulty(__LINE__, SENSOR_FRAME_ERROR_POINTER, &frame, sensor_frame_text(&frame, "a", NULL, texts + 1, 1));
    EXPECT(0, sensor_frame_f32(&frame, "a", NULL, NULL, 0));
    faulty(__LINE__, SENSOR_FRAME_ERROR_DUPLICATE_CHANNEL, &frame, sensor_frame_f32(&frame, "a", NULL, values, 1));

    SensorFrameChannel channels[33] = {{.name = "a"}, {.name = "b", .kind = 5}};
    EXPECT(SENSOR_FRAME_ERROR_MALFORMED, sensor_frame_table(&table, channels, 2));
    channels[1] = (SensorFrameChannel){.name = "a"};
    EXPECT(SENSOR_FRAME_ERROR_DUPLICATE_CHANNEL, sensor_frame_table(&table, channels, 2));
    channels[1] = (SensorFrameChannel){.name = "b", .has_range = true, .min = 1, .max = 0};
    EXPECT(SENSOR_FRAME_ERROR_MALFORMED, sensor_frame_table(&table, channels, 2));
    channels[1] = (SensorFrameChannel){.name = "b", .unit = "a unit that is too long"};
    EXPECT(SENSOR_FRAME_ERROR_TOO_LARGE, sensor_frame_table(&table, channels, 2));
    EXPECT(SENSOR_FRAME_ERROR_TOO_LARGE, sensor_frame_table(&table, channels, 33));
    channels[1] = (SensorFrameChannel){.name = "b"};
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_table(&table, channels, 3));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_table(&table, NULL, 1));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_table(NULL, CHANNELS, 2));

    EXPECT(0, sensor_frame_table(&table, CHANNELS, COUNT(CHANNELS)));
    EXPECT(SENSOR_FRAME_ERROR_BUFFER_TOO_SMALL, sensor_frame_hello(&X, &table, out, 40));
    EXPECT(0, sensor_frame_begin_in_table(&frame, &X, &table, out, sizeof out));
    faulty(__LINE__, SENSOR_FRAME_ERROR_NO_CHANNEL, &frame, sensor_frame_f32(&frame, "flo", NULL, values, 1));
    EXPECT(0, sensor_frame_begin_in_table(&frame, &X, &table, out, sizeof out));
    EXPECT(0, sensor_frame_bool(&frame, "door", NULL, (const bool[]){true}, 1));
    faulty(__LINE__, SENSOR_FRAME_ERROR_MALFORMED, &frame, sensor_frame_f32(&frame, "flow", NULL, values, 1));

    SensorFrameKey key = KEY;
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_finish_signed(&frame, NULL));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_hello_signed(&X, &table, NULL, out, sizeof out));
    key.secret_bytes = 15;
    EXPECT(SENSOR_FRAME_ERROR_KEY_LENGTH, sensor_frame_hello_signed(&X, &table, &key, out, sizeof out));
    key.secret_bytes = SIZE_MAX;
    EXPECT(SENSOR_FRAME_ERROR_KEY_LENGTH, sensor_frame_hello_signed(&X, &table, &key, out, sizeof out));
    key.secret = NULL;
    key.secret_bytes = 16;
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_hello_signed(&X, &table, &key, out, sizeof out));

    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_cobs(NULL, 1, wire, sizeof wire));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_cobs(wire + 10, 5, wire, sizeof wire));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_cobs(wire, 11, wire + 10, 20));
    EXPECT(13, sensor_frame_cobs(wire, 10, wire + 10, 20));
    EXPECT(SENSOR_FRAME_ERROR_TOO_LARGE, sensor_frame_cobs(out, 4097, wire, sizeof wire));
    EXPECT(SENSOR_FRAME_ERROR_BUFFER_TOO_SMALL, sensor_frame_cobs(out, 5, wire, 5));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_read_ack(NULL, 9, "x", NULL));
    EXPECT(SENSOR_FRAME_ERROR_OTHER_PACKET, sensor_frame_read_hello_request(NULL, 0, "x"));
    SensorFrameReceiver receiver;
    const uint8_t *packet;
    memset(&receiver, 0, sizeof receiver);
    EXPECT(SENSOR_FRAME_ERROR_NOT_BEGUN, sensor_frame_receive(&receiver, 0, &packet));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_receive(NULL, 0, &packet));
    EXPECT(SENSOR_FRAME_ERROR_POINTER, sensor_frame_receiver(NULL));

    for (int32_t error = 1; error >= SENSOR_FRAME_ERROR_WRONG_CRC - 1; error--) {
        EXPECT(1, strlen(sensor_frame_error_text(error)) > 5);
    }
}

int main(void) {
    the_specs_frames();
    the_specs_serial_packets();
    the_callers_mistakes();
    return failures == 0 ? 0 : 1;
}
