// L2: what the simulated network and ports do with a frame; included by nic/sim.hpp only.
#pragma once
#include <optional>

#include <proa/nic/sim.hpp>

namespace proa {

namespace detail {

inline MacAddress sim_mac(const std::byte* at) noexcept {
  MacAddress mac;
  std::memcpy(mac.octets.data(), at, mac.octets.size());
  return mac;
}

inline std::uint64_t sim_scramble(std::uint64_t v) noexcept { return Prng{v}.next(); }

/// What a NIC's hash looks at: the addresses folded to 64 bits each, the UDP or TCP ports.
struct SimHashInput {
  std::uint64_t source = 0, destination = 0;
  std::uint16_t source_port = 0, destination_port = 0;
};

inline std::optional<SimHashInput> sim_hash_input(std::span<const std::byte> frame) noexcept {
  if (frame.size() < 14 + 28) return std::nullopt;
  const bool tagged = load_be<std::uint16_t>(frame.data() + 12) == 0x8100;
  const std::size_t eth = tagged ? 18 : 14;
  if (frame.size() < eth + 28) return std::nullopt;
  const std::byte* ip = frame.data() + eth;
  const auto type = load_be<std::uint16_t>(ip - 2);
  SimHashInput in;
  std::size_t at = eth;
  std::byte protocol{};
  if (type == 0x0800) {
    in.source = load_be<std::uint32_t>(ip + 12);
    in.destination = load_be<std::uint32_t>(ip + 16);
    at += (std::to_integer<std::size_t>(ip[0]) & 0xfU) * 4;
    protocol = ip[9];
  } else if (type == 0x86dd && frame.size() >= eth + 48) {
    in.source = load_be<std::uint64_t>(ip + 8) ^ load_be<std::uint64_t>(ip + 16);
    in.destination = load_be<std::uint64_t>(ip + 24) ^ load_be<std::uint64_t>(ip + 32);
    at += 40;
    protocol = ip[6];
  } else {
    return std::nullopt;
  }
  const bool has_ports = protocol == std::byte{17} || protocol == std::byte{6};
  if (has_ports && at + 4 <= frame.size()) {
    in.source_port = load_be<std::uint16_t>(frame.data() + at);
    in.destination_port = load_be<std::uint16_t>(frame.data() + at + 2);
  }
  return in;
}

}  // namespace detail

inline std::uint32_t SimPort::queue_of(std::span<const std::byte> frame) const noexcept {
  using detail::sim_scramble;
  const auto in = detail::sim_hash_input(frame);
  if (!in) return 0;  // ARP and the like: the first queue, as usual
  std::uint64_t hash = secret_;
  switch (options_.rss) {
    case SimRss::opaque:
      hash = sim_scramble(hash ^ in->source);
      hash = sim_scramble(hash ^ in->destination);
      hash = sim_scramble(hash ^ (std::uint64_t{in->source_port} << 16U) ^ in->destination_port);
      break;
    case SimRss::symmetric:
      hash = sim_scramble(hash ^ in->source) ^ sim_scramble(hash ^ in->destination) ^
             sim_scramble(hash + in->source_port) ^ sim_scramble(hash + in->destination_port);
      break;
    case SimRss::ordered: {
      const auto end = [](std::uint64_t address, std::uint16_t port) {
        return (address & 0xffffU) << 16U | port;
      };
      const auto [lower, upper] = std::minmax(
          {end(in->source, in->source_port), end(in->destination, in->destination_port)});
      hash = sim_scramble(sim_scramble(hash ^ lower) ^ upper) & 0xffffU;
      break;
    }
    case SimRss::low_bits:
      hash = (in->source_port ^ in->destination_port) & 0x7U;
      break;
    case SimRss::constant:
      break;
  }
  return static_cast<std::uint32_t>(hash % queues_.size());
}

inline void SimPort::receive(detail::SimBuffer* buffer) noexcept {
  const std::span<const std::byte> frame{buffer->data, buffer->length};
  auto& queue = queues_[queue_of(frame)];
  if (!wants(detail::sim_mac(buffer->data))) return network_->give_back(buffer);
  if (buffer->length > options_.frame_bytes_max) {
    ++queue.counters.rx_errors;
    return network_->give_back(buffer);
  }
  if (queue.rx.size() >= options_.descriptors) {
    ++queue.counters.rx_missed;
    return network_->give_back(buffer);
  }
  queue.rx.push_back(buffer);
}

inline bool SimPort::transmit(Instant now, detail::SimQueue& queue, Packet& packet) noexcept {
  if (queue.tx.size() >= options_.descriptors) return false;
  PROA_CHECK(packet);
  const bool asks_for_checksum =
      packet.has(PacketFlag::tx_ip_checksum) || packet.has(PacketFlag::tx_udp_checksum);
  auto* buffer = static_cast<detail::SimBuffer*>(packet.handle());
  buffer->data = packet.bytes().data();
  buffer->length = packet.length();
  (void)packet.release_handle();
  packet = Packet{};
  PROA_CHECK(queue.held > 0);
  --queue.held;
  constexpr std::uint32_t ethernet_header = 14;
  if (!link_up_ || buffer->length < ethernet_header || buffer->length > options_.frame_bytes_max ||
      asks_for_checksum) {
    ++queue.counters.tx_errors;
    network_->give_back(buffer);
    return true;
  }
  ++queue.counters.tx_packets;
  queue.counters.tx_bytes += buffer->length;
  up_busy_ = std::max(now, up_busy_) + wire_time(buffer->length);
  if (up_busy_ > now) queue.tx.push_back(up_busy_);
  if (up_loss_.loses(options_.link.to_switch, network_->prng_)) {
    ++network_->counters_.link_losses;
    network_->give_back(buffer);
  } else {
    network_->schedule(up_busy_ + options_.link.delay, buffer, index_, true);
  }
  return true;
}

inline bool SimNetwork::step() noexcept {
  std::pop_heap(events_.begin(), events_.end(),
                [](const auto& a, const auto& b) { return a.after(b); });
  const detail::SimEvent event = events_.back();
  events_.pop_back();
  if (event.at_switch && event.clogged_to != detail::SimEvent::no_port) {
    pass(event.at, event.buffer, event.port, event.clogged_to);
    return false;
  }
  if (event.at_switch) {
    forward(event.at, event.buffer, event.port);
    return false;
  }
  SimPort* port = ports_[event.port];
  if (port == nullptr || !port->link_up_) {
    ++counters_.port_gone;
    give_back(event.buffer);
    return false;
  }
  mix(static_cast<std::uint64_t>(event.at.time_since_epoch().count()));
  mix((std::uint64_t{event.port} << 32U) | event.buffer->length);
  mix(load_be<std::uint64_t>(event.buffer->data + event.buffer->length - 8));
  port->receive(event.buffer);
  return true;
}

inline void SimNetwork::learn(MacAddress mac, std::uint32_t port) {
  if (mac.is_multicast()) return;
  for (auto& [known, at] : learned_)
    if (known == mac) return void(at = port);
  if (learned_.size() < learned_max) learned_.emplace_back(mac, port);
}

inline std::optional<std::uint32_t> SimNetwork::port_of(MacAddress mac) const noexcept {
  if (switching_ == SimSwitching::learning) {
    for (const auto& [known, at] : learned_)
      if (known == mac) return at;
    return std::nullopt;
  }
  for (std::size_t i = 0; i < ports_.size(); ++i)
    if (ports_[i] != nullptr && ports_[i]->options_.mac == mac)
      return static_cast<std::uint32_t>(i);
  return std::nullopt;
}

inline void SimNetwork::forward(Instant at, detail::SimBuffer* buffer,
                                std::uint32_t from) noexcept {
  const MacAddress to = detail::sim_mac(buffer->data);
  if (switching_ == SimSwitching::learning) learn(detail::sim_mac(buffer->data + 6), from);
  if (to.is_multicast()) return flood(at, buffer, from);
  if (const auto port = port_of(to)) {
    if (*port == from) return give_back(buffer);  // a switch does not send a frame back
    return pass(at, buffer, from, *port);
  }
  if (switching_ == SimSwitching::learning) return flood(at, buffer, from);
  ++counters_.unknown_mac;
  give_back(buffer);
}

inline void SimNetwork::flood(Instant at, detail::SimBuffer* buffer, std::uint32_t from) noexcept {
  ++counters_.flooded;
  for (std::uint32_t i = 0; i < ports_.size(); ++i) {
    if (i == from || ports_[i] == nullptr) continue;
    detail::SimBuffer* copy = take_buffer();
    copy->length = buffer->length;
    std::memcpy(copy->data, buffer->data, buffer->length);
    pass(at, copy, from, i);
  }
  give_back(buffer);
}

/// From the switch's ingress to the queue of a port, unless the path between the two is faulty.
inline void SimNetwork::pass(Instant at, detail::SimBuffer* buffer, std::uint32_t from,
                             std::uint32_t to) noexcept {
  for (const SimPathFault& fault : path_faults_) {
    if (fault.from != from || fault.to != to) continue;
    if (fault.cut) {
      ++counters_.cut;
      return give_back(buffer);
    }
    if (fault.clogged_until > at) return schedule(fault.clogged_until, buffer, from, true, to);
  }
  queue_for(at, buffer, to);
}

inline void SimNetwork::queue_for(Instant at, detail::SimBuffer* buffer,
                                  std::uint32_t to) noexcept {
  SimPort* port = ports_[to];
  if (port == nullptr || !port->link_up_) {
    ++counters_.port_gone;
    return give_back(buffer);
  }
  const SimLinkOptions& link = port->options_.link;
  const std::uint64_t waiting = port->queued_bytes(at, port->down_busy_);
  if (waiting > link.queue_limit.value) {
    ++counters_.queue_drops;
    return give_back(buffer);
  }
  const bool marks = waiting > link.mark_above.value ||
                     (link.mark_ppm != 0 && prng_.chance(link.mark_ppm, 1'000'000));
  if (marks && detail::sim_mark_ce({buffer->data, buffer->length})) ++counters_.marked;
  ++counters_.forwarded;
  port->down_busy_ = std::max(at, port->down_busy_) + port->wire_time(buffer->length);
  if (port->down_loss_.loses(link.to_port, prng_)) {
    ++counters_.link_losses;
    return give_back(buffer);
  }
  schedule(port->down_busy_ + port->options_.link.delay, buffer, to, false);
}

}  // namespace proa
