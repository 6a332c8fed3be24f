#!/usr/bin/env bash
# paho-mqtt (from PyPI), an MQTT client that others wrote, in a Python environment of its own; for tests/interop.
# Needs Python 3 with venv and pip. `python` prints the interpreter.
. "$(dirname "$0")/lib.sh"
PAHO_VERSION=2.1.0
service_init paho $PAHO_VERSION

fetch() {
  [ -f "$DIST/.done" ] && return
  python3 -m venv --clear "$DIST/venv" >&2
  "$DIST/venv/bin/pip" install -q --disable-pip-version-check "paho-mqtt==$PAHO_VERSION" >&2
  touch "$DIST/.done"
}

case ${1:-} in
  fetch) fetch_once ;;
  python) fetch_once; echo "$DIST/venv/bin/python" ;;
  *) die "usage: $0 fetch|python" ;;
esac
