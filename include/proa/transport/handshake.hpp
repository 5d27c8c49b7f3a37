// L2: builds the packets that set a flow up or refuse it. Sealing is the caller's.
#pragma once
#include <algorithm>
#include <cstddef>

#include <proa/transport/credit.hpp>
#include <proa/transport/identity.hpp>
#include <proa/transport/options.hpp>
#include <proa/wire/setup.hpp>

namespace proa::detail {

/// Writes a SYN of syn_bytes including `trailer_bytes`; returns its size.
inline std::size_t write_syn(MutableBytes out, PacketHeader header, const FlowIdentity& flow,
                             const FlowOptions& options, ByteView cookie) noexcept {
  header.type = PacketType::syn;
  header.write(out.first<PacketHeader::size>());
  SynBody body;
  body.incarnation = options.incarnation;
  body.server_port = flow.peer.port;
  body.client_port = flow.local.port;
  body.message_bytes_max = options.message_bytes_max;
  body.idle_limit_ms = to_ms(options.idle_limit);
  body.cookie = cookie;
  const std::size_t used = PacketHeader::size + body.write(out.subspan(PacketHeader::size));
  const std::size_t size = std::min(syn_bytes, out.size());
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(used),
            out.begin() + static_cast<std::ptrdiff_t>(size), std::byte{0});
  return size;
}

/// Writes a SYN-ACK without a trailer; returns its size.
inline std::size_t write_syn_ack(MutableBytes out, PacketHeader header,
                                 const FlowOptions& options) noexcept {
  header.type = PacketType::syn_ack;
  header.write(out.first<PacketHeader::size>());
  SynAckBody body;
  body.incarnation = options.incarnation;
  body.message_bytes_max = options.message_bytes_max;
  body.idle_limit_ms = to_ms(options.idle_limit);
  body.write(out.subspan<PacketHeader::size, SynAckBody::size>());
  return PacketHeader::size + SynAckBody::size;
}

}  // namespace proa::detail
