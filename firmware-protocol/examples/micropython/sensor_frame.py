"""Encodes frames of version 1 on MicroPython and Python 3. SPEC.md says what all bytes mean.

    table = table_of([("flow", "l/min", F32, (0.0, 80.0), 100000), ("door", "", BOOL, None, 0)])
    hello("pump-7", boot, 0, unix(now), table)
    frame("pump-7", boot, 1, unix(now), [(0, F32, (0, 100000, [12.0, 12.25]))], table)
    frame("pump-7", boot, 2, since_boot(us), [("door", BOOL, [(0, True)])], key=(7, secret))

Times are microseconds. Samples are a list of pairs: offset from the base time, and value; or, at an even pace, the
offset of the first, the interval and the list of values. That names and numbers differ is up to the caller.
"""
import binascii, hashlib, struct

F32, F64, I32, BOOL, TEXT = range(5)

def limited(what, n, least, most):
    if not least <= n <= most:
        raise ValueError("%s is %d, %d to %d are allowed" % (what, n, least, most))

def varint(v):
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    return bytes(out) + bytes([v])

def zigzag(v):
    return varint(2 * v if v >= 0 else -2 * v - 1)

def text(s, least, most):
    b = s.encode()
    limited("length of a text", len(b), least, most)
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in s):
        raise ValueError("control character in " + repr(s))
    return varint(len(b)) + b

def value(kind, v):
    if kind == TEXT:
        return text(v, 0, 128)
    if kind == I32:
        limited("i32", v, -0x80000000, 0x7FFFFFFF)
        return zigzag(v)
    return bytes([1 if v else 0]) if kind == BOOL else struct.pack("<f" if kind == F32 else "<d", v)

def samples(kind, s):
    values = s[2] if isinstance(s, tuple) else s
    limited("count of samples", len(values), 0, 1024)
    if values is not s:
        limited("interval", s[1], 1, 0xFFFFFFFF)
        return bytes([kind + 5]) + zigzag(s[0]) + varint(s[1]) + varint(len(s[2])) + b"".join([value(kind, v) for v in s[2]])
    out, before = [bytes([kind]) + varint(len(values))], 0
    for offset, v in values:
        out.append(zigzag(offset - before) + value(kind, v))
        before = offset
    return b"".join(out)

def table_of(channels):
    limited("count of channels", len(channels), 0, 32)
    out = varint(len(channels))
    for name, unit, kind, span, interval in channels:
        out += text(name, 1, 32) + text(unit, 0, 16) + bytes([kind])
        out += (struct.pack("<Bff", 1, *span) if span else b"\0") + varint(interval)
    return binascii.crc32(out) & 0xFFFFFFFF, out

def unix(micros):
    return b"\0" + zigzag(micros)

def since_boot(micros):
    return b"\1" + varint(micros)

def hmac(secret, message):
    limited("length of a key", len(secret), 16, 64)
    inner, outer = [bytes([b ^ x for b in secret + bytes(64 - len(secret))]) for x in (0x36, 0x5C)]
    return hashlib.sha256(outer + hashlib.sha256(inner + message).digest()).digest()

def packet(flags, device, boot, seq, base, body, key):
    out = b"SG\x01" + bytes([flags | (4 if key else 0)])
    out += text(device, 1, 64) + varint(boot) + varint(seq) + base + body
    if key:
        out += bytes([key[0]])
        out += hmac(key[1], out)[:8]
    limited("length of a frame", len(out) + 4, 0, 4096)
    return out + struct.pack("<I", binascii.crc32(out) & 0xFFFFFFFF)

def hello(device, boot, seq, base, table, key=None):
    return packet(2, device, boot, seq, base, varint(table[0]) + table[1], key)

def frame(device, boot, seq, base, channels, table=None, key=None):
    limited("count of channels", len(channels), 0, 32)
    out = (varint(table[0]) if table else b"") + varint(len(channels))
    for channel, kind, s in channels:
        out += (bytes([channel]) if table else text(channel, 1, 32)) + samples(kind, s)
    return packet(1 if table else 0, device, boot, seq, base, out, key)

def cobs(packet):
    out, pieces = b"\0", packet.split(b"\0")
    for i, piece in enumerate(pieces):
        while len(piece) > 254 or (len(piece) == 254 and i + 1 < len(pieces)):
            out, piece = out + b"\xff" + piece[:254], piece[254:]
        out += bytes([len(piece) + 1]) + piece
    return out + b"\0"
