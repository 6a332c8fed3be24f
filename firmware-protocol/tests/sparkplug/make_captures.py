"""Makes the payloads beside this file with Google's protobuf library, for `tests/sparkplug.rs`.

    pip install protobuf && python3 make_captures.py

The messages are described here from the specification's schema (Eclipse Sparkplug 3.0.0, section 6.4.1), without any code
of this repository: so what the Rust tests read was written by another implementation of protobuf.
"""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {
    "string": FIELD.TYPE_STRING,
    "bytes": FIELD.TYPE_BYTES,
    "bool": FIELD.TYPE_BOOL,
    "uint32": FIELD.TYPE_UINT32,
    "uint64": FIELD.TYPE_UINT64,
    "float": FIELD.TYPE_FLOAT,
    "double": FIELD.TYPE_DOUBLE,
}
VALUES = "int:uint32 long:uint64 float:float double:double boolean:bool string:string"


def describe(parent, name, fields, values="", first=0):
    """Adds a message; `fields` is `name:type=number`, a type that begins with `*` is repeated."""
    message = parent.add(name=name)
    if values:
        message.oneof_decl.add(name="value")
    oneof = [f"{v.split(':')[0]}_value:{v.split(':')[1]}={first + i}" for i, v in enumerate(values.split())]
    for i, field in enumerate(fields.split() + oneof):
        head, number = field.split("=")
        label, kind = head.split(":")
        added = message.field.add(name=label, number=int(number), label=FIELD.LABEL_OPTIONAL)
        if kind.startswith("*"):
            kind, added.label = kind[1:], FIELD.LABEL_REPEATED
        if kind in TYPES:
            added.type = TYPES[kind]
        else:
            added.type, added.type_name = FIELD.TYPE_MESSAGE, f".sparkplug.{kind}"
        if i >= len(fields.split()):
            added.oneof_index = 0
    return message


def schema():
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug", syntax="proto2")
    top = file.message_type
    describe(top, "PropertyValue", "type:uint32=1 is_null:bool=2", VALUES, 3)
    describe(top, "PropertySet", "keys:*string=1 values:*PropertyValue=2")
    describe(top, "MetaData", "is_multi_part:bool=1 content_type:string=2 size:uint64=3 seq:uint64=4 description:string=8")
    describe(top, "DataSetValue", "", VALUES, 1)
    describe(top, "Row", "elements:*DataSetValue=1")
    describe(top, "DataSet", "num_of_columns:uint64=1 columns:*string=2 types:*uint32=3 rows:*Row=4")
    describe(top, "Template", "version:string=1 metrics:*Metric=2 template_ref:string=4 is_definition:bool=5")
    describe(
        top,
        "Metric",
        "name:string=1 alias:uint64=2 timestamp:uint64=3 datatype:uint32=4 is_historical:bool=5 is_transient:bool=6"
        " is_null:bool=7 metadata:MetaData=8 properties:PropertySet=9",
        VALUES + " bytes:bytes dataset:DataSet template:Template",
        10,
    )
    describe(top, "Payload", "timestamp:uint64=1 metrics:*Metric=2 seq:uint64=3 uuid:string=4 body:bytes=5")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"sparkplug.{name}"))


message = schema()
Payload = message("Payload")
AT = 1_772_366_400_000


def metric(payload, name=None, alias=None, kind=None, at=AT, unit=None, **value):
    added = payload.metrics.add(timestamp=at, **value)
    if name is not None:
        added.name = name
    if alias is not None:
        added.alias = alias
    if kind is not None:
        added.datatype = kind
    if unit is not None:
        added.properties.keys.extend(["Quality", "engUnit"])
        added.properties.values.add(type=3, int_value=192)
        added.properties.values.add(type=12, string_value=unit)
    return added


def nbirth():
    payload = Payload(timestamp=AT, seq=0)
    metric(payload, "bdSeq", kind=8, long_value=4)
    metric(payload, "Node Control/Rebirth", kind=11, boolean_value=False)
    metric(payload, "Properties/OS", 1, 12, string_value="Linux")
    metric(payload, "cpu load", 2, 9, unit="%", float_value=12.5)
    return payload


def dbirth():
    payload = Payload(timestamp=AT + 5, seq=1)
    metric(payload, "Inputs/temperature", 10, 9, unit="degC", float_value=21.5)
    metric(payload, "Inputs/offset", 11, 1, int_value=0xFFFFFFF6)
    metric(payload, "Inputs/short", 12, 2, int_value=0xFFFF8000)
    metric(payload, "Inputs/long", 13, 4, long_value=2**64 - 7)
    metric(payload, "Inputs/count", 14, 8, long_value=2**40)
    metric(payload, "Inputs/open", 15, 11, boolean_value=True)
    metric(payload, "Inputs/since", 16, 13, long_value=AT)
    metric(payload, "Inputs/mode", 17, 14, string_value="auto")
    metric(payload, "Inputs/level", 18, 10, unit="m", is_null=True)
    metric(payload, "Inputs/raw", 19, 17, bytes_value=b"\0\1\2")
    table = metric(payload, "Inputs/table", 20, 16).dataset_value
    table.num_of_columns, table.columns[:], table.types[:] = 1, ["x"], [3]
    table.rows.add().elements.add(int_value=1)
    inner = metric(payload, "Inputs/pump", 21, 19).template_value
    inner.template_ref = "Pump"
    inner.metrics.add(name="flow", datatype=9, float_value=1.5)
    metric(payload, "Inputs/array", 22, 24, bytes_value=bytes.fromhex("15cd5b07b168de3a"))
    metric(payload, "Inputs/seconds", 23, 7, int_value=1, is_transient=True)
    return payload


def ddata():
    payload = Payload(timestamp=AT + 1_000, seq=2)
    metric(payload, alias=10, at=AT + 900, float_value=21.75)
    metric(payload, alias=10, at=AT + 950, float_value=22.0, is_historical=True)
    metric(payload, alias=11, at=AT + 900, int_value=0xFFFFFFF5)
    metric(payload, alias=12, at=AT + 900, int_value=0xFFFF8001)
    metric(payload, alias=13, at=AT + 900, long_value=2**64 - 8)
    metric(payload, alias=18, at=AT + 900, double_value=float("nan"))
    metric(payload, alias=15, at=AT + 900, boolean_value=False)
    metric(payload, alias=17, at=AT + 900, string_value="manual")
    metric(payload, alias=14, at=AT + 900, is_null=True)
    payload.metrics.add(alias=16, long_value=AT + 900)
    return payload


def ndeath():
    payload = Payload(timestamp=AT + 2_000)
    metric(payload, "bdSeq", kind=8, long_value=4)
    return payload


for make in (nbirth, dbirth, ddata, ndeath):
    Path(__file__).with_name(f"{make.__name__}.bin").write_bytes(make().SerializeToString())
