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
  --seconds N         measuring time of each row, in seconds (default 1)
  --wire memif|veth   veth: two hosts, needs root (default as root); memif: two processes (else)
  --json FILE         write one JSON object per row and line to this file (default: none)
  --help              this text
TEXT
}

seconds=1 wire='' json=''
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
[[ $seconds =~ ^[0-9]+([.][0-9]+)?$ && $seconds =~ [1-9] ]] ||
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

# Where it is built: here, unless that belongs to someone else. Every clone has its own place.
build="build-release"
if [[ -e $build && ! -w $build || ! -w . ]]; then
  build=/tmp/proa-build-$(id -un)-$(pwd -P | cksum | cut -d ' ' -f 1)
  proa_say "$PWD is not yours to write to: built in $build, which stays for the next run"
fi

# on HOST COMMAND...: on host a or b, where there are hosts.
on() {
  local -n namespace=proa_host_$1
  shift
  if [[ $wire == veth ]]; then exec ip netns exec "$namespace" "$@"; else exec "$@"; fi
}

# start HOST NAME COMMAND...: in the background; its words go to $work/NAME.log.
start() {
  local host=$1 name=$2
  shift 2
  : >"$work/$name.ready"
  : >"$work/$name.log"
  (on "$host" "$@") >"$work/$name.log" 2>&1 3>"$work/$name.ready" &
  pids+=($!)
  disown # else bash reports its end
}

# Ends the demo with what the program NAME said last.
give_up() {
  printf '%s\n' "demo.sh: $2; it said:" >&2
  tail -n 5 "$work/$1.log" >&2
  exit 1
}

# until_ready NAME: until the last one started listens.
until_ready() {
  local pid=${pids[-1]}
  for _ in {1..150}; do
    [[ ! -s $work/$1.ready ]] || return 0 # proad writes to descriptor 3
    ! grep -q 'listening on port' "$work/$1.log" || return 0 # the echo server says so
    kill -0 "$pid" 2>/dev/null || give_up "$1" "$1 ended before it was ready"
    sleep 0.1
  done
  give_up "$1" "$1 was not ready within 15 s"
}

# The frames' way, as DPDK and Proa spell it, for host a or b.
nic_of() {
  if [[ $wire == veth ]]; then
    echo "$driver,interface=wire0"
  elif [[ $1 == a ]]; then
    echo "memif,role=client,socket=$work/wire.sock"
  else
    echo "memif,role=server,socket=$work/wire.sock"
  fi
}
address_of() { if [[ $1 == a ]]; then echo 10.117.0.1/24; else echo 10.117.0.2/24; fi; }
core_of() { # client, server, and their sidecars beside them or on cores of their own
  local cores
  cores=$(nproc)
  case $1 in
    a) echo 0 ;;
    b) echo $((cores > 1)) ;;
    sidecar-a) echo $((cores > 3 ? 2 : 0)) ;;
    sidecar-b) echo $((cores > 3 ? 3 : cores > 1)) ;;
  esac
}

measure=(--seconds "$seconds" --repeats 1 --attempts 5 --size 64 --window "1,64")

measure_kernel() {
  local on_wire=veth
  [[ $wire == veth ]] || on_wire=loopback
  proa_say "kernel TCP over $on_wire"
  "$build/bench/bench_kernel" "${measure[@]}" --wire "$on_wire" --kind tcp-polled,tcp-blocking \
    --json "$work/kernel.json" >"$work/bench_kernel.log" 2>&1 ||
    give_up bench_kernel "bench_kernel failed"
}

# The raw wire. On veth it also finds out which driver works here.
measure_raw() {
  local why='' on_wire
  driver=memif
  for on_wire in $([[ $wire == veth ]] && echo veth-af_xdp veth-af_packet || echo memif); do
    proa_say "raw frames over $on_wire"
    driver=${on_wire#veth-}
    if "$build/bench/bench_l2" "${measure[@]}" --wire "$on_wire" --kind echo --json "$work/raw.json" \
      >"$work/bench_l2.log" 2>&1; then
      proa_say "DPDK driver: net_$driver${why:+, because net_af_xdp does not work here: $why}"
      [[ $driver != af_xdp ]] || proa_say "net_af_xdp is the first choice and works here"
      return
    fi
    why=$(tail -n 1 "$work/bench_l2.log")
  done
  give_up bench_l2 "no DPDK driver works on this wire"
}

# echo_run PLACEMENT STACK_A STACK_B: both ends, once with one message outstanding, once with 64.
echo_run() {
  local placement=$1 program=$build/bench/echo-$1 window
  for window in 1 64; do
    proa_say "echo, $placement, $window outstanding"
    start b server "$program" server --stack "$3" --core "$(core_of b)"
    until_ready server
    (on a "$program" client --stack "$2" --core "$(core_of a)" --peer 10.117.0.2:7000 --size 64 \
      --window "$window" --seconds "$seconds" --wire "$wire_name" \
      --json "$work/$placement-$window.json") >"$work/client.log" 2>&1 ||
      give_up client "the echo client failed ($placement)"
    stop_last
  done
}

stop_last() {
  local others=("${pids[@]::${#pids[@]}-1}")
  pids=("${pids[-1]}")
  stop_all
  pids=("${others[@]}")
}

start_sidecar() {
  local name=sidecar-$1
  start "$1" "$name" "$build/sidecar/proad" --nic "$(nic_of "$1")" --address "$(address_of "$1")" \
    --socket "$work/$1.sock" --core "$(core_of "$name")" --ready-fd 3
  until_ready "$name"
}

proa_install "${proa_build_packages[@]}"
proa_build "$build" '--buildtype=release' bench/bench_kernel bench/bench_l2 bench/echo-in-process \
  bench/echo-sidecar sidecar/proad || proa_fail "demo.sh: the build failed; see above."

if [[ $wire == veth ]]; then
  proa_hosts_up demo
else
  proa_say "two processes over memif; two hosts with a veth pair need root and --wire veth"
fi
measure_kernel
measure_raw
wire_name=$wire
[[ $wire != veth ]] || wire_name=veth-$driver

echo_run in-process "nic=$(nic_of a);address=$(address_of a)" \
  "nic=$(nic_of b);address=$(address_of b)"
start_sidecar b # memif's server before its client
start_sidecar a
echo_run sidecar "socket=$work/a.sock" "socket=$work/b.sock"

python3 bench/demo_table.py "$json" "$work"/*.json ||
  proa_fail "demo.sh: the figures could not be put together; see above."
printf '\nEvery reply was compared byte for byte. Wire: %s.\n' "$wire_name"
