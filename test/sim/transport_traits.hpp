// Simulation: the product's own flows in the two-host world.
#pragma once
#include <memory>
#include <span>
#include <string>

#include <proa/transport/flow.hpp>
#include <proa/wire/checksum.hpp>
#include <proa/wire/header.hpp>
#include <proa/wire/setup.hpp>

#include "world.hpp"

namespace proa::sim {

template <class Policy = DefaultTransportPolicy>
struct TransportTraits {
  using Flow = proa::Flow<CheckedMemory, Policy>;
  using Options = FlowOptions;
  using Setup = FlowSetup<Options>;

  static Options options(const Plan& plan) {
    Options out;
    out.message_bytes_max = plan.message_bytes_max;
    out.packet_bytes_max = plan.packet_bytes;
    out.incarnation = (static_cast<std::uint32_t>(plan.seed) | 1U) + 2 * plan.incarnation;
    out.congestion = plan.congestion;
    out.send_queue_bytes_max = plan.send_queue_bytes_max;
    out.credit_window_max = plan.credit_window_max;
    out.packets_in_flight_max = plan.packets_in_flight_max;
    out.idle_limit = plan.idle_limit;
    out.keepalive = plan.idle_limit / 3;
    return out;
  }
  /// Before each packet goes the UDP checksum, where the policy needs it.
  static constexpr std::size_t head_bytes = Policy::Integrity::needs_udp_checksum ? 2 : 0;
  static void write_head(std::span<std::byte> whole) {
    if constexpr (head_bytes != 0)
      store_be(whole.data(), internet_checksum(whole.subspan(head_bytes)));
  }
  static std::unique_ptr<Flow> connect(const Setup& setup) {
    FlowIdentity id = identity(setup, Role::client);
    return make(Role::client, id, setup);
  }
  static std::unique_ptr<Flow> accept(const Setup& setup, std::span<const std::byte> datagram) {
    PacketHeader header;
    SynBody syn;
    if (head_bytes != 0 && internet_checksum(datagram) != 0) return nullptr;
    if (datagram.size() < head_bytes) return nullptr;
    if (parse_syn(datagram.subspan(head_bytes), header, syn) != Drop::none) return nullptr;
    FlowIdentity id = identity(setup, Role::server);
    id.peer.port = syn.client_port;
    id.peer_id = header.source_flow;
    id.peer_incarnation = syn.incarnation;
    return make(Role::server, id, setup);
  }
  /// What the interface and the engine's dispatch do: the UDP checksum and a SYN are verified
  /// here, everything else by the flow.
  static Drop deliver(Flow& flow, const Arrival& arrival, std::span<const std::byte> datagram) {
    if constexpr (head_bytes != 0)
      if (internet_checksum(datagram) != 0) return Drop::bad_checksum;
    if (datagram.size() < head_bytes) return Drop::truncated;
    datagram = datagram.subspan(head_bytes);
    PacketHeader header;
    if (const Drop why = PacketHeader::parse(datagram, header); why != Drop::none) return why;
    if (header.type != PacketType::syn) {
      if (header.destination_flow != flow.identity().local_id) return Drop::unknown_flow;
      return flow.handle_datagram(arrival, datagram);
    }
    SynBody syn;
    if (const Drop why = parse_syn(datagram, header, syn); why != Drop::none) return why;
    if (header.source_flow != flow.identity().peer_id ||
        syn.incarnation != flow.identity().peer_incarnation)
      return Drop::wrong_incarnation;
    flow.accept_syn(header, syn, arrival);
    return Drop::none;
  }
  static std::string describe(std::span<const std::byte> datagram) {
    static constexpr std::array<const char*, 8> names{
        "data", "syn", "syn_ack", "retry", "refuse", "unknown_flow", "path_probe", "path_result"};
    if (datagram.size() < head_bytes) return "not a Proa packet";
    datagram = datagram.subspan(head_bytes);
    PacketHeader header;
    if (PacketHeader::parse(datagram, header) != Drop::none) return "not a Proa packet";
    std::string out = names[static_cast<std::size_t>(header.type)];
    (out += " ") += std::to_string(header.number.wire());
    ((out += " (") += std::to_string(datagram.size())) += " B)";
    (out += " credit ") += std::to_string(header.credit.wire());
    if (header.has(HeaderFlag::acks))
      (out += " acks ") += std::to_string(header.largest_acked.wire());
    if (header.type != PacketType::data || Policy::Integrity::open(datagram).empty()) return out;
    return out += frames(Policy::Integrity::open(datagram).subspan(PacketHeader::size));
  }

 private:
  static FlowIdentity identity(const Setup& setup, Role role) {
    const bool connects = role == Role::client;
    const auto port = static_cast<std::uint16_t>(4000 + setup.pair);
    const Endpoint a{IpAddress::v4(10, 0, 0, 1), port}, b{IpAddress::v4(10, 0, 0, 2), 7000};
    FlowIdentity id;
    id.local = connects ? a : b;
    id.peer = connects ? b : a;
    id.local_id = (connects ? 0x1111'0000U : 0x2222'0000U) + (setup.pair + 1) * 64 +
                  (setup.plan->incarnation << 12U);
    return id;
  }
  /// First packet numbers are random; in a quarter of the runs they wrap soon (TEST-MATRIX A22).
  static std::unique_ptr<Flow> make(Role role, const FlowIdentity& id, const Setup& setup) {
    std::uint64_t seed = setup.seed;
    if (seed % 4 == 0) seed = 0xffff'ffffU - (seed >> 8U) % 300;
    if (setup.plan->first_number) seed = *setup.plan->first_number;
    return std::make_unique<Flow>(role, id, *setup.options, *setup.memory, *setup.scratch, seed,
                                  setup.now, setup.deadline);
  }
  static Drop parse_syn(std::span<const std::byte> datagram, PacketHeader& header, SynBody& syn) {
    if (const Drop why = PacketHeader::parse(datagram, header); why != Drop::none) return why;
    if (header.type != PacketType::syn) return Drop::bad_type;
    const auto packet = Policy::Integrity::open(datagram);
    if (packet.empty()) return Drop::bad_checksum;
    return SynBody::parse(packet.subspan(PacketHeader::size), syn);
  }
  static std::string frames(std::span<const std::byte> in) {
    static constexpr std::array<const char*, 11> names{"padding", "ping",  "ack64", "ack512",
                                                       "ecn",     "whole", "part",  "want",
                                                       "fin",     "reset", "room"};
    std::string out;
    FrameReader reader{in};
    AckBits bits;
    if (!reader.take_ack(bits)) return " [bad ack]";
    if (!bits.dense) out += " [ack bits]";
    for (Frame frame; reader.next(frame);) {
      (out += " [") += names[static_cast<std::size_t>(frame.type)];
      (out += " ") += std::to_string(frame.number.wire());
      if (frame.type == FrameType::part) (out += " at ") += std::to_string(frame.offset);
      (out += " ") += std::to_string(frame.bytes.size());
      ((out += "/") += std::to_string(frame.total)) += "]";
    }
    return out;
  }
};

}  // namespace proa::sim
