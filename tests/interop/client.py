"""A paho client without threads: each step waits for what is due, with a deadline."""

import select
import ssl
import time

from paho.mqtt import client as paho
from paho.mqtt.client import CallbackAPIVersion, MQTTErrorCode, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

# Much more than anything here takes: the machine may be busy with other scenarios.
DEADLINE_S = 30


class Broken(Exception):
    """The gateway did not do what it should."""


def expect(what, found, wanted):
    if found != wanted:
        raise Broken(f"{what}: {found!r} instead of {wanted!r}")


def properties(packet, **values):
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Paho(paho.Client):
    """paho takes note of a DISCONNECT's reason only if properties follow it, and MQTT lets them be left out."""

    reason = None

    def _handle_disconnect(self):
        packet = self._in_packet["packet"]
        self.reason = packet[0] if packet else 0
        super()._handle_disconnect()


class Client:
    """Reason codes are v5's for both versions: paho translates those of 3.1.1."""

    def __init__(self, door, version, client_id, kept=False, will=None, will_delay_s=0, login=None, certificate=None,
                 tls=None, under_way_max=None):
        self.door, self.version, self.kept = door, version, kept
        arguments = {} if version == 5 else {"clean_session": not kept}
        protocol = MQTTv5 if version == 5 else MQTTv311
        self.paho = Paho(CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False,
                         **arguments)
        # By itself paho does not keep to what the gateway allows.
        self.paho.max_inflight_messages_set(under_way_max or door.get("receive_max", 20))
        self.connack = self.lost = None
        self.session_present, self.connack_properties = False, None
        self.acks, self.granted, self.told = {}, {}, []
        self.paho.on_connect = self._on_connect
        self.paho.on_disconnect = self._on_disconnect
        self.paho.on_publish = lambda client, data, mid, code, props: self.acks.update({mid: code.value})
        self.paho.on_subscribe = lambda client, data, mid, codes, props: self.granted.update(
            {mid: [code.value for code in codes]})
        self.paho.on_message = lambda client, data, message: self.told.append((message.topic, message.payload))
        if will:
            delay = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=will_delay_s) if version == 5 else None
            self.paho.will_set(*will, properties=delay)
        if login or door.get("user"):
            self.paho.username_pw_set(*(login or (door["user"], door["password"])))
        if door.get("ca"):
            context = ssl.create_default_context(cafile=door["ca"])
            context.minimum_version = context.maximum_version = tls or ssl.TLSVersion.TLSv1_3
            certificate = certificate or door.get("certificate")
            if certificate:
                context.load_cert_chain(*certificate)
            self.paho.tls_set_context(context)

    def _on_connect(self, client, data, flags, code, props):
        self.connack, self.session_present, self.connack_properties = code.value, flags.session_present, props

    def _on_disconnect(self, client, data, flags, code, props):
        self.lost = self.paho.reason if flags.is_disconnect_packet_from_server else "closed"

    def connect(self, keep_alive_s=60, expiry_s=600):
        """Returns the reason code of CONNACK."""
        self.connack = self.lost = None
        arguments = {}
        if self.version == 5:
            expiry = properties(PacketTypes.CONNECT, SessionExpiryInterval=expiry_s if self.kept else 0)
            arguments = {"clean_start": not self.kept, "properties": expiry}
        self.paho.connect(self.door["host"], self.door["port"], keep_alive_s, **arguments)
        self.until("CONNACK", lambda: self.connack is not None)
        return self.connack

    def connected(self, **arguments):
        expect("CONNACK", self.connect(**arguments), 0)
        return self

    def until(self, what, condition, turn=None):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            turned = (turn or (lambda: self.paho.loop(0.05)))()
            if turned != MQTTErrorCode.MQTT_ERR_SUCCESS and not condition():
                raise Broken(f"{what}: the connection was lost first, {self.lost}")
            if time.monotonic() > end:
                raise Broken(f"{what}: not within {DEADLINE_S} s")

    def until_lost(self):
        """Returns the reason code of the gateway's DISCONNECT, or "closed" if it sent none."""
        self.until("the end of the connection", lambda: self.lost is not None)
        return self.lost

    def until_lost_without_a_word(self):
        """The same without saying anything, pings included."""
        def only_read():
            select.select([self.paho.socket()], [], [], 0.1)
            return self.paho.loop_read()
        self.until("the end of the connection", lambda: self.lost is not None, only_read)
        return self.lost

    def begin(self, topic, payload, qos, retained=False, **props):
        made = properties(PacketTypes.PUBLISH, **props) if props else None
        return self.paho.publish(topic, payload, qos, retained, made).mid

    def publish(self, topic, payload, qos, retained=False, **props):
        """Returns the reason code of the acknowledgement."""
        mid = self.begin(topic, payload, qos, retained, **props)
        self.until(f"acknowledgement of {topic}", lambda: mid in self.acks)
        return self.acks[mid]

    def subscribe(self, *filters):
        """Returns the reason codes of SUBACK."""
        _, mid = self.paho.subscribe([(name, 1) for name in filters])
        self.until("SUBACK", lambda: mid in self.granted)
        return self.granted[mid]

    def disconnect(self, **arguments):
        self.paho.disconnect(**arguments)
        self.until("the end of the connection", lambda: self.lost is not None)

    def vanish(self):
        """As a device does that lost its power: without DISCONNECT."""
        self.paho.socket().close()
        self.paho = None
