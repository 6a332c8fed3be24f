"""Prints each example of SPEC.md as `sensor_frame.py` encodes it: `frame` or `serial`, and the bytes in hex."""
import binascii

from sensor_frame import *

NOON = 1772366400000000


def show(kind, packet):
    print(kind, binascii.hexlify(packet).decode())


def main():
    pump = table_of([("flow", "l/min", F32, (0.0, 80.0), 100000), ("door", "", BOOL, None, 0)])
    temperature = [(0, 21.5), (1000000, 21.625), (2000000, 21.5)]
    show("frame", frame("pump-7", 3, 300, unix(NOON), [
        ("temperature", F32, temperature), ("door", BOOL, [(1500000, True)])]))
    show("frame", frame("t1", 0xFFFFFFFF, 0, since_boot(90000000), [
        ("steps", I32, [(0, -70000), (-500000, 2147483647)]), ("level", F64, [(0, 0.1)])]))
    smallest = frame("x", 0, 0, unix(0), [])
    show("frame", smallest)
    show("frame", frame("mic-2", 9, 8, since_boot(90000000), [
        ("counts", I32, (-3000, 1000, [-2, 0, 17, 2047])), ("state", TEXT, [(-3000, "idle"), (0, "l\u00e4uft")])]))
    show("frame", hello("pump-7", 4, 0, unix(NOON), pump))
    show("frame", frame("pump-7", 4, 1, unix(NOON + 1000000), [
        (0, F32, (0, 100000, [12.0, 12.25, 12.5])), (1, BOOL, [(150000, True)])], pump))
    show("frame", frame("x", 0, 1, unix(0), [("door", BOOL, [(0, True)])], key=(7, bytes(range(16)))))
    show("serial", cobs(smallest))


main()
