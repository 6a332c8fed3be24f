#!/usr/bin/env bash
# An S3-compatible object store from the Rust registry: s3s-fs keeps objects as plain files and checks AWS signatures.
# Prints S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY, S3_ROOT. A directory below S3_ROOT is a bucket.
. "$(dirname "$0")/lib.sh"
S3S_VERSION=0.14.1
service_init s3s $S3S_VERSION

fetch() {
  [ -x "$DIST/bin/s3s-fs" ] && return
  # Links in a minute instead of five; it is not what is measured.
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_TARGET_DIR="$DIST/target" nice cargo install --quiet "s3s-fs@$S3S_VERSION" --locked --features binary --root "$DIST" >&2
  rm -rf "$DIST/target"
}

configure() {
  printf 'S3_ENDPOINT=http://%s:%s\nS3_REGION=us-east-1\nS3_ACCESS_KEY=test-access\nS3_SECRET_KEY=test-secret\nS3_ROOT=%s\n' \
    $HOST "$(free_port)" "$RUNDIR/data" >"$PORTS"
}

launch() {
  spawn env RUST_LOG=warn "$DIST/bin/s3s-fs" --host $HOST --port "${S3_ENDPOINT##*:}" \
    --access-key "$S3_ACCESS_KEY" --secret-key "$S3_SECRET_KEY" "$S3_ROOT"
  wait_ready 20 tcp_up "${S3_ENDPOINT##*:}"
}

service_main "$@"
