#!/usr/bin/env bash
# Headless Chromium and its driver (Debian packages), for the tests of the page. Only to fetch: the tests start it.
. "$(dirname "$0")/lib.sh"
service_init chromium system

fetch() {
  local missing=()
  command -v chromium >/dev/null || missing+=(chromium)
  command -v chromedriver >/dev/null || missing+=(chromium-driver)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

[ "${1:-}" = fetch ] || die "usage: $0 fetch"
fetch_once
