"""Random but valid messages of several devices, and the readings that a decoder must find in them."""

import argparse
import json
import math
import random
import struct
from pathlib import Path
from typing import Any, Callable, Optional

from frames import (I32_MAX, I32_MIN, I64_MAX, I64_MIN, MAX_CHANNELS, MAX_DEVICE, MAX_FRAME, MAX_NAME, MAX_SAMPLES,
                    MAX_TEXT, MAX_UNIT, U32_MAX, U64_MAX, Front, Info, Key, Kind, Regular, Samples, Table, Timed,
                    TooLarge, encode_value, hello_frame, named_frame, numbered_frame)

DEVICES = 6
START_OF_CLOCKS = 1772366400000000
DAY = 86_400_000_000
LETTERS = "abcxyzABC019-_./ ,=\\\"'#+%{}äßéλЖ中日\u2028\u00a0\U0001f321\U0010ffff"
UNITS = ["", "degC", "%", "l/min", "m/s2", "µm", "°C", "Ω" * 8, "u" * MAX_UNIT]
F32_EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 3.4028234663852886e38, -3.4028234663852886e38, 1e-45, 0.1]
F64_EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 0.1]
I32_EDGES = [I32_MIN, I32_MAX, -1, 0, 1, 63, 64, -64, -65]
RECIPES = ["plain", "plain", "many", "extreme", "full", "long", "none", "edges"]


def random_text(rng: random.Random, least: int, most: int) -> str:
    """A text of at least and at most so many bytes, often of exactly the most."""
    size = rng.choice([most, least, rng.randint(least, most)])
    out = ""
    while (left := size - len(out.encode())) > 0:
        letter = rng.choice(LETTERS)
        out += letter if len(letter.encode()) <= left else "z"
    return out


def random_names(rng: random.Random, count: int) -> list[str]:
    """Different names of channels."""
    names: dict[str, None] = {}
    while len(names) < count:
        names[rng.choice(["flow", "temperature", random_text(rng, 1, MAX_NAME)])] = None
    return list(names)


def random_value(rng: random.Random, kind: Kind, edges: bool) -> Any:
    """A value of a kind; of those at the limits if told so."""
    if kind == Kind.F32:
        value = rng.choice(F32_EDGES) if edges else rng.choice([rng.gauss(20, 5), *struct.unpack("<f", rng.randbytes(4))])
        return struct.unpack("<f", struct.pack("<f", value))[0]
    if kind == Kind.F64:
        return rng.choice(F64_EDGES) if edges else rng.choice([rng.gauss(20, 5), *struct.unpack("<d", rng.randbytes(8))])
    if kind == Kind.I32:
        return rng.choice(I32_EDGES) if edges else rng.randint(I32_MIN, I32_MAX) >> rng.randrange(32)
    if kind == Kind.BOOL:
        return rng.random() < 0.5
    return random_text(rng, 0, MAX_TEXT if edges else 12)


def random_samples(rng: random.Random, front: Front, count: int, recipe: str) -> Samples:
    """Samples of any kind at different times; with a clock, these times fit in 64 bits."""
    low = max(I64_MIN, I64_MIN - front.base) if front.has_clock else I64_MIN
    high = min(I64_MAX, I64_MAX - front.base) if front.has_clock else I64_MAX
    kind = rng.choice(list(Kind))
    edges = recipe in ("edges", "extreme")
    if kind != Kind.TEXT and rng.random() < 0.5:
        interval = rng.choice([1, 1000, U32_MAX] if edges else [1000, 100_000])
        last_start = high - interval * max(count - 1, 0)
        first = rng.choice([low, last_start]) if recipe == "extreme" else rng.randint(-DAY, DAY)
        return Regular(kind, max(low, min(first, last_start)), interval,
                       [random_value(rng, kind, edges) for _ in range(count)])
    if recipe == "extreme":
        offsets = list(dict.fromkeys([high, 0, low, -1, 1][:count]))
    else:
        step = rng.choice([1, 63, 64, 8192, 1_048_576, 134_217_728])
        offsets = [i * step for i in rng.sample(range(-2 * count, 2 * count), count)] if count else []
        if rng.random() < 0.7:
            offsets.sort(reverse=rng.random() < 0.3)
    return Timed(kind, [(offset, random_value(rng, kind, edges)) for offset in offsets if low <= offset <= high])


class Device:
    """A device with its identity, clock, tables and key."""

    def __init__(self, rng: random.Random, place: int, key: Optional[Key]) -> None:
        self.rng, self.key, self.has_clock = rng, key, place % 2 == 0
        tail = f"{rng.getrandbits(32):08x}"
        self.name = (f"{'d' * MAX_DEVICE}", "läufer-", "pump-", "日本\U0001f321 ,=", "mic/", "ü" * 28)[place % 6]
        self.name = self.name[:MAX_DEVICE - len(tail)] + tail
        self.boot = rng.choice([0, 127, 128]) if key else rng.choice([0, U32_MAX, rng.getrandbits(32)])
        self.seq, self.tables = 0, []
        self.time = START_OF_CLOCKS + place * DAY if self.has_clock else 1

    def front(self, edge: bool) -> Front:
        """The front of the next frame."""
        self.time += self.rng.randint(1, 60_000_000)
        base = self.time
        if edge and self.rng.random() < 0.5:
            base = self.rng.choice([I64_MIN, -1, 0, I64_MAX] if self.has_clock else [0, U64_MAX])
        front = Front(self.name, self.boot, self.seq, self.has_clock, base)
        self.seq += self.rng.choice([1, 1, 1, 1, 2, 127, 20_000])
        if self.rng.random() < 0.02:
            self.seq = max(self.seq, U32_MAX)
        return front

    def restart(self) -> None:
        """Another start: the next boot from seq 0, with all hellos still to come."""
        self.boot = (self.boot + 1) & U32_MAX
        self.seq, self.tables = 0, []
        self.time = self.time if self.has_clock else 1

    def hello(self) -> tuple[bytes, dict]:
        """A hello of a new table, or again of one that was told."""
        rng = self.rng
        if self.tables and rng.random() < 0.3:
            table = rng.choice(self.tables)
        else:
            names = random_names(rng, rng.choice([0, 1, 3, 8, MAX_CHANNELS]) if self.tables else rng.randint(1, 32))
            table = Table([Info(name, rng.choice(UNITS), rng.choice(list(Kind)),
                                rng.choice([None, (0.0, 80.0), (-F32_EDGES[5], F32_EDGES[5]), (-0.5, -0.5)]),
                                rng.choice([0, 1, 100_000, U32_MAX])) for name in names])
            self.tables.append(table)
        front = self.front(edge=rng.random() < 0.1)
        return hello_frame(front, table, self.key), self.expected("hello", front, [])

    def data(self, recipe: str) -> tuple[bytes, dict]:
        """A frame of numbered or named channels."""
        rng, front = self.rng, self.front(recipe in ("edges", "extreme"))
        table = rng.choice(self.tables) if self.tables and rng.random() < 0.6 else None
        room = len(table.channels) if table else MAX_CHANNELS
        count = min(room, {"many": MAX_CHANNELS, "none": 0, "long": 1}.get(recipe, rng.randint(1, 4)))
        if table:
            ids = sorted(rng.sample(range(room), count))
            labels = [(i, table.channels[i].name, table.channels[i].unit) for i in ids]
        else:
            labels = [(name, name, None) for name in random_names(rng, count)]

        def build(samples: list[Samples]) -> bytes:
            channels = [(label[0], one) for label, one in zip(labels, samples)]
            if table:
                return numbered_frame(front, table.id(), channels, self.key)
            return named_frame(front, channels, self.key)

        if recipe == "long" and count:
            kind = rng.choice([Kind.BOOL, Kind.I32])
            values = [random_value(rng, kind, False) if kind == Kind.BOOL else rng.randint(-64, 63)
                      for _ in range(MAX_SAMPLES)]
            samples: list[Samples] = [Regular(kind, -1, 1000, values)]
        else:
            samples = [random_samples(rng, front, rng.choice([0, 1, 2, 5]), recipe) for _ in labels]
        if recipe == "full" and count:
            samples[-1] = filler(rng, lambda last: build(samples[:-1] + [last]))
        while True:
            try:
                frame = build(samples)
                break
            except TooLarge:
                samples.pop()
        readings = [{"channel": name, "unit": unit, "at_us": front.base + offset if self.has_clock else None,
                     "offset_us": offset, "value": finite(value)}
                    for (_, name, unit), one in zip(labels, samples) for offset, value in one.samples]
        return frame, self.expected("numbered" if table else "named", front, readings)

    def expected(self, kind: str, front: Front, readings: list[dict]) -> dict:
        """What a decoder finds in a frame."""
        return {"kind": kind, "device": front.device, "boot": front.boot, "seq": front.seq,
                "signed": self.key is not None, "readings": readings}

    def message(self, recipe: str) -> tuple[bytes, dict]:
        """The next message."""
        if self.seq > U32_MAX or self.rng.random() < 0.04:
            self.restart()
        if (self.seq == 0 and self.rng.random() < 0.7) or self.rng.random() < 0.15:
            return self.hello()
        return self.data(recipe)


def filler(rng: random.Random, build: Callable[[Samples], bytes]) -> Samples:
    """Texts that bring a frame to its largest size, or a few bytes below."""
    goal = MAX_FRAME - rng.choice([0, 0, 1, 2])
    texts: list[str] = []

    def size() -> int:
        return len(build(Timed(Kind.TEXT, list(enumerate(texts)))))

    try:
        while (left := goal - size()) >= 2:
            texts.append("x" * (left - 2 if left <= MAX_TEXT else rng.randint(60, 100)))
    except TooLarge:
        del texts[-1:]
    return Timed(Kind.TEXT, list(enumerate(texts)))


def finite(value: Any) -> Any:
    """The value, or None if it is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(seed: int, count: int, key: Optional[Key], out: Path) -> None:
    """Write the messages and what is in them."""
    rng = random.Random(seed)
    devices = [Device(rng, place, key if place % 3 else None) for place in range(DEVICES)]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "expected.ndjson").open("w", encoding="utf-8") as lines:
        for number in range(count):
            frame, expected = rng.choice(devices).message(RECIPES[number % len(RECIPES)])
            name = f"{number:03}.bin"
            (out / name).write_bytes(frame)
            lines.write(json.dumps({"file": name, **expected}, ensure_ascii=False, allow_nan=False) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--key", type=bytes.fromhex, help="secret as hex; some of the devices sign with it")
    parser.add_argument("--key-id", type=int)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if (given.key is None) != (given.key_id is None):
        parser.error("--key and --key-id belong together")
    write(given.seed, given.count, Key(given.key_id, given.key) if given.key is not None else None, given.out)


if __name__ == "__main__":
    main()
