// L3: packets an engine sends on behalf of no flow: refusals, cookies and "unknown flow".
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include <proa/base/bytes.hpp>
#include <proa/base/reason.hpp>
#include <proa/transport/cookie.hpp>
#include <proa/transport/integrity.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/header.hpp>
#include <proa/wire/setup.hpp>

namespace proa {

/// What the engine itself reads of a packet that belongs to no flow yet.
struct VerifiedPacket {
  PacketHeader header;
  ByteView body;
};

/// Checks the packet's integrity and parses its header.
template <Integrity I>
[[nodiscard]] Drop verify_packet(ByteView datagram, VerifiedPacket& out) noexcept {
  const ByteView packet = I::open(datagram);
  if (packet.empty()) return Drop::bad_checksum;
  out.body = packet.subspan(PacketHeader::size);
  return PacketHeader::parse(packet, out.header);
}

namespace detail {

/// The answer's header: whatever the sender needs to recognise its own packet by.
inline PacketHeader answer_header(PacketType type, const PacketHeader& asked) noexcept {
  PacketHeader header;
  header.type = type;
  header.destination_flow = asked.source_flow;
  header.source_flow = asked.destination_flow;
  header.number = asked.number;
  return header;
}

}  // namespace detail

template <Integrity I>
inline constexpr std::size_t unknown_flow_bytes = PacketHeader::size + I::trailer_bytes;
template <Integrity I>
inline constexpr std::size_t refuse_bytes =
    PacketHeader::size + RefuseBody::size + I::trailer_bytes;

/// Answers a SYN that cannot be served; returns the bytes written.
template <Integrity I>
std::size_t write_refuse(MutableBytes out, const PacketHeader& syn, Reason why) noexcept {
  detail::answer_header(PacketType::refuse, syn).write(out.first<PacketHeader::size>());
  out[PacketHeader::size] = static_cast<std::byte>(why);
  I::seal(out.first(refuse_bytes<I>));
  return refuse_bytes<I>;
}

template <Integrity I>
inline constexpr std::size_t retry_bytes = PacketHeader::size + 1 + cookie_bytes + I::trailer_bytes;

/// Answers a SYN under load: it may come again with this cookie. Nothing is kept here.
template <Integrity I>
std::size_t write_retry(MutableBytes out, const PacketHeader& syn, const Cookie& cookie) noexcept {
  detail::answer_header(PacketType::retry, syn).write(out.first<PacketHeader::size>());
  RetryBody{cookie}.write(out.subspan(PacketHeader::size));
  I::seal(out.first(retry_bytes<I>));
  return retry_bytes<I>;
}

/// Answers a packet whose destination flow does not exist, echoing flow ids and packet number.
template <Integrity I>
std::size_t write_unknown_flow(MutableBytes out, const PacketHeader& asked) noexcept {
  detail::answer_header(PacketType::unknown_flow, asked).write(out.first<PacketHeader::size>());
  I::seal(out.first(unknown_flow_bytes<I>));
  return unknown_flow_bytes<I>;
}

}  // namespace proa
