#!/usr/bin/env bash
# mosquitto (Debian package) with one anonymous listener. Prints MQTT_PORT.
. "$(dirname "$0")/lib.sh"
service_init mosquitto system
PATH=$PATH:/usr/sbin

fetch() {
  # The package may start a broker of its own on 1883 where an init system runs; it is in nobody's way.
  command -v mosquitto >/dev/null || apt_install mosquitto
}

configure() {
  echo "MQTT_PORT=$(free_port)" >"$PORTS"
}

launch() {
  # user: started as root, mosquitto would drop to a user that cannot read our directory.
  # max_queued_messages: the default of 1000 silently drops messages for a gateway that is away.
  # log_dest stderr: stdout would be buffered, and lost when it is killed.
  cat >"$RUNDIR/mosquitto.conf" <<X
user $(id -un)
listener $MQTT_PORT $HOST
allow_anonymous true
persistence true
persistence_location $RUNDIR/data/
max_queued_messages 1000000
log_dest stderr
log_type error
log_type warning
X
  spawn mosquitto -c "$RUNDIR/mosquitto.conf"
  wait_ready 10 tcp_up "$MQTT_PORT"
}

service_main "$@"
