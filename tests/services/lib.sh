# Shared by the service scripts. Sourced, never run.
#
#   $GATEWAY_TEST_CACHE/<service>/<version>/  what was downloaded or built; kept, shared by all clones
#   $RUN/<service>-<instance>/                one started server: pid, ports, log, data
#
# Invariants
# - Servers bind to 127.0.0.1 only, on ports that were free when they started.
# - A server is signalled only through the PID written here, and only while its start time (from /proc) is the one
#   written beside it: a reused PID is never touched.
# - Any number of instances run side by side; downloads and builds happen once, under a lock.
# - stop and start keep data and ports; wipe drops both. Progress goes to stderr, KEY=VALUE to stdout.
set -euo pipefail
HOST=127.0.0.1
GATEWAY_TEST_CACHE=${GATEWAY_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sensor-gateway}

die() { echo "$SERVICE: $*" >&2; exit 1; }

service_init() { # NAME VERSION
  SERVICE=$1
  DIST=$GATEWAY_TEST_CACHE/$1/$2
  RUNDIR=${RUN:-${TMPDIR:-/tmp}/gateway-services-$(id -u)}/$1-${INSTANCE:-default}
  PIDFILE=$RUNDIR/pid LOG=$RUNDIR/log PORTS=$RUNDIR/ports
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt_install() { # PACKAGE...
  command -v apt-get >/dev/null || die "install by hand (this system has no apt-get): $*"
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || die "install as root: apt-get install -y $*"
  as_root apt-get update -q >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
}

# Ports below the range that the kernel gives to outgoing connections, so that none of those takes one between here and
# the bind. Two scripts may still draw the same: a start that dies at once is tried again with other ports.
free_port() {
  local port
  while :; do
    port=$((RANDOM % 12000 + 20000))
    tcp_up $port || { echo $port; return; }
  done
}

tcp_up() { (exec 3<>"/dev/tcp/$HOST/$1") 2>/dev/null; }

started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; } # in clock ticks since boot

is_running() {
  local pid start
  read -r pid start 2>/dev/null <"$PIDFILE" || return 1
  [ "$(started_at "$pid")" = "$start" ] && ! grep -q ') Z' "/proc/$pid/stat" 2>/dev/null
}

send() { is_running && kill "-$1" "$(cut -d' ' -f1 "$PIDFILE")"; }

# setsid: a Ctrl-C at the tests does not reach the server; who started it stops it.
spawn() { # COMMAND...
  setsid "$@" >>"$LOG" 2>&1 </dev/null 9>&- &
  echo "$! $(started_at $!)" >"$PIDFILE"
}

wait_ready() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    is_running || { echo "$SERVICE: died while starting" >&2; return 1; }
    [ $SECONDS -lt $end ] || { stop; echo "$SERVICE: not ready in time" >&2; return 1; }
    sleep 0.1
  done
}

stop() {
  if send TERM; then
    for _ in $(seq 200); do is_running || break; sleep 0.1; done
    send KILL || true
  fi
  rm -f "$PIDFILE"
}

crash() {
  send KILL || die "is not running"
  while is_running; do sleep 0.05; done
  rm -f "$PIDFILE"
}

fetch_once() {
  mkdir -p "$DIST"
  (exec 9>"$DIST/.lock"; flock 9; fetch)
}

# configure writes the ports file and the settings, launch starts the server and returns once it answers.
start() {
  is_running && return
  fetch_once
  for _ in 1 2 3; do
    local first=1
    [ -f "$PORTS" ] && first=
    mkdir -p "$RUNDIR/data"
    [ -z "$first" ] || configure
    . "$PORTS"
    launch && { [ -z "$first" ] || first_start; } && return
    [ -n "$first" ] || break
    tail -n 30 "$LOG" >&2
    rm -rf "$RUNDIR"
  done
  die "did not start"
}

first_start() { :; }

service_main() { # VERB
  case ${1:-} in
    fetch) fetch_once ;;
    start) start; cat "$PORTS" ;;
    stop) stop ;;
    kill) crash ;;
    wipe) stop; rm -rf "$RUNDIR" ;;
    status) is_running || { echo stopped; return 3; }; echo "running, pid $(cut -d' ' -f1 "$PIDFILE")"; cat "$PORTS" ;;
    *) die "usage: [RUN=dir] [INSTANCE=name] $0 fetch|start|stop|kill|wipe|status" ;;
  esac
}
