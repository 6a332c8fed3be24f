#!/usr/bin/env bash
# Ends everything under the directory RUN once stdin closes, that is, once the process that holds its other end is gone,
# however it went: a test binary has no teardown of its own and may be killed.
# usage: guard.sh RUN < pipe
RUN=$1
cat >/dev/null
. "$(dirname "$0")/lib.sh"
for PIDFILE in "$RUN"/*/pid; do send KILL || true; done
rm -rf "$RUN"
