"""Promises of the gateway's own MQTT door, put to the test by a client that others wrote.

usage: promises.py SET DOOR.json
SET is `open`, `secured` or `certificates`: what the door asks of its clients. DOOR.json says where it is.

Each promise is a function of the door and the MQTT version. It returns what must be in the queue under its topics, as
(topic, payload, qos, retained): this and nothing else. The report on stdout is one JSON line for each promise.
"""

import json
import ssl
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from client import Broken, Client, expect

# Reason codes of MQTT 5.
UNSPECIFIED, NOT_AUTHORIZED, BAD_CREDENTIALS, ID_REJECTED = 0x80, 0x87, 0x86, 0x85
SILENT, TAKEN_OVER, RECEIVE_MAXIMUM, TOPIC_ALIAS, TOO_LARGE, SHARED = 0x8D, 0x8E, 0x93, 0x94, 0x95, 0x9E

BOTH = (4, 5)


def topic(name, version, leaf="telemetry"):
    return f"sensors/{name}-v{version}/{leaf}"


def on(version, v5, v311="closed"):
    """3.1.1 has no reason codes after CONNACK."""
    return v5 if version == 5 else v311


# --- Messages --------------------------------------------------------------------------------------------------------


def messages_of_every_qos_are_acknowledged_and_stored_once(door, version):
    client = Client(door, version, f"every-qos-{version}").connected()
    stored = [(topic(f"qos-{n % 3}", version), f'{{"n":{n}}}', n % 3, False) for n in range(600)]
    mids = [client.begin(*message) for message in stored]
    client.until("acknowledgements", lambda: all(mid in client.acks for mid in mids))
    expect("reason codes", {client.acks[mid] for mid in mids}, {0})
    client.disconnect()
    return stored


def a_retained_message_is_stored_as_such(door, version):
    client = Client(door, version, f"retained-{version}").connected()
    stored = [(topic("retained", version), "21.5", 1, True)]
    client.publish(*stored[0])
    return stored


def a_message_as_long_as_the_limit_is_taken_and_a_longer_one_ends_the_connection(door, version):
    where = topic("long", version)
    # Fixed header, length of the topic, packet id and, in v5, no properties.
    fits = door["packet_max"] - 4 - 2 - len(where) - 2 - (version == 5)
    client = Client(door, version, f"long-{version}").connected()
    if version == 5:
        expect("Maximum Packet Size", client.connack_properties.MaximumPacketSize, door["packet_max"])
    client.publish(where, "a" * fits, 1)
    client.begin(where, "b" * (fits + 1), 1)
    expect("end", client.until_lost(), on(version, TOO_LARGE))
    return [(where, "a" * fits, 1, False)]


def a_topic_alias_stands_for_its_topic(door, version):
    where = topic("alias", version)
    client = Client(door, version, "alias").connected()
    client.publish(where, "1", 1, TopicAlias=1)
    client.publish("", "2", 1, TopicAlias=1)
    most = client.connack_properties.TopicAliasMaximum
    client.begin(where, "3", 1, TopicAlias=most + 1)
    expect("end", client.until_lost(), TOPIC_ALIAS)
    return [(where, "1", 1, False), (where, "2", 1, False)]


def more_messages_under_way_than_were_allowed_end_the_connection(door, version):
    where = topic("receive-max", version)
    most = door["receive_max"]
    client = Client(door, version, "receive-max", under_way_max=most + 1).connected()
    expect("Receive Maximum", client.connack_properties.ReceiveMaximum, most)
    # QoS 2 without reading an answer: no PUBREL goes out, so all of them stay under way.
    for n in range(most + 1):
        client.begin(where, str(n), 2)
    expect("end", client.until_lost(), RECEIVE_MAXIMUM)
    return [(where, str(n), 2, False) for n in range(most)]


# --- Sessions --------------------------------------------------------------------------------------------------------


def a_kept_session_is_there_again_with_its_subscription(door, version):
    name = f"kept-{version}"
    client = Client(door, version, name, kept=True).connected()
    expect("session present, first", client.session_present, False)
    expect("SUBACK", client.subscribe("gateway/+/windows/#"), [0])
    client.disconnect()
    client = Client(door, version, name, kept=True).connected()
    expect("session present, second", client.session_present, True)
    stored = publish_windows(client, "kept", version)
    client.until("a window", lambda: any(f"/windows/kept-v{version}/" in told for told, _ in client.told))
    client.disconnect()
    client = Client(door, version, name).connected()
    expect("session present, after a clean start", client.session_present, False)
    return stored


def a_client_without_an_id_gets_one(door, version):
    client = Client(door, version, "").connected()
    if version == 5:
        expect("has an id", len(client.connack_properties.AssignedClientIdentifier) > 0, True)
    stored = [(topic("no-id", version), "1", 1, False)]
    client.publish(*stored[0])
    client.disconnect()
    return stored


def a_second_connection_with_the_same_id_takes_over(door, version):
    name, where = f"twin-{version}", topic("twin", version)
    first = Client(door, version, name).connected()
    first.publish(where, "first", 1)
    second = Client(door, version, name).connected()
    expect("end of the first", first.until_lost(), on(version, TAKEN_OVER))
    second.publish(where, "second", 1)
    return [(where, "first", 1, False), (where, "second", 1, False)]


def a_client_that_falls_silent_is_cut_off(door, version):
    client = Client(door, version, f"silent-{version}").connected(keep_alive_s=1)
    began = time.monotonic()
    expect("end", client.until_lost_without_a_word(), on(version, SILENT))
    expect("after one and a half keep-alives", time.monotonic() - began >= 1.4, True)
    return []


# --- Wills -----------------------------------------------------------------------------------------------------------


def a_client_that_vanishes_has_its_will_said(door, version):
    where = topic("will", version)
    Client(door, version, f"will-{version}", will=(where, "gone", 1, True)).connected().vanish()
    return [(where, "gone", 1, True)]


def a_client_that_says_goodbye_has_no_will_said(door, version):
    Client(door, version, f"goodbye-{version}", will=(topic("goodbye", version), "gone", 1)).connected().disconnect()
    return []


def a_goodbye_may_ask_for_the_will(door, version):
    where = topic("goodbye-with-will", version)
    client = Client(door, version, "goodbye-with-will", will=(where, "gone", 0)).connected()
    client.disconnect(reasoncode=ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
    return [(where, "gone", 0, False)]


def a_will_waits_for_its_delay(door, version):
    where = topic("late-will", version)
    Client(door, version, "late-will", kept=True, will=(where, "gone", 2), will_delay_s=1).connected().vanish()
    return [(where, "gone", 2, False)]


def a_client_that_is_back_in_time_has_no_will_said(door, version):
    where = topic("back-in-time", version)
    will = {"kept": True, "will": (where, "gone", 1), "will_delay_s": 2}
    Client(door, version, "back-in-time", **will).connected().vanish()
    client = Client(door, version, "back-in-time", **will).connected()
    end = time.monotonic() + 4
    client.until("the delay to pass", lambda: time.monotonic() > end)
    client.disconnect()
    return []


# --- Results ---------------------------------------------------------------------------------------------------------


def publish_windows(client, name, version):
    """Readings of more than an hour: some windows of ten minutes are complete."""
    readings = [f'{{"ts":{1_600_000_000_000 + minute * 60_000},"t":{minute % 7}}}' for minute in range(70)]
    stored = [(topic(name, version), reading, 1, False) for reading in readings]
    mids = [client.begin(*message) for message in stored]
    client.until("acknowledgements", lambda: all(mid in client.acks for mid in mids))
    return stored


def results_can_be_subscribed_to(door, version):
    client = Client(door, version, f"results-{version}").connected()
    expect("SUBACK", client.subscribe("gateway/#"), [0])
    client.until("the status", lambda: ("gateway/gw/status", b'{"status":"online"}') in client.told)
    stored = publish_windows(client, "results", version)
    mine = f"gateway/gw/windows/results-v{version}/t"
    client.until("a window", lambda: any(where == mine for where, _ in client.told))
    window = json.loads(next(payload for where, payload in client.told if where == mine))
    expect("device and channel", (window["device"], window["channel"]), (f"results-v{version}", "t"))
    return stored


def anything_else_cannot_be_subscribed_to(door, version):
    client = Client(door, version, f"others-{version}").connected()
    refused = client.subscribe("sensors/#", "#", "+/gw/status", "$SYS/#", "$share/group/gateway/#", "gateway/+/status")
    no = on(version, NOT_AUTHORIZED, UNSPECIFIED)
    expect("SUBACK", refused, [no, no, no, no, on(version, SHARED, UNSPECIFIED), 0])
    stored = [(topic("others", version), "1", 1, False)]
    client.publish(*stored[0])
    client.disconnect()
    expect("told of others' messages", [where for where, _ in client.told if where.startswith("sensors/")], [])
    return stored


# --- Who may come in; the door's user is `pump`, its rule `sensors/pump/#` ------------------------------------------


def refused(door, version, login, code):
    client = Client(door, version, f"refused-{version}", login=login)
    expect(f"CONNACK for {login}", client.connect(), code)
    return []


def a_wrong_password_is_refused(door, version):
    return refused(door, version, (door["user"], "wrong"), BAD_CREDENTIALS)


def an_unknown_user_is_refused_in_the_same_words(door, version):
    return refused(door, version, ("nobody", door["password"]), BAD_CREDENTIALS)


def a_client_without_a_name_is_refused(door, version):
    return refused({**door, "user": None}, version, None, NOT_AUTHORIZED)


def a_user_comes_in_over_tls_of_either_version(door, version):
    stored = []
    for tls in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = Client(door, version, f"{door['user']}-{tls.name}-{version}", tls=tls).connected()
        message = (f"sensors/{door['user']}/{tls.name}-v{version}", "1", 2, False)
        client.publish(*message)
        client.disconnect()
        stored.append(message)
    return stored


def a_client_that_does_not_know_the_ca_goes_away(door, version):
    client = Client({**door, "ca": door["foreign_ca"]}, version, f"suspicious-{version}")
    try:
        client.connect()
    except ssl.SSLCertVerificationError:
        return []
    raise Broken("it came in")


def plain_tcp_is_not_let_in(door, version):
    client = Client({**door, "ca": None}, version, f"plain-{version}")
    try:
        client.connect()
    except (Broken, OSError):
        expect("CONNACK", client.connack, None)
        return []
    raise Broken("it came in")


def a_topic_that_no_rule_allows_is_refused(door, version):
    user, breach = door["user"], f"sensors/another/v{version}"
    allowed = (f"sensors/{user}/rules-v{version}", "1", 1, False)
    client = Client(door, version, f"{user}-rules-{version}").connected()
    client.begin(breach, "0", 0)
    if version == 5:
        expect("PUBACK", client.publish(breach, "1", 1), NOT_AUTHORIZED)
        # PUBREC says no; paho sends PUBREL all the same, and PUBCOMP tells it that there is no such id.
        expect("PUBCOMP", client.publish(breach, "2", 2) >= 0x80, True)
    client.publish(*allowed)
    if version == 4:
        # 3.1.1 has no word for it, and a PUBACK would be a lie.
        client.begin(breach, "1", 1)
        client.until_lost()
    return [allowed]


def a_will_that_no_rule_allows_is_refused(door, version):
    client = Client(door, version, f"{door['user']}-will-{version}", will=("sensors/another/will", "gone", 1))
    expect("CONNACK", client.connect(), NOT_AUTHORIZED)
    return []


def results_that_no_rule_allows_cannot_be_subscribed_to(door, version):
    client = Client(door, version, f"{door['user']}-reads-{version}").connected()
    codes = client.subscribe("gateway/+/status", "gateway/#")
    expect("SUBACK", codes, [0, on(version, NOT_AUTHORIZED, UNSPECIFIED)])
    return []


def another_users_client_id_is_refused(door, version):
    client = Client(door, version, f"another-{version}")
    expect("CONNACK", client.connect(), ID_REJECTED)
    return []


# --- Certificates of clients; the door's certificate is of `pump` ---------------------------------------------------


def a_client_is_who_its_certificate_says(door, version):
    client = Client(door, version, f"certificate-{version}").connected()
    stored = [(f"sensors/pump/certificate-v{version}", "1", 1, False)]
    client.publish(*stored[0])
    if version == 5:
        expect("PUBACK", client.publish("sensors/another/certificate", "1", 1), NOT_AUTHORIZED)
    return stored


def what_a_client_says_of_itself_does_not_count(door, version):
    client = Client(door, version, f"boaster-{version}", login=("another", "any")).connected()
    stored = [(f"sensors/pump/boaster-v{version}", "1", 1, False)]
    client.publish(*stored[0])
    return stored


def not_let_in(door, version, **arguments):
    """In TLS 1.3 the refusal comes after the client's handshake is done."""
    for tls in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = Client(door, version, f"stranger-{version}", tls=tls, **arguments)
        try:
            client.connect()
        except (Broken, OSError):
            expect("CONNACK", client.connack, None)
            continue
        raise Broken(f"it came in by {tls.name}")
    return []


def a_client_without_a_certificate_is_not_let_in(door, version):
    return not_let_in({**door, "certificate": None}, version)


def a_certificate_of_another_ca_is_not_let_in(door, version):
    return not_let_in(door, version, certificate=door["foreign_certificate"])


SETS = {
    "open": {
        messages_of_every_qos_are_acknowledged_and_stored_once: BOTH,
        a_retained_message_is_stored_as_such: BOTH,
        a_message_as_long_as_the_limit_is_taken_and_a_longer_one_ends_the_connection: BOTH,
        a_topic_alias_stands_for_its_topic: (5,),
        more_messages_under_way_than_were_allowed_end_the_connection: (5,),
        a_kept_session_is_there_again_with_its_subscription: BOTH,
        a_client_without_an_id_gets_one: BOTH,
        a_second_connection_with_the_same_id_takes_over: BOTH,
        a_client_that_falls_silent_is_cut_off: BOTH,
        a_client_that_vanishes_has_its_will_said: BOTH,
        a_client_that_says_goodbye_has_no_will_said: BOTH,
        a_goodbye_may_ask_for_the_will: (5,),
        a_will_waits_for_its_delay: (5,),
        a_client_that_is_back_in_time_has_no_will_said: (5,),
        results_can_be_subscribed_to: BOTH,
        anything_else_cannot_be_subscribed_to: BOTH,
    },
    "secured": {
        a_wrong_password_is_refused: BOTH,
        an_unknown_user_is_refused_in_the_same_words: BOTH,
        a_client_without_a_name_is_refused: BOTH,
        a_user_comes_in_over_tls_of_either_version: BOTH,
        a_client_that_does_not_know_the_ca_goes_away: BOTH,
        plain_tcp_is_not_let_in: BOTH,
        a_topic_that_no_rule_allows_is_refused: BOTH,
        a_will_that_no_rule_allows_is_refused: BOTH,
        results_that_no_rule_allows_cannot_be_subscribed_to: BOTH,
        another_users_client_id_is_refused: BOTH,
    },
    "certificates": {
        a_client_is_who_its_certificate_says: BOTH,
        what_a_client_says_of_itself_does_not_count: BOTH,
        a_client_without_a_certificate_is_not_let_in: BOTH,
        a_certificate_of_another_ca_is_not_let_in: BOTH,
    },
}


def report(promise, door, version):
    line = {"promise": promise.__name__, "version": version}
    try:
        return {**line, "kept": True, "stored": promise(door, version)}
    except Exception:
        return {**line, "kept": False, "why": traceback.format_exc(), "stored": []}


def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        door = json.load(file)
    cases = [(promise, door, version) for promise, versions in SETS[sys.argv[1]].items() for version in versions]
    # They wait more than they work, and do not know of each other.
    with ThreadPoolExecutor(len(cases)) as pool:
        for line in pool.map(lambda case: report(*case), cases):
            print(json.dumps(line))


main()
