#!/usr/bin/env bash
# Ends everything under the directory RUN once stdin closes, that is, once the process that holds its other end is gone,
# however it went: a test binary has no teardown of its own and may be killed.
# usage: guard.sh RUN < pipe
RUN=$1
cat >/dev/null
. "$(dirname "$0")/lib.sh"
shopt -s nullglob
# More than once: a server that was just being started may come up now, and a killed browser's children write on.
for _ in 1 2 3; do
  for PIDFILE in "$RUN"/*/pid; do send KILL || true; done
  for PIDFILE in "$RUN"/*/pid; do
    while is_running; do sleep 0.05; done
  done
  # Small disks of scenarios: their directories are in the way of the deletion.
  while read -r _ MOUNT _; do
    case $MOUNT in "$RUN"/*) umount -l "$MOUNT" || true ;; esac
  done </proc/mounts
  rm -rf "$RUN" || true
  sleep 1
done
