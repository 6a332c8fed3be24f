#!/usr/bin/env bash
# mosquitto and its clients (Debian packages); one anonymous listener. Prints MQTT_PORT. `save` returns once all that it
# holds is in its file, which otherwise is written at its end: whatever it took in since is gone after `kill`.
. "$(dirname "$0")/lib.sh"
service_init mosquitto system
PATH=$PATH:/usr/sbin

fetch() {
  # The package may start a broker of its own on 1883 where an init system runs; it is in nobody's way.
  local missing=()
  command -v mosquitto >/dev/null || missing+=(mosquitto)
  command -v mosquitto_pub >/dev/null || missing+=(mosquitto-clients)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
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

save() {
  local file=$RUNDIR/data/mosquitto.db before
  before=$(stat -c %i "$file" 2>/dev/null || true)
  send USR1 || die "is not running"
  # A new file takes the place of the old one when it is whole.
  for _ in $(seq 600); do
    [ "$(stat -c %i "$file" 2>/dev/null || true)" = "$before" ] || return 0
    sleep 0.05
  done
  die "has not written $file"
}

if [ "${1:-}" = save ]; then save; else service_main "$@"; fi
