#!/usr/bin/env bash
# Grafana's published schema (npm: @grafana/schema), TypeScript and a YAML parser, for tests/grafana/schema.mjs.
# Needs Node.js 18 and npm. `modules` prints where they are.
. "$(dirname "$0")/lib.sh"
SCHEMA_VERSION=13.2.3
service_init grafana $SCHEMA_VERSION

fetch() {
  [ -f "$DIST/.done" ] && return
  (cd "$DIST" && npm install --no-audit --no-fund --no-save --ignore-scripts \
    "@grafana/schema@$SCHEMA_VERSION" typescript@5.9.3 yaml@2.8.1 >&2)
  touch "$DIST/.done"
}

case ${1:-} in
  fetch) fetch_once ;;
  modules) fetch_once; echo "$DIST" ;;
  *) die "usage: $0 fetch|modules" ;;
esac
