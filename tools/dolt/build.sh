#!/usr/bin/env bash
# Builds the pinned `dolt` (see go.mod) from the Go module proxy, once, into a
# cache, and prints the binary's path as the last (and only) line on stdout.
#
#   tools/dolt/build.sh [CACHE_ROOT]
#
# CACHE_ROOT: the argument, else $GASTOWN_CACHE, else ~/.cache/gastown.
# The binary is CACHE_ROOT/dolt-<pin>/dolt. If it's there and runs, nothing is
# built. Everything else (progress, minutes taken) goes to stderr.
# DOLT_BUILD_JOBS: packages compiled at once (default 2).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${1:-${GASTOWN_CACHE:-$HOME/.cache/gastown}}

pin=$(awk '$1 == "github.com/dolthub/dolt/go" { print $2; exit }' "$here/go.mod")
if [ -z "$pin" ]; then
  echo "build.sh: no pin for github.com/dolthub/dolt/go in $here/go.mod" >&2
  exit 1
fi

mkdir -p "$root/dolt-$pin"
dir=$(cd "$root/dolt-$pin" && pwd)
bin=$dir/dolt

# `dolt version` would look for a newer release over the network and make
# ~/.dolt. It is run with a home of its own inside the cache, with both off.
works() {
  [ -x "$bin" ] &&
    (cd "$dir" && DOLT_ROOT_PATH="$dir/home" DOLT_DISABLE_EVENT_FLUSH=1 \
      timeout 60 "$bin" version >/dev/null 2>&1 </dev/null)
}

mkdir -p "$dir/home/.dolt"
if [ ! -e "$dir/home/.dolt/config_global.json" ]; then
  echo '{"metrics.disabled":"true","versioncheck.disabled":"true"}' >"$dir/home/.dolt/config_global.json"
fi

# One builder at a time; whoever waited finds the binary made.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$dir/lock"
  flock 9
fi

if ! works; then
  start=$(date +%s)
  echo "build.sh: building dolt $pin" >&2
  tmp=$dir/dolt.new.$$
  trap 'rm -f "$tmp"' EXIT
  # gms_pure_go: Go's own regular expressions, so no ICU headers are needed.
  # cgo stays on, for zstd. -mod=readonly: go.sum is what is built, or nothing.
  (cd "$here" && CGO_ENABLED=1 nice -n 15 go build -p "${DOLT_BUILD_JOBS:-2}" \
    -mod=readonly -buildvcs=false -trimpath -tags gms_pure_go -ldflags '-s -w' \
    -o "$tmp" github.com/dolthub/dolt/go/cmd/dolt >&2 9>&-)
  mv -f "$tmp" "$bin"
  took=$(($(date +%s) - start))
  echo "build.sh: built in $(awk -v s="$took" 'BEGIN { printf "%.1f", s / 60 }') minutes" >&2
  if ! works; then
    echo "build.sh: $bin was built but 'dolt version' fails" >&2
    exit 1
  fi
fi

echo "$bin"
