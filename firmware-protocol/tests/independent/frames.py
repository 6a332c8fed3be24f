"""Encoder of sensor frames, version 1, and of their serial packets; writes random frames as a command."""

import hashlib
import hmac
import math
import struct
import unicodedata
import zlib
from enum import IntEnum
from typing import Any, NamedTuple, Optional, Union

FRAME_MAGIC, ACK_MAGIC, REQUEST_MAGIC = b"SG", b"SA", b"SH"
VERSION = 1
FLAG_TABLE, FLAG_HELLO, FLAG_SIGNED = 1, 2, 4
BASE_UNIX, BASE_SINCE_BOOT = 0, 1
FIRST_REGULAR_TAG = 5
MAX_FRAME, MAX_CHANNELS, MAX_SAMPLES = 4096, 32, 1024
MAX_DEVICE, MAX_NAME, MAX_UNIT, MAX_TEXT = 64, 32, 16, 128
MIN_KEY, MAX_KEY, MAC_BYTES, CRC_BYTES = 16, 64, 8, 4
COBS_BLOCK, DELIMITER = 254, b"\0"
U32_MAX, U64_MAX = 2**32 - 1, 2**64 - 1
I32_MIN, I32_MAX = -(2**31), 2**31 - 1
I64_MIN, I64_MAX = -(2**63), 2**63 - 1


class FormatError(ValueError):
    """Content or bytes that break a rule of the format."""


class TooLarge(FormatError):
    """A frame of more than 4096 bytes."""


class Kind(IntEnum):
    """What the values of a channel are."""
    F32, F64, I32, BOOL, TEXT = range(5)


def require(condition: bool, what: str) -> None:
    """Raise FormatError unless the condition holds."""
    if not condition:
        raise FormatError(what)


def varint(value: int, limit: int = U32_MAX) -> bytes:
    """Unsigned LEB128."""
    require(0 <= value <= limit, f"{value} is not within 0 and {limit}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def zigzag(value: int, limit: int = I64_MAX) -> bytes:
    """A signed number: 0, -1, 1, -2 are the varints 0, 1, 2, 3."""
    return varint(2 * value if value >= 0 else -2 * value - 1, 2 * limit + 1)


def text(value: str, least: int, most: int) -> bytes:
    """UTF-8 behind its length in bytes; refuses control characters."""
    data = value.encode()
    require(least <= len(data) <= most, f"{value!r} has {len(data)} bytes, not {least} to {most}")
    require(all(unicodedata.category(c) != "Cc" for c in value), f"{value!r} has control characters")
    return varint(len(data)) + data


def crc(data: bytes) -> bytes:
    """The CRC-32 that closes frames and packets."""
    return struct.pack("<I", zlib.crc32(data))


def encode_value(kind: Kind, value: Any) -> bytes:
    """One value of a sample."""
    if kind == Kind.I32:
        return zigzag(value, I32_MAX)
    if kind == Kind.TEXT:
        return text(value, 0, MAX_TEXT)
    return struct.pack({Kind.F32: "<f", Kind.F64: "<d", Kind.BOOL: "<?"}[kind], value)


class Timed(NamedTuple):
    """Samples with a time each: (microseconds from the base, value)."""
    kind: Kind
    samples: list[tuple[int, Any]]

    def encode(self) -> bytes:
        """Tag, count, and each sample behind its distance from the one before."""
        out, before = varint(self.kind) + varint(len(self.samples), MAX_SAMPLES), 0
        for offset, value in self.samples:
            require(I64_MIN <= offset <= I64_MAX, "an offset is beyond 64 bits")
            out += zigzag(offset - before) + encode_value(self.kind, value)
            before = offset
        return out


class Regular(NamedTuple):
    """Samples in equal distances of microseconds; all kinds but text."""
    kind: Kind
    first: int
    interval: int
    values: list[Any]

    @property
    def samples(self) -> list[tuple[int, Any]]:
        """The samples with a time each."""
        return [(self.first + i * self.interval, value) for i, value in enumerate(self.values)]

    def encode(self) -> bytes:
        """Tag, first, interval, count, values."""
        require(self.kind != Kind.TEXT and self.interval >= 1, "text, or no interval, in regular samples")
        require(all(offset <= I64_MAX for offset, _ in self.samples), "an offset is beyond 64 bits")
        head = varint(FIRST_REGULAR_TAG + self.kind) + zigzag(self.first) + varint(self.interval)
        return head + varint(len(self.values), MAX_SAMPLES) + b"".join(encode_value(self.kind, v) for v in self.values)


Samples = Union[Timed, Regular]


class Front(NamedTuple):
    """Identity and base time of a frame; without a clock the base counts from the device's start."""
    device: str
    boot: int
    seq: int
    has_clock: bool
    base: int

    def encode(self) -> bytes:
        """What every body begins with."""
        base = bytes([BASE_UNIX]) + zigzag(self.base) if self.has_clock else (
            bytes([BASE_SINCE_BOOT]) + varint(self.base, U64_MAX))
        return text(self.device, 1, MAX_DEVICE) + varint(self.boot) + varint(self.seq) + base


class Info(NamedTuple):
    """What a hello tells of a channel."""
    name: str
    unit: str
    kind: Kind
    limits: Optional[tuple[float, float]] = None
    interval: int = 0

    def encode(self) -> bytes:
        """Name, unit, kind, range, interval."""
        limits = b"\0"
        if self.limits:
            require(all(map(math.isfinite, self.limits)) and self.limits[0] <= self.limits[1], "limits are no range")
            limits = struct.pack("<Bff", 1, *self.limits)
        return (text(self.name, 1, MAX_NAME) + text(self.unit, 0, MAX_UNIT) + varint(self.kind) + limits
                + varint(self.interval))


class Table(NamedTuple):
    """The channels of a hello; their places are the numbers in frames."""
    channels: list[Info]

    def encode(self) -> bytes:
        """The body of a hello behind the table's id."""
        require(len({c.name for c in self.channels}) == len(self.channels), "a name is there twice")
        return varint(len(self.channels), MAX_CHANNELS) + b"".join(c.encode() for c in self.channels)

    def id(self) -> int:
        """The CRC of the content."""
        return zlib.crc32(self.encode())


class Key(NamedTuple):
    """A secret of 16 to 64 bytes and its number."""
    id: int
    secret: bytes


def seal(flags: int, body: bytes, key: Optional[Key]) -> bytes:
    """A frame of a body: header, signature if there is a key, CRC."""
    frame = FRAME_MAGIC + bytes([VERSION, flags | (FLAG_SIGNED if key else 0)]) + body
    if key:
        require(MIN_KEY <= len(key.secret) <= MAX_KEY and 0 <= key.id <= 255, "not a key")
        frame += bytes([key.id])
        frame += hmac.new(key.secret, frame, hashlib.sha256).digest()[:MAC_BYTES]
    if len(frame) + CRC_BYTES > MAX_FRAME:
        raise TooLarge(f"{len(frame) + CRC_BYTES} bytes")
    return frame + crc(frame)


def named_frame(front: Front, channels: list[tuple[str, Samples]], key: Optional[Key] = None) -> bytes:
    """A frame that names its channels."""
    require(len({name for name, _ in channels}) == len(channels), "a name is there twice")
    body = b"".join(text(name, 1, MAX_NAME) + samples.encode() for name, samples in channels)
    return seal(0, front.encode() + varint(len(channels), MAX_CHANNELS) + body, key)


def numbered_frame(front: Front, table: int, channels: list[tuple[int, Samples]], key: Optional[Key] = None) -> bytes:
    """A frame whose channels are numbers of the table with this id."""
    numbers = [number for number, _ in channels]
    require(numbers == sorted(set(numbers)) and all(0 <= n < MAX_CHANNELS for n in numbers), "numbers do not ascend")
    body = b"".join(bytes([number]) + samples.encode() for number, samples in channels)
    return seal(FLAG_TABLE, front.encode() + varint(table) + varint(len(channels)) + body, key)


def hello_frame(front: Front, table: Table, key: Optional[Key] = None) -> bytes:
    """A frame that tells a table."""
    return seal(FLAG_HELLO, front.encode() + varint(table.id()) + table.encode(), key)


def cobs_encode(packet: bytes) -> bytes:
    """The packet without zero bytes."""
    out, pieces = bytearray(), packet.split(b"\0")
    for place, piece in enumerate(pieces):
        while len(piece) > COBS_BLOCK or (len(piece) == COBS_BLOCK and place + 1 < len(pieces)):
            out += b"\xff" + piece[:COBS_BLOCK]
            piece = piece[COBS_BLOCK:]
        out += bytes([len(piece) + 1]) + piece
    return bytes(out)


def cobs_decode(data: bytes) -> bytes:
    """The packet that stands between two delimiters."""
    out, at = bytearray(), 0
    while at < len(data):
        end = at + data[at]
        require(at < end <= len(data), "ends inside a block")
        out += data[at + 1:end] + (b"\0" if data[at] != 0xFF and end < len(data) else b"")
        at = end
    return bytes(out)


def serial_packet(packet: bytes) -> bytes:
    """What goes over the line for a packet."""
    return DELIMITER + cobs_encode(packet) + DELIMITER


class Acknowledgement(NamedTuple):
    """The frame of this identity is stored."""
    device: str
    boot: int
    seq: int


class HelloRequest(NamedTuple):
    """This device shall send its hello."""
    device: str


def parse_packet(packet: bytes) -> Union[Acknowledgement, HelloRequest, None]:
    """What the other side says in a packet (after COBS); None for packets to pass over."""
    require(8 <= len(packet) <= MAX_FRAME and crc(packet[:-CRC_BYTES]) == packet[-CRC_BYTES:], "size or crc is wrong")
    if packet[:2] not in (ACK_MAGIC, REQUEST_MAGIC) or packet[2:4] != bytes([VERSION, 0]):
        return None
    rest = packet[4:-CRC_BYTES]

    def take_varint() -> int:
        nonlocal rest
        size = next((i for i, byte in enumerate(rest[:5], 1) if byte < 0x80), 0)
        value = sum((byte & 0x7F) << 7 * i for i, byte in enumerate(rest[:size]))
        require(size > 0 and varint(value) == rest[:size], "not a varint")
        rest = rest[size:]
        return value

    size = take_varint()
    require(1 <= size <= min(MAX_DEVICE, len(rest)), "not a device")
    device, rest = rest[:size].decode(), rest[size:]
    said = HelloRequest(device) if packet[:2] == REQUEST_MAGIC else (
        Acknowledgement(device, take_varint(), take_varint()))
    require(not rest, "bytes behind the end")
    return said


if __name__ == "__main__":
    import random_messages
    random_messages.main()
