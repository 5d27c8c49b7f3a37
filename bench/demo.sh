#!/bin/bash
# Two hosts exchange verified messages over DPDK, with the stack in the process and through two sidecars,
# beside the raw wire and the kernel's TCP. As root: two network namespaces and a veth pair. As anyone
# else: two processes over memif. Leaves nothing behind.
set -u
cd "$(dirname "$0")/.." || exit 1
. bench/lib.sh

usage() {
  cat <<'TEXT'
usage: bench/demo.sh [OPTION...]
  --seconds N         measuring time of each row, in seconds (default 2)
  --wire memif|veth   veth: two hosts, needs root (default as root); memif: two processes (else)
  --json FILE         write one JSON object per row and line to this file (default: none)
  --help              this text
TEXT
}

seconds=2 wire='' json=''
while (($#)); do
  case $1 in
    --seconds) seconds=${2-} && shift ;;
    --wire) wire=${2-} && shift ;;
    --json) json=${2-} && shift ;;
    --help | -h) usage && exit ;;
    *) proa_fail "demo.sh: unknown option $1; see --help." ;;
  esac
  shift || proa_fail "demo.sh: the last option needs a value; see --help."
done
[[ $seconds =~ ^[0-9]+([.][0-9]+)?$ && $seconds != 0 ]] ||
  proa_fail "demo.sh: --seconds: expected a number above 0, found '$seconds'."
if [[ -z $wire ]]; then
  wire=veth
  ((EUID == 0)) || wire=memif
fi
case $wire in
  memif) ;;
  veth) ((EUID == 0)) || proa_fail "demo.sh: --wire veth makes network namespaces, which needs root; use sudo or --wire memif." ;;
  *) proa_fail "demo.sh: --wire: expected memif or veth, found '$wire'." ;;
esac
[[ -z $json ]] || : 2>/dev/null >"$json" || proa_fail "demo.sh: cannot write $json."

pids=()
work=$(mktemp -d /tmp/proa-demo-XXXXXX) || proa_fail "demo.sh: cannot make a directory in /tmp."
chmod 755 "$work"

# Ends what stop_all knows of; first with TERM, so that DPDK can tidy up, then without asking.
stop_all() {
  local pid
  ((${#pids[@]})) || return 0
  kill "${pids[@]}" 2>/dev/null
  for _ in {1..30}; do
    kill -0 "${pids[@]}" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "${pids[@]}" 2>/dev/null
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
  pids=()
}

cleanup() {
  local code=$?
  trap '' INT TERM
  trap - EXIT
  stop_all
  proa_hosts_down
  rm -rf "$work"
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# start HOST NAME COMMAND...: in the background, on that host (a, b) where there are hosts.
start() {
  local host=$1 name=$2
  shift 2
  local -n namespace=proa_host_$host
  if [[ $wire == veth ]]; then
    ip netns exec "$namespace" "$@" >"$work/$name.log" 2>&1 &
  else
    "$@" >"$work/$name.log" 2>&1 &
  fi
  pids+=($!)
}

proa_install "${proa_build_packages[@]}"
proa_build build-release '--buildtype=release' || proa_fail "demo.sh: the build failed; see above."
