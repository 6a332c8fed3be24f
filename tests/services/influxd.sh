#!/usr/bin/env bash
# InfluxDB 2 (influxd) built from its Go module, without the user interface and set up with an organisation and a token.
# Prints INFLUX_URL, INFLUX_ORG, INFLUX_TOKEN. Needs Go 1.23, stable Rust, a C compiler, pkg-config, curl.
. "$(dirname "$0")/lib.sh"
INFLUXD_VERSION=v2.7.12
service_init influxd $INFLUXD_VERSION

fetch() {
  [ -x "$DIST/influxd" ] && return
  mkdir -p "$DIST/mod" "$DIST/lib" "$DIST/pc" "$DIST/include"
  # `go install …/cmd/influxd@…` is refused because of the replace line in its go.mod; a main module with the same
  # replace line is not.
  cd "$DIST/mod"
  cat >go.mod <<X
module local/influxd-build

go 1.23.0

require github.com/influxdata/influxdb/v2 $INFLUXD_VERSION

replace github.com/nats-io/nats-streaming-server v0.11.2 => github.com/influxdata/nats-streaming-server v0.11.3-0.20201112040610-c277f7560803
X
  export GOFLAGS=-mod=mod GOTOOLCHAIN=local
  go get "github.com/influxdata/influxdb/v2/cmd/influxd@$INFLUXD_VERSION" >&2
  build_libflux "$(go mod download -json github.com/influxdata/flux | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')"
  # Upstream's third tag, assets, needs the user interface and is left out.
  PKG_CONFIG_PATH=$DIST/pc nice go build -trimpath -tags sqlite_foreign_keys,sqlite_json \
    -ldflags "-s -w -X main.version=$INFLUXD_VERSION -X main.commit=local" \
    -o influxd.new github.com/influxdata/influxdb/v2/cmd/influxd >&2
  mv influxd.new "$DIST/influxd"
  rm -rf "$DIST/target" "$DIST/src"
}

# The Flux compiler's Rust half lies inside the Go module, which is read-only: built in a copy of what it reads.
build_libflux() { # DIRECTORY OF THE FLUX MODULE
  [ -d "$1/libflux" ] || die "no libflux in the flux module '$1'"
  if [ ! -f "$DIST/lib/libflux.a" ]; then
    rm -rf "$DIST/src"
    mkdir -p "$DIST/src"
    cp -r --no-preserve=mode "$1/libflux" "$1/stdlib" "$DIST/src/"
    # Upstream denies warnings, which a newer compiler has more of; its LTO would double the build for nothing here.
    (cd "$DIST/src/libflux" && RUSTFLAGS="--cap-lints allow" CARGO_PROFILE_RELEASE_LTO=off \
      CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_TARGET_DIR="$DIST/target" \
      nice cargo rustc --quiet --release --locked -p flux --crate-type staticlib >&2)
    cp -r "$DIST/src/libflux/include/." "$DIST/include/"
    mv "$DIST/target/release/libflux.a" "$DIST/lib/libflux.a"
  fi
  # Stands in for influxdata/pkg-config, which would build libflux its own way.
  cat >"$DIST/pc/flux.pc" <<X
Name: flux
Version: ${1##*@v}
Description: libflux
Libs: -L$DIST/lib -lflux -ldl -lpthread -lm
Cflags: -I$DIST/include
X
}

configure() {
  printf 'INFLUX_URL=http://%s:%s\nINFLUX_ORG=test-org\nINFLUX_TOKEN=test-token-0123456789\n' $HOST "$(free_port)" >"$PORTS"
}

launch() {
  # HOME: influxd keeps its command-line settings there and nowhere else.
  spawn env HOME="$RUNDIR" "$DIST/influxd" run --http-bind-address "${INFLUX_URL#http://}" --reporting-disabled \
    --ui-disabled --bolt-path "$RUNDIR/data/influxd.bolt" --sqlite-path "$RUNDIR/data/influxd.sqlite" \
    --engine-path "$RUNDIR/data/engine" --log-level warn
  wait_ready 60 api /health
}

first_start() {
  api /api/v2/setup -d "{\"username\":\"admin\",\"password\":\"admin-secret\",\"org\":\"$INFLUX_ORG\",\"bucket\":\"default\",\"token\":\"$INFLUX_TOKEN\"}" >/dev/null
}

api() { curl --noproxy '*' -fsS -m 10 "$INFLUX_URL$1" "${@:2}"; }

service_main "$@"
