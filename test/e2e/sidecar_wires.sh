#!/bin/bash
# Messages of 0 B, 1 B and 8 MiB, verified, through two sidecars on two hosts, over both veth drivers.
# usage: sidecar_wires.sh PROAD PROA ECHO-SIDECAR. PROA_E2E_ENGINES: of each proad, and all of them must
# have started; over af_xdp only one, because DPDK's driver looks for combined queues and veth has separate
# ones. The interfaces have as many queues either way. Prints 'N passed, N failed'. Exit 77: cannot run here.
set -u
proad=$(realpath "$1") proa=$(realpath "$2") echo=$(realpath "$3") engines=${PROA_E2E_ENGINES:-1}
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=bench/lib.sh
. bench/lib.sh
((EUID == 0)) || { echo "Network namespaces need root: skipped."; exit 77; }

work=$(mktemp -d /tmp/proa-wires-XXXXXX)
chmod 755 "$work"
pids=() passed=0 failed=0
cleanup() {
  ((${#pids[@]})) && kill -9 "${pids[@]}" 2>/dev/null
  proa_hosts_down
  rm -rf "$work"
}
trap cleanup EXIT

# wait_for TEXT FILE: until the file holds it, at most a minute, which only a bug needs.
wait_for() {
  local until=$((SECONDS + 60))
  while ((SECONDS < until)); do
    if grep -q "$1" "$2" 2>/dev/null; then return 0; fi
    sleep 0.1
  done
  echo "'$1' never came; $2 says:" && cat "$2"
  return 1
}

# sidecar HOST DRIVER ADDRESS
sidecar() {
  local -n host=proa_host_$1
  : >"$work/proad-$1.log" # before the last one's words can be taken for this one's
  ip netns exec "$host" "$proad" --nic "$2,interface=wire0" --address "$3" --user root \
    --engines "$engines" --socket "$work/$1.sock" >"$work/proad-$1.log" 2>&1 &
  pids+=($!)
  disown # else bash reports its end
  wait_for 'proad ready' "$work/proad-$1.log" || return 1
  local started=0 wanted=$engines until=$((SECONDS + 60))
  [[ $2 == af_packet ]] || wanted=1
  while ((SECONDS < until)); do # an engine that does not get a processor does not answer at once
    started=$("$proa" status --json --socket "$work/$1.sock" | grep -o '"answered":true' | wc -l)
    ((started == wanted)) && return 0
    sleep 0.1
  done
  echo "$started engines started over $2, $wanted expected; proad says:" && cat "$work/proad-$1.log"
  return 1
}

# echoes SIZE MESSAGES
echoes() {
  : >"$work/server.log"
  ip netns exec "$proa_host_b" "$echo" server --stack "socket=$work/b.sock" --wait \
    >"$work/server.log" 2>&1 &
  local server=$!
  pids+=("$server")
  wait_for 'listening on port' "$work/server.log" &&
    timeout 120 ip netns exec "$proa_host_a" "$echo" client --stack "socket=$work/a.sock" --wait \
      --peer 10.117.0.2:7000 --size "$1" --messages "$2" --window 1 --patience 60
  local result=$?
  kill "$server" 2>/dev/null
  wait "$server" 2>/dev/null
  return $result
}

for driver in af_packet af_xdp; do
  proa_hosts_up wires 1500 "$engines"
  if sidecar a "$driver" 10.117.0.1/24 && sidecar b "$driver" 10.117.0.2/24; then
    for case in "0 100" "1 100" "8388608 3"; do
      read -r size messages <<<"$case"
      if echoes "$size" "$messages"; then
        passed=$((passed + 1))
      else
        echo "FAILED: $messages messages of $size bytes over $driver"
        failed=$((failed + 1))
      fi
    done
  else
    failed=$((failed + 3))
  fi
  kill -9 "${pids[@]}" 2>/dev/null
  pids=()
  proa_hosts_down
done
echo "$passed passed, $failed failed"
((failed == 0))
