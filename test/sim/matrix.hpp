// Simulation: what the rows of TEST-MATRIX part A share: a look at what goes over the wire, and
// what came of it.
#pragma once
#include <cstdint>
#include <vector>

#include <catch2/catch.hpp>

#include "base_plan.hpp"
#include "probe_wait.hpp"

namespace proa::sim {

/// A message part a packet carries.
struct CarriedPart {
  std::uint32_t message = 0, offset = 0, length = 0;
};

/// What one packet is, as read from its bytes.
struct SeenPacket {
  Instant at;
  std::uint32_t to = 0;
  std::uint64_t index = 0;  // of its direction, from 0
  PacketType type = PacketType::data;
  std::uint32_t number = 0;
  std::uint32_t bytes = 0;
  bool eliciting = false;  // more than acknowledgement and credit
  std::vector<CarriedPart> parts;
};

inline SeenPacket look_at(const Passing& passing) {
  SeenPacket out{passing.now, passing.to, passing.index, {}, 0, 0, false, {}};
  out.bytes = static_cast<std::uint32_t>(passing.bytes.size());
  PacketHeader header;
  if (PacketHeader::parse(passing.bytes, header) != Drop::none) return out;
  out.type = header.type;
  out.number = header.number.wire();
  out.eliciting = header.type != PacketType::data;
  if (out.eliciting) return out;
  FrameReader reader{Crc32c::open(passing.bytes).subspan(PacketHeader::size)};
  AckBits bits;
  if (!reader.take_ack(bits)) return out;
  for (Frame frame; reader.next(frame);) {
    if (frame.type != FrameType::ecn) out.eliciting = true;
    if (frame.type != FrameType::whole && frame.type != FrameType::part) continue;
    out.parts.push_back(
        {frame.number.wire(), frame.offset, static_cast<std::uint32_t>(frame.bytes.size())});
  }
  return out;
}

/// The part is new, or was sent before.
class SentParts {
 public:
  bool is_new(const CarriedPart& part) {
    const std::uint64_t end = position(part.message, part.offset) + part.length;
    const bool fresh = end > sent_to_ || (part.length == 0 && end >= sent_to_);
    sent_to_ = std::max(sent_to_, end);
    return fresh;
  }

 private:
  static std::uint64_t position(std::uint32_t message, std::uint32_t offset) noexcept {
    return (std::uint64_t{message} << 32U) | offset;
  }
  std::uint64_t sent_to_ = 0;
};

/// Bits per nanosecond that reach the server's application from 10 ms on, over the next `messages`
/// messages; 0 if they do not come within `limit`.
inline double goodput(ProductScene& scene, std::uint64_t messages, Duration limit = 10s) {
  const Application& app = scene.app(server);
  (void)scene.run_until([] { return false; }, Instant{10ms});
  const std::uint64_t first = app.received() + 1;
  if (!scene.run_until([&] { return app.received() >= first; }, scene.now() + limit)) return 0;
  const Instant from = app.received_at();
  const std::uint64_t bytes = app.received_bytes();
  const bool came =
      scene.run_until([&] { return app.received() >= first + messages; }, scene.now() + limit);
  if (!came) return 0;
  return static_cast<double>(app.received_bytes() - bytes) * 8 /
         static_cast<double>((app.received_at() - from).count());
}

}  // namespace proa::sim
