/* Frames of version 1 for the sensor gateway: what a device sends, and what it is answered.
 *
 * Made by cbindgen from firmware-protocol/c; do not edit. How to begin: firmware-protocol/README.md.
 *
 * Functions return 0, a length or a count; or one of SensorFrameError, which are negative.
 * They can be called from any thread or interrupt, if no two use the same object at a time. They take no memory but
 * what they are given and some stack, never block and never abort. A pointer that is NULL where it must not be, and a
 * length beyond the limits, are errors; that a pointer points at as many elements as its count says is up to you.
 * Texts are UTF-8 and end with a NUL. */


#ifndef SENSOR_FRAME_H
#define SENSOR_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Most bytes of one frame.
 */
#define SENSOR_FRAME_MAX_BYTES 4096

/**
 * Most bytes of one frame as it goes over a serial line.
 */
#define SENSOR_FRAME_COBS_MAX_BYTES 4115

/**
 * Most channels of one frame or table.
 */
#define SENSOR_FRAME_CHANNELS_MAX 32

/**
 * Most samples of one channel in one frame.
 */
#define SENSOR_FRAME_SAMPLES_MAX 1024

/**
 * Most bytes of a device's name.
 */
#define SENSOR_FRAME_DEVICE_MAX_BYTES 64

/**
 * Most bytes of a channel's name.
 */
#define SENSOR_FRAME_CHANNEL_NAME_MAX_BYTES 32

/**
 * Most bytes of a channel's unit.
 */
#define SENSOR_FRAME_UNIT_MAX_BYTES 16

/**
 * Most bytes of one sample that is a text.
 */
#define SENSOR_FRAME_TEXT_MAX_BYTES 128

/**
 * Least bytes of a key.
 */
#define SENSOR_FRAME_KEY_MIN_BYTES 16

/**
 * Most bytes of a key.
 */
#define SENSOR_FRAME_KEY_MAX_BYTES 64

/**
 * What a function gives back instead of 0, a length or a count. All are negative.
 */
enum SensorFrameError
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * A pointer is null, not aligned for what it points at, or points into the output buffer.
   */
  SENSOR_FRAME_ERROR_POINTER = -1,
  /**
   * The frame was not begun, or is finished already; a receiver or table was not made by its function.
   */
  SENSOR_FRAME_ERROR_NOT_BEGUN = -2,
  /**
   * A text is not UTF-8.
   */
  SENSOR_FRAME_ERROR_NOT_UTF8 = -3,
  /**
   * An empty name, a control character, a kind that is none, a range that is upside down or not finite, an interval
   * of 0 between samples, offsets too far apart, or channels that are not in the order of their table.
   */
  SENSOR_FRAME_ERROR_MALFORMED = -4,
  /**
   * More bytes, channels, samples or characters than the format's limits.
   */
  SENSOR_FRAME_ERROR_TOO_LARGE = -5,
  /**
   * The output buffer is too small.
   */
  SENSOR_FRAME_ERROR_BUFFER_TOO_SMALL = -6,
  /**
   * A channel is there twice.
   */
  SENSOR_FRAME_ERROR_DUPLICATE_CHANNEL = -7,
  /**
   * The frame's table has no channel of this name.
   */
  SENSOR_FRAME_ERROR_NO_CHANNEL = -8,
  /**
   * A key is shorter than 16 or longer than 64 bytes.
   */
  SENSOR_FRAME_ERROR_KEY_LENGTH = -9,
  /**
   * Not a packet of the kind that is looked for.
   */
  SENSOR_FRAME_ERROR_OTHER_PACKET = -10,
  /**
   * A packet of a later version of the format.
   */
  SENSOR_FRAME_ERROR_UNKNOWN_VERSION = -11,
  /**
   * The bytes end before the packet does.
   */
  SENSOR_FRAME_ERROR_TRUNCATED = -12,
  /**
   * Bytes are left behind the packet's content.
   */
  SENSOR_FRAME_ERROR_TRAILING_BYTES = -13,
  /**
   * The packet was damaged on its way.
   */
  SENSOR_FRAME_ERROR_WRONG_CRC = -14,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SensorFrameError SensorFrameError;
#else
typedef int32_t SensorFrameError;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What kind of value a channel has.
 */
enum SensorFrameKind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  SENSOR_FRAME_KIND_F32 = 0,
  SENSOR_FRAME_KIND_F64 = 1,
  SENSOR_FRAME_KIND_I32 = 2,
  SENSOR_FRAME_KIND_BOOL = 3,
  SENSOR_FRAME_KIND_TEXT = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SensorFrameKind SensorFrameKind;
#else
typedef uint8_t SensorFrameKind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A frame under way. It has nothing to be freed, and keeps pointers to its buffer and its table until it is finished.
 */
typedef struct SensorFrame {
  uint32_t begun;
  int32_t fault;
  size_t state[32];
} SensorFrame;

/**
 * Whom a frame is from, which one it is, and the time that its samples count from.
 */
typedef struct SensorFrameHeader {
  /**
   * The device's name: 1 to 64 bytes, no control characters.
   */
  const char *device;
  /**
   * Counts the device's starts, or is drawn at random at each. No two starts have the same.
   */
  uint32_t boot;
  /**
   * Counts frames and hellos since that start, from 0.
   */
  uint32_t seq;
  /**
   * True: `base_micros` counts from 1970-01-01T00:00:00Z. False: the device has no clock, and it counts from its
   * start; the receiver takes the time of receipt for the newest sample's.
   */
  bool has_clock;
  /**
   * Microseconds; not negative without a clock.
   */
  int64_t base_micros;
} SensorFrameHeader;

/**
 * What a hello tells of one channel.
 */
typedef struct SensorFrameChannel {
  /**
   * 1 to 32 bytes, no control characters.
   */
  const char *name;
  /**
   * At most 16 bytes, no control characters; NULL or empty if there is none.
   */
  const char *unit;
  SensorFrameKind kind;
  /**
   * Whether `min` and `max` tell the least and the largest value that it can measure.
   */
  bool has_range;
  float min;
  float max;
  /**
   * From one sample to the next, microseconds; 0 if that varies or is not known.
   */
  uint32_t interval_micros;
} SensorFrameChannel;

/**
 * The channels of a device, which are to stay where they are; `sensor_frame_table` makes it.
 */
typedef struct SensorFrameTable {
  const struct SensorFrameChannel *channels;
  size_t count;
  /**
   * Made from the channels: another table has another id.
   */
  uint32_t id;
} SensorFrameTable;

/**
 * A secret that device and gateway share.
 */
typedef struct SensorFrameKey {
  /**
   * The number by which the gateway knows it.
   */
  uint8_t id;
  const uint8_t *secret;
  /**
   * 16 to 64; 32 random bytes are best.
   */
  size_t secret_bytes;
} SensorFrameKey;

/**
 * The identity of a frame that the gateway has on disk.
 */
typedef struct SensorFrameAck {
  uint32_t boot;
  uint32_t seq;
} SensorFrameAck;

/**
 * What has come of a packet over a serial line. It has nothing to be freed.
 */
typedef struct SensorFrameReceiver {
  uint32_t begun;
  uint64_t state[28];
} SensorFrameReceiver;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * What an error means, in English; never NULL. A program that does not call it does not carry the texts.
 */
const char *sensor_frame_error_text(int32_t error);

/**
 * Begins a frame whose channels are named in it. `out` has `size` bytes; SENSOR_FRAME_MAX_BYTES are always enough.
 * It is not used otherwise until the frame is finished. Returns 0, or an error (which `sensor_frame_finish` gives, too).
 */
int32_t sensor_frame_begin(struct SensorFrame *frame,
                           const struct SensorFrameHeader *header,
                           uint8_t *out,
                           size_t size);

/**
 * Begins a frame whose channels are those of `table`, which a hello has told to the gateway: it is much shorter.
 * Channels are added by name, in the order of the table, each at most once. The table stays as it is until the frame is
 * finished. Otherwise as `sensor_frame_begin`.
 */
int32_t sensor_frame_begin_in_table(struct SensorFrame *frame,
                                    const struct SensorFrameHeader *header,
                                    const struct SensorFrameTable *table,
                                    uint8_t *out,
                                    size_t size);

/**
 * Adds a channel of `count` samples to the frame: `offsets` are microseconds from the base time.
 * `offsets` may be NULL for a single sample, whose time is the base time then. Returns 0, or an error.
 */
int32_t sensor_frame_f32(struct SensorFrame *frame,
                         const char *channel,
                         const int64_t *offsets,
                         const float *values,
                         size_t count);

/**
 * As `sensor_frame_f32`.
 */
int32_t sensor_frame_f64(struct SensorFrame *frame,
                         const char *channel,
                         const int64_t *offsets,
                         const double *values,
                         size_t count);

/**
 * As `sensor_frame_f32`.
 */
int32_t sensor_frame_i32(struct SensorFrame *frame,
                         const char *channel,
                         const int64_t *offsets,
                         const int32_t *values,
                         size_t count);

/**
 * As `sensor_frame_f32`.
 */
int32_t sensor_frame_bool(struct SensorFrame *frame,
                          const char *channel,
                          const int64_t *offsets,
                          const bool *values,
                          size_t count);

/**
 * As `sensor_frame_f32`; each text has at most 128 bytes, and no control characters.
 */
int32_t sensor_frame_text(struct SensorFrame *frame,
                          const char *channel,
                          const int64_t *offsets,
                          const char *const *values,
                          size_t count);

/**
 * Adds a channel of `count` samples of one distance in time: the first is `first` microseconds from the base time,
 * each other one `interval_micros` (at least 1) behind the one before. Returns 0, or an error.
 */
int32_t sensor_frame_f32_every(struct SensorFrame *frame,
                               const char *channel,
                               int64_t first,
                               uint32_t interval_micros,
                               const float *values,
                               size_t count);

/**
 * As `sensor_frame_f32_every`.
 */
int32_t sensor_frame_f64_every(struct SensorFrame *frame,
                               const char *channel,
                               int64_t first,
                               uint32_t interval_micros,
                               const double *values,
                               size_t count);

/**
 * As `sensor_frame_f32_every`.
 */
int32_t sensor_frame_i32_every(struct SensorFrame *frame,
                               const char *channel,
                               int64_t first,
                               uint32_t interval_micros,
                               const int32_t *values,
                               size_t count);

/**
 * As `sensor_frame_f32_every`; the gateway gets it as i32.
 */
int32_t sensor_frame_i16_every(struct SensorFrame *frame,
                               const char *channel,
                               int64_t first,
                               uint32_t interval_micros,
                               const int16_t *values,
                               size_t count);

/**
 * As `sensor_frame_f32_every`; the gateway gets it as i32.
 */
int32_t sensor_frame_u16_every(struct SensorFrame *frame,
                               const char *channel,
                               int64_t first,
                               uint32_t interval_micros,
                               const uint16_t *values,
                               size_t count);

/**
 * As `sensor_frame_f32_every`.
 */
int32_t sensor_frame_bool_every(struct SensorFrame *frame,
                                const char *channel,
                                int64_t first,
                                uint32_t interval_micros,
                                const bool *values,
                                size_t count);

/**
 * Ends the frame. Returns how many bytes of the buffer are to be sent, or the first error since its begin.
 */
int32_t sensor_frame_finish(struct SensorFrame *frame);

/**
 * `sensor_frame_finish`, and signs the frame: a gateway that knows a key of this device takes no frame without.
 */
int32_t sensor_frame_finish_signed(struct SensorFrame *frame, const struct SensorFrameKey *key);

/**
 * Writes a packet to `out` as it goes over a serial line. Returns how many bytes are to be sent, or an error.
 * SENSOR_FRAME_COBS_MAX_BYTES are always enough. A packet that lies in `out` is an error.
 */
int32_t sensor_frame_cobs(const uint8_t *packet, size_t bytes, uint8_t *out, size_t size);

/**
 * Reads an acknowledgement. Returns 1 if it is for a frame of `device`, which `ack` tells then; 0 if for another
 * device; an error if the packet is no acknowledgement.
 */
int32_t sensor_frame_read_ack(const uint8_t *packet, size_t bytes, const char *device, struct SensorFrameAck *ack);

/**
 * Reads a request for a hello. Returns 1 if `device` is asked, 0 if another device is, an error if the packet is none.
 */
int32_t sensor_frame_read_hello_request(const uint8_t *packet, size_t bytes, const char *device);

/**
 * Makes a receiver. Returns 0, or an error.
 */
int32_t sensor_frame_receiver(struct SensorFrameReceiver *receiver);

/**
 * Takes the next byte of the line. Returns 0 as long as more has to come; the length of a packet that is complete
 * with it, at which `packet` points then until the next call; an error for what was thrown away: go on in any case.
 */
int32_t sensor_frame_receive(struct SensorFrameReceiver *receiver, uint8_t byte, const uint8_t **packet);

/**
 * Checks `count` channels, at most 32, and makes a table of them. Returns 0, or an error.
 */
int32_t sensor_frame_table(struct SensorFrameTable *table, const struct SensorFrameChannel *channels, size_t count);

/**
 * Writes a hello, which tells what the channels are: at the device's start, and when the gateway asks for it.
 * Returns how many bytes of `out` are to be sent, or an error. SENSOR_FRAME_MAX_BYTES are always enough.
 */
int32_t sensor_frame_hello(const struct SensorFrameHeader *header,
                           const struct SensorFrameTable *table,
                           uint8_t *out,
                           size_t size);

/**
 * `sensor_frame_hello`, signed: a gateway that knows a key of this device takes no hello without.
 */
int32_t sensor_frame_hello_signed(const struct SensorFrameHeader *header,
                                  const struct SensorFrameTable *table,
                                  const struct SensorFrameKey *key,
                                  uint8_t *out,
                                  size_t size);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SENSOR_FRAME_H */
