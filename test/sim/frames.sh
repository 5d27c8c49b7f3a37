#!/bin/bash
# tshark reads what simulated engines send, IPv4 and IPv6, tagged and not, and finds nothing wrong.
# usage: frames.sh SIM-ENGINES. Exit 77: no tshark here.
set -u
command -v tshark >/dev/null || { echo "tshark is not installed: skipped."; exit 77; }
capture=$(mktemp /tmp/proa-frames-XXXXXX.pcapng)
trap 'rm -f "$capture"' EXIT
"$1" --seeds 1 25 --pcap "$capture" || exit 1

# As they left the engines: what arrives may have been corrupted on the way. One word for each kind.
sent='frame.packet_flags_direction == 2'
report=$(tshark -n -r "$capture" -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -Y "$sent" \
  -T fields -e arp.opcode -e ip.version -e ipv6.version -e vlan.id -e icmpv6.type \
  -e ip.checksum.status -e udp.checksum.status -e icmpv6.checksum.status -e _ws.malformed \
  -E separator=, 2>/dev/null | awk -F, '
    { all++ }
    $1 != "" { arp++ }
    $2 == 4 { four++ }
    $3 == 6 { six++ }
    $4 != "" { tagged++ }
    $5 == 135 || $5 == 136 { neighbours++ }
    $5 == 143 { reports++ }
    $6 == 0 && $6 != "" || $7 == 0 && $7 != "" || $8 == 0 && $8 != "" || $9 != "" { wrong++; if (wrong < 5) print "wrong:", $0 }
    $3 == 6 && $7 != "" && $7 != 1 { unchecked++ }
    END { print all + 0, four + 0, six + 0, tagged + 0, arp + 0, neighbours + 0, reports + 0,
          wrong + 0, unchecked + 0 }')
echo "$report"
read -r all four six tagged arp neighbours reports wrong unchecked <<<"$(tail -n 1 <<<"$report")"
echo "$all frames: $four IPv4, $six IPv6, $tagged on a VLAN, $arp ARP, $neighbours neighbour discovery," \
  "$reports membership reports; $wrong malformed or with a wrong checksum, $unchecked IPv6 without one"
((wrong == 0 && unchecked == 0 && four > 1000 && six > 1000 && tagged > 500)) &&
  ((arp > 10 && neighbours > 20 && reports > 10))
