#!/bin/bash
# Two hosts exchange verified messages over DPDK, with the stack in the process and through two sidecars,
# beside the raw wire and the kernel's TCP. As root: two network namespaces and a veth pair. As anyone
# else: two processes over memif. Leaves nothing behind.
set -u
called_from=$PWD
cd "$(dirname "$0")/.." || exit 1
. bench/lib.sh

usage() {
  cat <<'TEXT'
usage: bench/demo.sh [OPTION...]
  --seconds N         measuring time of each row, in seconds (default 1)
  --wire memif|veth   veth: two hosts, needs root (default as root); memif: two processes (else)
  --json FILE         write one JSON object per row and line to this file (default: none)
  --build DIRECTORY   use the programs built there (default: build them in build-release)
  --help              this text
TEXT
}

seconds=1 wire='' json='' build=''
while (($#)); do
  case $1 in
    --seconds) seconds=${2-} && shift ;;
    --wire) wire=${2-} && shift ;;
    --json) json=${2-} && shift ;;
    --build) build=${2-} && shift ;;
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
# Paths are the caller's.
[[ -z $json || $json == /* ]] || json=$called_from/$json
[[ -z $build || $build == /* ]] || build=$called_from/$build

pids=()     # leaders of process groups
new_json='' # a file to be removed if there is nothing to write into it
work=${TMPDIR:-/tmp}/proa-demo-$$-$RANDOM
had_dpdk=$([[ ! -e /run/dpdk ]] || echo yes)

# Ends the process groups in pids; first with TERM, so that DPDK can tidy up, then without asking.
stop_all() {
  local pid
  ((${#pids[@]})) || return 0
  kill -- "${pids[@]/#/-}" 2>/dev/null
  for _ in {1..30}; do
    kill -0 -- "${pids[@]/#/-}" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 -- "${pids[@]/#/-}" 2>/dev/null
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
  pids=()
}

# DPDK of a process that was killed while it started leaves an empty directory, and its parent.
remove_dpdk_directories() {
  local directory
  for directory in /run/dpdk/proa*; do
    [[ -e /proc/${directory#/run/dpdk/proa} ]] || rmdir "$directory"
  done 2>/dev/null
  [[ $had_dpdk ]] || rmdir /run/dpdk 2>/dev/null
}

cleanup() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  # One that begin had started and not yet put down when the signal came.
  mapfile -t -O "${#pids[@]}" pids < <(jobs -pr)
  stop_all
  proa_hosts_down
  rm -rf "$work"
  ((code == 0)) || [[ -z $new_json ]] || rm -f "$new_json"
  ((EUID)) || remove_dpdk_directories
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -m 755 "$work" || proa_fail "demo.sh: cannot make a directory in ${TMPDIR:-/tmp}."
# Whatever is killed leaves its files in here.
export TMPDIR=$work XDG_RUNTIME_DIR=$work

if [[ $json ]]; then
  [[ -e $json ]] || new_json=$json
  : 2>/dev/null >>"$json" || proa_fail "demo.sh: --json: cannot write $json; give a place you may write to."
fi

# Where it is built: here, unless that belongs to someone else. Every clone has its own place.
if [[ $build ]]; then
  [[ -x $build/sidecar/proad && -x $build/bench/bench_l2 ]] ||
    proa_fail "demo.sh: --build: $build holds no programs of Proa; build there, or leave the option out."
  built=yes
elif [[ -e build-release && ! -w build-release || ! -w . ]]; then
  build=/tmp/proa-build-$(id -un)-$(pwd -P | cksum | cut -d ' ' -f 1)
  proa_say "$PWD is not yours to write to: built in $build, which stays for the next run"
else
  build="build-release"
fi

# on HOST COMMAND...: on host a or b, where there are hosts.
on() {
  local -n namespace=proa_host_$1
  shift
  if [[ $wire == veth ]]; then exec ip netns exec "$namespace" "$@"; else exec "$@"; fi
}

# begin COMMAND...: in the background and a process group of its own, ${pids[-1]}.
begin() {
  set -m
  "$@" &
  set +m
  pids+=($!)
}

# patiently COMMAND...: what takes long. bash waits for a command in the foreground before it answers a
# signal; for these it does not.
patiently() {
  local code=0
  begin "$@"
  wait "${pids[-1]}" || code=$?
  unset 'pids[-1]'
  return "$code"
}

# start HOST NAME COMMAND...: in the background; its words go to $work/NAME.log.
start() {
  local host=$1 name=$2
  shift 2
  : >"$work/$name.ready"
  : >"$work/$name.log"
  begin on "$host" "$@" >"$work/$name.log" 2>&1 3>"$work/$name.ready"
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

# Disturbed repeats are done again as long as there is time for it.
measure=(--seconds "$seconds" --repeats 1 --attempts 5 --patience 3 --size 64 --window "1,64")

measure_kernel() {
  local on_wire=veth
  [[ $wire == veth ]] || on_wire=loopback
  proa_say "kernel TCP over $on_wire"
  patiently "$build/bench/bench_kernel" "${measure[@]}" --wire "$on_wire" --kind tcp-polled,tcp-blocking \
    --json "$work/kernel.json" >"$work/bench_kernel.log" 2>&1 || (($? == disturbed)) ||
    give_up bench_kernel "bench_kernel failed"
}

disturbed=3 # exit code of a bench that found no quiet moment: that says nothing about its wire

# The raw wire. On veth it also finds out which driver works here: one that gave any figure does, and
# the last one is left to the echo when its frames were merely late.
measure_raw() {
  local why='' said on_wire
  driver=memif
  for on_wire in $([[ $wire == veth ]] && echo veth-af_xdp veth-af_packet || echo memif); do
    proa_say "raw frames over $on_wire"
    driver=${on_wire#veth-}
    if patiently "$build/bench/bench_l2" "${measure[@]}" --wire "$on_wire" --kind echo \
      --json "$work/raw.json" >"$work/bench_l2.log" 2>&1 || (($? == disturbed)) || [[ -s $work/raw.json ]]; then
      proa_say "DPDK driver: net_$driver${why:+, because net_af_xdp does not work here: $why}"
      [[ $driver != af_xdp ]] || proa_say "net_af_xdp is the first choice and works here"
      return
    fi
    said=$(grep '^bench_l2: ' "$work/bench_l2.log" |
      grep -v ': kept although\|: a repeat is missing' | head -n 1)
    said=${said#bench_l2: }
    [[ $driver == af_xdp || $said != *'no frame came back' ]] || return 0
    why=$said
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
    patiently on a "$program" client --stack "$2" --core "$(core_of a)" --peer 10.117.0.2:7000 --size 64 \
      --window "$window" --seconds "$seconds" --wire "$wire_name" \
      --json "$work/$placement-$window.json" >"$work/client.log" 2>&1 ||
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

if [[ ! ${built-} ]]; then
  proa_install "${proa_build_packages[@]}"
  patiently proa_build "$build" '--buildtype=release' bench/bench_kernel bench/bench_l2 \
    bench/echo-in-process bench/echo-sidecar sidecar/proad || proa_fail "demo.sh: the build failed; see above."
fi

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

python3 bench/demo_table.py "$json" "$work"/*.json "$work"/bench_*.log ||
  proa_fail "demo.sh: the figures could not be put together; see above."
printf '\nEvery reply was compared byte for byte. Wire: %s.\n' "$wire_name"
