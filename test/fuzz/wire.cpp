// Fuzzing: the parsers of what is around a Proa packet: Ethernet with VLAN tags, ARP, IPv4, IPv6,
// UDP, ICMP, ICMPv6, what they quote, and addresses as text. The first byte of an input chooses the
// parser.
#include <array>
#include <vector>

#include <proa/wire/address_text.hpp>
#include <proa/wire/arp.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/icmp.hpp>
#include <proa/wire/icmpv6.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/ipv6.hpp>
#include <proa/wire/packet_too_big.hpp>
#include <proa/wire/udp.hpp>

#include "input.hpp"

namespace proa::fuzz {
namespace {

[[nodiscard]] bool inside(ByteView part, ByteView whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void ethernet(ByteView bytes) {
  const auto frame = parse_ethernet(bytes);
  if (!frame) return demand(frame.error() != Drop::none, "refused without a reason");
  demand(inside(frame->payload, bytes), "Ethernet payload outside the frame");
  std::array<std::byte, ethernet_header_bytes_max> built{};
  (void)write_link(built, {frame->destination, frame->source, frame->vlan}, frame->type);
  const auto second = parse_ethernet(built);
  demand(second && second->destination == frame->destination && second->source == frame->source &&
             second->vlan == frame->vlan && second->type == frame->type,
         "Ethernet round trip");
}

void arp(ByteView bytes) {
  const auto packet = parse_arp(bytes);
  if (!packet) return demand(packet.error() != Drop::none, "refused without a reason");
  std::array<std::byte, arp_bytes> built{};
  write_arp(built, *packet);
  demand(same(built, bytes.first(built.size())), "ARP round trip");
}

/// A copy whose IPv4 header checksum is right, where there is a whole header.
std::vector<std::byte> with_ipv4_checksum(ByteView bytes) {
  std::vector<std::byte> out(bytes.begin(), bytes.end());
  if (out.size() < ipv4_header_bytes) return out;
  const std::size_t header = (std::to_integer<std::size_t>(out[0]) & 0xfU) * 4;
  if (header < ipv4_header_bytes || header > out.size()) return out;
  store_be<std::uint16_t>(out.data() + 10, 0);
  store_be(out.data() + 10, internet_checksum({out.data(), header}));
  return out;
}

void udp(const IpPacket& ip) {
  const auto datagram = parse_udp(ip.payload);
  if (!datagram) return;
  demand(inside(datagram->bytes, ip.payload), "UDP datagram outside the IP payload");
  demand(datagram->payload().size() + udp_header_bytes == datagram->bytes.size(), "UDP length");
  (void)udp_checksum_ok(ip.source, ip.destination, *datagram);
}

void ipv4(ByteView bytes) {
  const auto fixed = with_ipv4_checksum(bytes);
  const auto packet = parse_ipv4(fixed);
  if (!packet) return demand(packet.error() != Drop::none, "refused without a reason");
  demand(inside(packet->payload, fixed), "IPv4 payload outside the packet");
  demand(packet->source.is_v4() && packet->destination.is_v4(), "IPv4 with other addresses");
  std::array<std::byte, ipv4_header_bytes> built{};
  write_ipv4(built, {packet->source, packet->destination, static_cast<IpProtocol>(packet->protocol),
                     packet->ecn, static_cast<std::uint16_t>(packet->payload.size())});
  std::vector<std::byte> again(built.begin(), built.end());
  again.insert(again.end(), packet->payload.begin(), packet->payload.end());
  if (again.size() > 0xffff) return;  // it had no options, ours has them left out: cannot be longer
  const auto second = parse_ipv4(again);
  demand(second && second->source == packet->source && second->destination == packet->destination &&
             second->protocol == packet->protocol && second->ecn == packet->ecn &&
             same(second->payload, packet->payload),
         "IPv4 round trip");
  udp(*packet);
}

void ipv6(ByteView bytes) {
  const auto packet = parse_ipv6(bytes);
  if (!packet) return demand(packet.error() != Drop::none, "refused without a reason");
  demand(inside(packet->payload, bytes), "IPv6 payload outside the packet");
  std::array<std::byte, ipv6_header_bytes> built{};
  write_ipv6(built, {packet->source, packet->destination, static_cast<IpProtocol>(packet->protocol),
                     packet->ecn, static_cast<std::uint16_t>(packet->payload.size())});
  std::vector<std::byte> again(built.begin(), built.end());
  again.insert(again.end(), packet->payload.begin(), packet->payload.end());
  const auto second = parse_ipv6(again);
  demand(second && second->source == packet->source && second->destination == packet->destination &&
             second->protocol == packet->protocol && second->ecn == packet->ecn &&
             same(second->payload, packet->payload),
         "IPv6 round trip");
  udp(*packet);
}

/// What is quoted of a packet that was too big ends where the message does; behind `headers` bytes.
template <class Message>
void packet_too_big(const Message& message, std::size_t headers, bool v4) {
  const auto quoted = parse_packet_too_big(message);
  if (!quoted) return demand(quoted.error() != Drop::none, "refused without a reason");
  const ByteView whole = message.bytes;
  demand(inside(quoted->bytes, whole) &&
             quoted->bytes.data() + quoted->bytes.size() == whole.data() + whole.size(),
         "a quoted packet outside its message");
  demand(quoted->bytes.size() + headers <= whole.size(), "quoted bytes of the headers");
  demand(!v4 || (quoted->source.is_v4() && quoted->destination.is_v4()),
         "an IPv4 packet is quoted with other addresses");
}

void icmp(ByteView bytes) {
  std::vector<std::byte> fixed(bytes.begin(), bytes.end());
  if (fixed.size() >= icmp_header_bytes) {
    store_be<std::uint16_t>(fixed.data() + 2, 0);
    store_be(fixed.data() + 2, internet_checksum(fixed));
  }
  const auto message = parse_icmp(fixed);
  if (!message) return demand(message.error() != Drop::none, "refused without a reason");
  packet_too_big(*message, icmp_header_bytes + ipv4_header_bytes + udp_header_bytes, true);
  if (message->type != IcmpType::echo_request) return;
  std::vector<std::byte> reply(message->bytes.size());
  write_echo_reply(reply, *message);
  const auto parsed = parse_icmp(reply);
  demand(parsed && parsed->type == IcmpType::echo_reply, "the reply to an echo does not parse");
  demand(same(ByteView{reply}.subspan(4), message->bytes.subspan(4)), "an echo changed its data");
}

void neighbour(const IpPacket& ip, const Icmpv6Message& icmp) {
  const auto message = parse_neighbour(ip, icmp);
  if (!message) return;
  std::array<std::byte, ipv6_header_bytes + neighbour_message_bytes_max> built{};
  const std::size_t size = write_neighbour(built, ip.source, ip.destination, *message);
  const auto packet = parse_ipv6(ByteView{built}.first(size));
  const auto again = packet ? parse_icmpv6(*packet) : dropped(packet.error());
  demand(again.has_value(), "a neighbour message of ours does not parse");
  const auto second = parse_neighbour(*packet, *again);
  demand(second && second->advertisement == message->advertisement &&
             second->solicited == message->solicited && second->overrides == message->overrides &&
             second->target == message->target && second->link_address == message->link_address,
         "neighbour message round trip");
}

/// An IPv6 packet whose ICMPv6 checksum is made right.
void icmpv6(ByteView bytes) {
  std::vector<std::byte> fixed(bytes.begin(), bytes.end());
  const auto packet = parse_ipv6(fixed);
  if (!packet || packet->payload.size() < icmpv6_header_bytes) return;
  std::byte* at = fixed.data() + (packet->payload.data() - fixed.data());
  store_be<std::uint16_t>(at + 2, 0);
  store_be(at + 2, detail::icmpv6_checksum(packet->source, packet->destination, packet->payload));
  const auto message = parse_icmpv6(*packet);
  demand(message.has_value(), "a right ICMPv6 checksum is refused");
  packet_too_big(*message, icmpv6_header_bytes + ipv6_header_bytes + udp_header_bytes, false);
  if (message->type == Icmpv6Type::neighbour_solicitation ||
      message->type == Icmpv6Type::neighbour_advertisement)
    return neighbour(*packet, *message);
  if (message->type != Icmpv6Type::echo_request) return;
  std::vector<std::byte> reply(message->bytes.size());
  write_echo_reply(reply, *message);
  IpPacket back = *packet;
  std::swap(back.source, back.destination);
  back.payload = reply;
  demand(parse_icmpv6(back).has_value(), "the reply to an ICMPv6 echo does not parse");
}

void addresses(ByteView bytes) {
  const std::string_view text = Input{bytes}.text();
  if (const auto ip = parse_ip(text)) demand(parse_ip(to_text(*ip)) == ip, "IP address as text");
  if (const auto mac = parse_mac(text))
    demand(parse_mac(to_text(*mac)) == mac, "MAC address as text");
  if (const auto prefix = parse_prefix(text))
    demand(parse_prefix(to_text(*prefix)) == prefix, "prefix as text");
  if (const auto endpoint = parse_endpoint(text))
    demand(endpoint->port != 0 && parse_endpoint(to_text(*endpoint)) == endpoint,
           "endpoint as text");
}

constexpr std::array parsers{&ethernet, &arp, &ipv4, &ipv6, &icmp, &icmpv6, &addresses};

}  // namespace

void run(ByteView bytes) {
  Input in{bytes};
  const std::size_t parser = in.below(parsers.size());
  parsers[parser](in.rest());
}

}  // namespace proa::fuzz
