#!/bin/bash
# Proa hosts in networks that a Linux kernel makes: a bridge with kernel hosts, routers, VLANs; IPv4 and IPv6.
# usage: networks.sh PROAD PROA ECHO-SIDECAR. PROA_E2E_ENGINES: of each proad. Prints 'N passed, N failed'. Exit 77: cannot run here.
set -u
proad=$(realpath "$1") proa=$(realpath "$2") echo=$(realpath "$3")
cd "$(dirname "$0")/../.." || exit 1
((EUID == 0)) || { echo "Network namespaces need root: skipped."; exit 77; }

work=$(mktemp -d /tmp/proa-networks-XXXXXX)
chmod 755 "$work"
tag=proa-net-$$ hosts=() pids=() passed=0 failed=0

end_processes() {
  local pid
  for pid in "${pids[@]}"; do end_one "$pid"; done
  pids=()
}
remove_hosts() {
  local host pid
  end_processes
  for host in "${hosts[@]}"; do
    for pid in $(ip netns pids "$tag-$host" 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
    ip netns del "$tag-$host" 2>/dev/null
  done
  hosts=()
}
cleanup() {
  remove_hosts
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# --- steps ---

in_host() { ip netns exec "$tag-$1" "${@:2}"; }
# In the background; started_pid is the command itself, not a shell around it.
start_in() {
  ip netns exec "$tag-$1" "${@:2}" &
  started_pid=$!
  pids+=("$started_pid")
  disown # else bash reports its end
}
end_one() {
  kill -9 "$1" 2>/dev/null
  while [[ -e /proc/$1 ]]; do sleep 0.05; done
}

# make_host NAME...: silent ones, without addresses of their own making on what comes up later.
make_host() {
  local name
  for name in "$@"; do
    ip netns add "$tag-$name" || return 1
    hosts+=("$name")
    ip -n "$tag-$name" link set lo up
    in_host "$name" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
  done
}

# wire HOST INTERFACE MAC HOST INTERFACE MAC: every frame on it has its checksums filled in.
wire() {
  ip -n "$tag-$1" link add "$2" address "$3" type veth peer name "$5" address "$6" \
    netns "$tag-$4" || return 1
  local host interface
  for host in "$1 $2" "$4 $5"; do
    read -r host interface <<<"$host"
    in_host "$host" ethtool -K "$interface" tx off txvlan off rxvlan off >/dev/null 2>&1
    ip -n "$tag-$host" link set "$interface" up
  done
}

# eventually COMMAND...: until it succeeds; false: not within a minute, which only a bug needs.
eventually() {
  local until=$((SECONDS + 60))
  until "$@"; do
    ((SECONDS < until)) || return 1
    sleep 0.1
  done
}

# wait_for TEXT FILE: until the file holds it.
wait_for() {
  eventually grep -qs -- "$1" "$2" && return 0
  echo "'$1' never came; $2 says:" && cat "$2"
  return 1
}

# sidecar HOST [OPTION...]
sidecar() {
  start_in "$1" "$proad" --nic af_packet,interface=wire0 --user root --socket "$work/$1.sock" \
    --engines "${PROA_E2E_ENGINES:-1}" "${@:2}" >"$work/proad-$1.log" 2>&1
  wait_for 'proad ready' "$work/proad-$1.log"
}

# serve HOST: an echo server there.
serve() {
  start_in "$1" "$echo" server --stack "socket=$work/$1.sock" --wait >"$work/server-$1.log" 2>&1
  wait_for 'listening on port' "$work/server-$1.log"
}

# echoes HOST PEER SIZE MESSAGES: all come back as they were sent.
echoes() {
  timeout 120 ip netns exec "$tag-$1" "$echo" client --stack "socket=$work/$1.sock" --wait --peer "$2" \
    --size "$3" --messages "$4" --window 4 --patience 60 >"$work/client-$1.log" 2>&1 ||
    { cat "$work/client-$1.log"; false; }
}

# whole_status HOST: of a sidecar whose engines have all answered: one that gets no processor does not
# at once, and its counters are missing then.
whole_status() {
  status=$(in_host "$1" "$proa" status --json --socket "$work/$1.sock") &&
    [[ $status == *'"answered":true'* && $status != *'"answered":false'* ]]
}

# counter HOST NAME: of the whole sidecar there.
counter() {
  local status=''
  eventually whole_status "$1" || echo "not every engine of $1 answers" >&2
  grep -o "\"$2\":[0-9]*" <<<"$status" | awk -F: '{ sum += $2 } END { print sum + 0 }'
}

# reaches HOST NAME COUNT: the counter is at least that.
reaches() { (($(counter "$1" "$2") >= $3)); }

# answered HOST COUNT OPTION...: pings until COUNT are answered; prints how many of the first COUNT were.
# Without -w it would wait no longer for the last one than twice what the others took.
answered() {
  in_host "$1" ping -n -c "$2" -i 0.05 -w 60 "${@:3}" >"$work/ping.log" 2>&1
  grep 'bytes from' "$work/ping.log" | grep -o 'icmp_seq=[0-9]*' | cut -d= -f2 | sort -nu |
    awk -v count="$2" '$1 <= count' | wc -l
}

# pings HOST ADDRESS BYTES...: bytes of data; nothing may be lost.
pings() {
  local host=$1 address=$2 bytes
  for bytes in "${@:3}"; do
    (($(answered "$host" 3 -M 'do' -s "$bytes" "$address") == 3)) || { cat "$work/ping.log"; return 1; }
  done
}

# knows HOST ADDRESS MAC: the kernel's neighbour entry is right and believed.
knows() {
  local entry
  entry=$(ip -n "$tag-$1" neigh show "$2" dev wire0)
  [[ $entry == *"lladdr $3"* && ! $entry =~ FAILED|INCOMPLETE ]] || { echo "neighbour: $entry"; false; }
}

check() {
  local what=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
  else
    echo "FAILED: $what: $*"
    failed=$((failed + 1))
  fi
}
skip_all() { echo "FAILED: $1"; failed=$((failed + 1)); }

mac_of() { printf '02:70:72:6f:61:%02x' "$1"; }

# --- a bridge: Proa hosts a and b, kernel hosts k and l ---

bridged_network() {
  make_host br a b k l || return 1
  ip -n "$tag-br" link add br0 type bridge || return 1
  ip -n "$tag-br" link set br0 up
  local n=0 host
  for host in a b k l; do
    n=$((n + 1))
    wire br "p$n" "$(mac_of $((16 + n)))" "$host" wire0 "$(mac_of $n)" || return 1
    ip -n "$tag-br" link set "p$n" master br0
  done
  ip -n "$tag-k" addr add 10.50.0.3/24 dev wire0
  ip -n "$tag-k" addr add fd50::3/64 dev wire0
  ip -n "$tag-l" addr add 10.50.0.4/24 dev wire0
  sidecar a --address 10.50.0.1/24 --address fd50::1/64 &&
    sidecar b --address 10.50.0.2/24 --address fd50::2/64 && serve b
}

# TCP between the kernel hosts for as long as the command runs; it moves something before and after.
beside_tcp() {
  start_in l timeout 300 python3 -c '
import socket
server = socket.create_server(("10.50.0.4", 5001))
print("listening", flush=True)
peer, _ = server.accept()
count = 0
while data := peer.recv(1 << 16):
    count += len(data)
    if count >> 20 != (count - len(data)) >> 20: print(count, flush=True)' >"$work/tcp.log"
  local receiver=$started_pid
  wait_for listening "$work/tcp.log" || return 1
  start_in k python3 -c '
import socket
sender = socket.create_connection(("10.50.0.4", 5001))
while True: sender.send(bytes(1 << 16))' 2>/dev/null
  local sender=$started_pid
  wait_for '^[0-9]' "$work/tcp.log" && "$@"
  local result=$?
  eventually_more_in "$work/tcp.log" || { echo "the kernel's own traffic stands still"; result=1; }
  kill "$sender" "$receiver"
  while [[ -e /proc/$receiver ]]; do sleep 0.05; done
  return $result
}
eventually_more_in() { eventually has_more_lines "$1" "$(wc -l <"$1")"; }
has_more_lines() { (($(wc -l <"$1") > $2)); }

# The kernel host becomes another station between two pings; hardly any may be lost: only what it
# asks as the new one counts, however late what it had asked before is answered.
pings_with_a_new_mac() {
  local address=$1
  pings k "$address" 64 && ip -n "$tag-k" link set wire0 address "$2" || return 1
  (($(answered k 60 "$address") >= 55)) || { cat "$work/ping.log"; false; }
}

# What the kernel has not heard of for half a second it asks for again, while it sends: unknown, and
# twice known.
kernel_asks_again() {
  local family asked asker counters=(arp_requests_answered solicitations_answered) before=()
  for family in ipv4 ipv6; do
    in_host k sysctl -qw "net.$family.neigh.wire0.base_reachable_time_ms=500" \
      "net.$family.neigh.wire0.delay_first_probe_time=1" || return 1
  done
  ip -n "$tag-k" neigh flush dev wire0 # the timers of what it knows run as before
  before=("$(counter a "${counters[0]}")" "$(counter a "${counters[1]}")")
  start_in k timeout 300 python3 -c '
import socket, time
ends = [(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), ("10.50.0.1", 9)),
        (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), ("fd50::1", 9))]
while True:
    for end, to in ends: end.sendto(bytes(64), to)
    time.sleep(0.01)'
  asker=$started_pid
  local result=0
  for asked in 0 1; do
    eventually reaches a "${counters[asked]}" $((before[asked] + 3)) ||
      { echo "asked ${before[asked]} times before, $(counter a "${counters[asked]}") after"; result=1; }
  done
  knows k 10.50.0.1 "$(mac_of 1)" && knows k fd50::1 "$(mac_of 1)" || result=1
  end_one "$asker"
  return $result
}

dad_has_failed_in_k() { [[ -n $(ip -n "$tag-k" -6 addr show dev wire0 dadfailed) ]]; }
dad_fails_in_k() { eventually dad_has_failed_in_k || { ip -n "$tag-k" -6 addr show dev wire0; false; }; }

# The kernel asks for neighbours it does not know only: each look makes it forget what it knows.
asks_and_conflicts() {
  ip -n "$tag-k" neigh flush dev wire0
  in_host k ping -n -q -c 1 -W 1 -I fd50::1 "fe80::70:72ff:fe6f:6101%wire0" >"$work/ping.log" 2>&1
  in_host k ping -n -q -c 1 -W 1 -I 10.50.0.1 10.50.0.77 >"$work/ping.log" 2>&1
  reaches a address_conflicts 2
}
conflicts_in_a() { eventually asks_and_conflicts || { echo "$(counter a address_conflicts) conflicts"; false; }; }

# tells_of_a_short_loss: the cable of a is out for a moment; everybody is told where its addresses
# are: twice each of the IPv4, IPv6 and link-local one, by one engine. Nobody counts them before.
tells_of_a_short_loss() {
  local before now
  before=$(counter a announcements_sent)
  ip -n "$tag-br" link set p1 down && ip -n "$tag-br" link set p1 up || return 1
  eventually reaches a announcements_sent $((before + 6))
  sleep 1 # for more than there ought to be
  now=$(counter a announcements_sent)
  ((now == before + 6)) || { echo "$before announcements before, $now after"; return 1; }
}

test_bridge() {
  bridged_network || { skip_all "no bridged network"; return; }
  check "ping over IPv4, small to the MTU" pings k 10.50.0.1 64 512 1400 1472
  check "ping over IPv6, small to the MTU" pings k fd50::1 64 512 1400 1452
  check "ping of the link-local address" pings k "fe80::70:72ff:fe6f:6101%wire0" 64
  check "the kernel's IPv4 neighbour" knows k 10.50.0.1 "$(mac_of 1)"
  check "the kernel's IPv6 neighbour" knows k fd50::1 "$(mac_of 1)"
  check "the kernel asks again for what it has long not heard of" kernel_asks_again
  check "echo over IPv4 beside TCP" beside_tcp echoes a 10.50.0.2:7000 20000 300
  check "echo over IPv6 beside TCP" beside_tcp echoes a "[fd50::2]:7000" 20000 300
  check "8 MiB over IPv6" echoes a "[fd50::2]:7000" 8388608 3
  check "a new MAC address under IPv4 pings" pings_with_a_new_mac 10.50.0.1 "$(mac_of 65)"
  check "a new MAC address under IPv6 pings" pings_with_a_new_mac fd50::1 "$(mac_of 66)"
  check "a link that is lost for a moment is announced" tells_of_a_short_loss
  check "nobody's address is claimed twice" test "$(counter a address_conflicts)" = 0
  in_host k sysctl -qw net.ipv6.conf.wire0.accept_dad=1
  ip -n "$tag-k" addr add fd50::1/64 dev wire0
  check "the kernel finds out that an address is taken" dad_fails_in_k
  # Taken all the same: its questions say so.
  ip -n "$tag-k" addr replace fd50::1/64 dev wire0 nodad
  ip -n "$tag-k" addr add 10.50.0.1/24 dev wire0
  check "a station that claims our addresses is counted" conflicts_in_a
  check "... and warned of" wait_for 'another station uses an address of ours' "$work/proad-a.log"
}

# --- a fabric that answers for every address ---

# answer_for_everybody MAC: of every address somebody asks for it says that it has it.
answer_for_everybody() {
  python3 - "$1" <<'PYTHON'
import socket, struct, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("wire0", 3))
mac = bytes.fromhex(sys.argv[1].replace(":", ""))

def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

def advertisement(target, to):
    body = struct.pack("!BBHI", 136, 0, 0, 0x60000000 if to[0] != 0xFF else 0x20000000) + target + b"\2\1" + mac
    pseudo = target + to + struct.pack("!II", len(body), 58) + body
    body = body[:2] + struct.pack("!H", checksum(pseudo)) + body[4:]
    return struct.pack("!IHBB", 0x60000000, len(body), 58, 255) + target + to + body

print("made", flush=True)
while True:
    frame, sender = wire.recvfrom(2048)
    if sender[2] == 4: continue  # its own
    kind, rest = frame[12:14], frame[14:]
    if kind == b"\x08\x06" and rest[6:8] == b"\0\1":
        wire.send(frame[6:12] + mac + kind + rest[:6] + b"\0\2" + mac + rest[24:28] + rest[8:18])
    if kind == b"\x86\xdd" and rest[6] == 58 and rest[40] == 135:
        nobody = rest[8:24] == bytes(16)
        to = bytes.fromhex("ff02" + 13 * "00" + "01") if nobody else rest[8:24]
        ether = bytes.fromhex("333300000001") if nobody else frame[6:12]
        wire.send(ether + mac + kind + advertisement(rest[48:64], to))
PYTHON
}

test_fabric() {
  if ! { make_host a k && wire a wire0 "$(mac_of 1)" k wire0 "$(mac_of 3)"; }; then
    skip_all "no wire"
    return
  fi
  start_in k bash -c "$(declare -f answer_for_everybody); answer_for_everybody $(mac_of 3)" \
    >"$work/fabric.log" 2>&1
  if wait_for made "$work/fabric.log" &&
    sidecar a --address 10.58.0.1/24 --gateway 10.58.0.254 --address fd58::1/64 --gateway fe80::1; then
    eventually reaches a announcements_sent 6 # twice each of IPv4, IPv6 and link-local
    sleep 1                                   # what the last ones bring
    check "what a fabric says of our addresses is counted" eventually reaches a proxy_claims 2
    check "... and no conflict" test "$(counter a address_conflicts)" = 0
    check "... nor warned of" test -z "$(grep 'another station' "$work/proad-a.log")"
  else
    skip_all "no sidecar before a fabric"
  fi
}

# --- a wire that carries 1520 bytes, so that a whole IPv6 packet around 1472 bytes of ping does ---

test_wide() {
  if ! { make_host a k && wire a wire0 "$(mac_of 1)" k wire0 "$(mac_of 3)"; }; then
    skip_all "no wire"
    return
  fi
  local host
  for host in a k; do ip -n "$tag-$host" link set wire0 mtu 1520; done
  ip -n "$tag-k" addr add 10.57.0.3/24 dev wire0
  ip -n "$tag-k" addr add fd57::3/64 dev wire0
  if sidecar a --mtu 1520 --address 10.57.0.1/24 --address fd57::1/64; then
    check "ping over IPv4, 64 to 1472 bytes, and to the MTU" pings k 10.57.0.1 64 512 1400 1472 1492
    check "ping over IPv6, 64 to 1472 bytes, which is the MTU" pings k fd57::1 64 512 1400 1472
  else
    skip_all "no sidecar on a wide wire"
  fi
}

# --- a router between Proa hosts a and b ---

# routed_network: a and b on wires of their own to the kernel router r.
routed_network() {
  make_host a r b || return 1
  wire r wa "$(mac_of 17)" a wire0 "$(mac_of 1)" && wire r wb "$(mac_of 18)" b wire0 "$(mac_of 2)" ||
    return 1
  in_host r sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  ip -n "$tag-r" addr add 10.51.0.254/24 dev wa
  ip -n "$tag-r" addr add fd51::fe/64 dev wa
  ip -n "$tag-r" addr add 10.52.0.254/24 dev wb
  ip -n "$tag-r" addr add fd52::fe/64 dev wb
  ip -n "$tag-r" addr add fe80::1/64 dev wa
  ip -n "$tag-r" addr add fe80::1/64 dev wb
}

echoes_both_ways() {
  echoes a 10.52.0.2:7000 3000 200 && echoes a "[fd52::2]:7000" 3000 200
}

# a receives 100 packets more: no probes, messages.
moves() {
  local before
  before=$(counter a rx_packets)
  eventually reaches a rx_packets $((before + 100)) || { echo "nothing moves"; false; }
}

# The router's port to a becomes another station under messages, and tells nobody unasked. None of
# them waits longer than 6 s: the old address is asked three times before everybody is, which takes
# up to 2.4 s, and machines may be busy.
echoes_with_a_new_router() {
  until_told "$work/client-a.log" --peer "$1" --size 1000 --window 4
  local client=$started_pid longest
  moves && sleep 2 && kill -0 "$client" && ip -n "$tag-r" link set wa address "$2" && moves &&
    sleep 8 && moves && kill -0 "$client"
  local moved=$?
  told "$client" || moved=1
  longest=$(grep -o 'longest [0-9]*' "$work/client-a.log" | cut -d' ' -f2)
  ((moved == 0 && ${longest:-9999999} <= 6000000)) || { cat "$work/client-a.log"; return 1; }
  echo "messages waited at most $longest us for a router that became another station"
}

# until_told LOG OPTION...: an echo client in a, started_pid, that goes on until `told PID`, which is
# true if every message had come back.
until_told() {
  ip netns exec "$tag-a" "$echo" client --stack "socket=$work/a.sock" --wait --patience 60 \
    --messages 1000000000 "${@:2}" >"$1" 2>&1 &
  started_pid=$!
}
told() {
  kill -TERM "$1"
  wait "$1"
}

# Longer than a neighbour is believed unasked, 30 s: the router is asked again under messages. It
# asks nothing itself meanwhile, which would do as well.
asks_the_router_again() {
  local peer asked family counters=(arp_requests_sent solicitations_sent) before=() clients=() result=0
  for family in ipv4 ipv6; do
    in_host r sysctl -qw "net.$family.neigh.wa.base_reachable_time_ms=3600000" || return 1
  done
  before=("$(counter a "${counters[0]}")" "$(counter a "${counters[1]}")")
  for peer in 10.52.0.2:7000 "[fd52::2]:7000"; do
    until_told "$work/client-${#clients[@]}.log" --peer "$peer" --size 500 --window 1
    clients+=("$started_pid")
  done
  for asked in 0 1; do
    eventually reaches a "${counters[asked]}" $((before[asked] + 1)) ||
      { echo "${before[asked]} questions and no more"; result=1; }
  done
  for asked in 0 1; do
    told "${clients[asked]}" || { cat "$work/client-$asked.log"; result=1; }
  done
  return $result
}

test_routers() {
  routed_network || { skip_all "no routed network"; return; }
  if sidecar a --address 10.51.0.2/24 --gateway 10.51.0.254 --address fd51::2/64 --gateway fd51::fe &&
    sidecar b --address 10.52.0.2/24 --gateway 10.52.0.254 --address fd52::2/64 --gateway fd52::fe &&
    serve b; then
    check "netmask and gateway" echoes_both_ways
    check "the router is asked again under messages" asks_the_router_again
    check "the router changes its MAC address, IPv4" echoes_with_a_new_router 10.52.0.2:7000 \
      "$(mac_of 67)"
    check "the router changes its MAC address, IPv6" echoes_with_a_new_router "[fd52::2]:7000" \
      "$(mac_of 68)"
  else
    skip_all "no sidecars behind the router"
  fi
  end_processes
  if sidecar a --address 10.51.0.2/32 --gateway 10.51.0.254 --address fd51::2/128 --gateway fe80::1 &&
    sidecar b --address 10.52.0.2/32 --gateway 10.52.0.254 --address fd52::2/128 --gateway fd52::fe &&
    serve b; then
    check "single addresses and on-link gateways" echoes_both_ways
  else
    skip_all "no sidecars with single addresses"
  fi
  end_processes
  # The way to the other network is a route; the gateway for everything else does not exist.
  if sidecar a --address 10.51.0.2/24 --gateway 10.51.0.77 --route "10.52.0.0/24 via 10.51.0.254" \
    --address fd51::2/64 --gateway fd51::77 --route "fd52::/64 via fd51::fe" &&
    sidecar b --address 10.52.0.2/24 --route "10.51.0.0/24 via 10.52.0.254" \
      --address fd52::2/64 --route "fd51::/64 via fe80::1" && serve b; then
    check "static routes" echoes_both_ways
  else
    skip_all "no sidecars with static routes"
  fi
  end_processes
  # One network for both, whose router answers every question in it.
  in_host r sysctl -qw net.ipv4.conf.wa.proxy_arp=1 net.ipv4.conf.wb.proxy_arp=1 \
    net.ipv6.conf.wa.proxy_ndp=1 net.ipv6.conf.wb.proxy_ndp=1
  ip -n "$tag-r" -6 neigh add proxy fd52::2 dev wa
  ip -n "$tag-r" -6 neigh add proxy fd51::2 dev wb
  if sidecar a --address 10.51.0.2/8 --address fd51::2/8 &&
    sidecar b --address 10.52.0.2/8 --address fd52::2/8 && serve b; then
    check "a gateway that answers every question" echoes_both_ways
  else
    skip_all "no sidecars behind the proxy"
  fi
}

# --- VLANs ---

# A kernel without VLAN devices gets one made of a tap device and this.
tap_vlan() {
  python3 - <<'PYTHON'
import fcntl, os, select, socket, struct
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH", b"wire0.5", 0x1002))  # TUNSETIFF: TAP, NO_PI
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("wire0", 3))
wire.setsockopt(263, 8, 1)  # PACKET_AUXDATA: the kernel takes tags off
print("made", flush=True)
while True:
    for fd in select.select([tap, wire], [], [])[0]:
        if fd == tap:
            frame = os.read(tap, 2048)
            wire.send(frame[:12] + struct.pack("!HH", 0x8100, 5) + frame[12:])
            continue
        frame, extra, _, sender = wire.recvmsg(2048, 128)
        tags = [struct.unpack("IIIHHHH", data)[5] for _, kind, data in extra if kind == 8
                and struct.unpack("IIIHHHH", data)[0] & 0x10]
        if sender[2] != 4 and tags and tags[0] & 0xFFF == 5: os.write(tap, frame)
PYTHON
}

tagged_interface() {
  if ip -n "$tag-k" link add link wire0 name wire0.5 type vlan id 5 2>/dev/null; then
    echo "VLAN by the kernel's own device"
  else
    echo "VLAN by a tap device: this kernel has no 802.1Q"
    start_in k bash -c "$(declare -f tap_vlan); tap_vlan" >"$work/tap.log" 2>&1
    wait_for made "$work/tap.log" || return 1
    ip -n "$tag-k" link set wire0.5 address "$(mac_of 3)"
  fi
  ip -n "$tag-k" link set wire0.5 mtu 1496 up
  ip -n "$tag-k" addr add 10.55.0.3/24 dev wire0.5
  ip -n "$tag-k" addr add fd55::3/64 dev wire0.5
}

test_vlan() {
  make_host br a b k || { skip_all "no hosts for a VLAN"; return; }
  ip -n "$tag-br" link add br0 type bridge
  ip -n "$tag-br" link set br0 up
  local n=0 host
  for host in a b k; do
    n=$((n + 1))
    wire br "p$n" "$(mac_of $((16 + n)))" "$host" wire0 "$(mac_of $n)" ||
      { skip_all "no wires for a VLAN"; return; }
    ip -n "$tag-br" link set "p$n" master br0
  done
  ip -n "$tag-k" addr add 10.56.0.3/24 dev wire0
  if tagged_interface &&
    sidecar a --vlan 5 --address 10.55.0.1/24 --address fd55::1/64 &&
    sidecar b --vlan 5 --address 10.55.0.2/24 --address fd55::2/64 && serve b; then
    check "the kernel pings into the VLAN, IPv4" pings k 10.55.0.1 64 512 1400 1468
    check "the kernel pings into the VLAN, IPv6" pings k fd55::1 64 512 1400 1448
    check "echo within the VLAN, IPv4" echoes a 10.55.0.2:7000 20000 300
    check "echo within the VLAN, IPv6" echoes a "[fd55::2]:7000" 20000 300
    in_host k ping -n -q -c 1 -W 1 10.56.0.77 >/dev/null 2>&1 # asks everybody, without a tag
    check "frames without the tag are refused by name" eventually reaches a wrong_vlan 1
  else
    skip_all "no sidecars on a VLAN"
  fi
}

for network in "${@:4}" bridge fabric wide routers vlan; do
  "test_$network"
  remove_hosts
  (($# > 3)) && break # one, by name
done
echo "$passed passed, $failed failed"
((failed == 0))
