// Fuzzing: what a Proa packet says: header, every frame, the bodies of the set-up packets. The
// trailer is made valid first, since a fuzzer does not guess checksums.
#include <array>
#include <vector>

#include <proa/transport/integrity.hpp>
#include <proa/wire/frames.hpp>
#include <proa/wire/header.hpp>
#include <proa/wire/path.hpp>
#include <proa/wire/setup.hpp>

#include "input.hpp"

namespace proa::fuzz {
namespace {

/// Writes a parsed frame again; its bytes are those it was read from.
void write(FrameWriter& out, const Frame& frame) {
  const auto copy = [&](MutableBytes to) {
    std::copy(frame.bytes.begin(), frame.bytes.end(), to.begin());
  };
  const auto length = static_cast<std::uint16_t>(frame.bytes.size());
  switch (frame.type) {
    case FrameType::ping:
      return out.ping();
    case FrameType::ecn:
      return out.ecn(frame.total);
    case FrameType::whole:
      return copy(out.whole(frame.number, length));
    case FrameType::part:
      return copy(out.part(frame.number, frame.offset, frame.total, length));
    case FrameType::want:
      return out.want(frame.number, frame.total);
    case FrameType::fin:
      return out.fin(frame.number);
    case FrameType::reset:
      return out.reset(frame.reason);
    case FrameType::room:
      return out.room_found();
    case FrameType::padding:
    case FrameType::ack64:
    case FrameType::ack512:
      break;
  }
  fail("the reader gave a frame that is none");
}

void frames(ByteView bytes) {
  FrameReader reader{bytes};
  AckBits bits;
  if (!reader.take_ack(bits)) return;
  std::vector<std::byte> built(bytes.size());
  FrameWriter writer{built};
  if (!bits.dense) {
    demand(bits.count == 64 || bits.count == ack_window, "an ack frame of no known length");
    if (bits.count == 64)
      writer.ack64(bits.words[0]);
    else
      writer.ack512(bits);
  }
  for (Frame frame; reader.next(frame);) {
    const bool carries = frame.type == FrameType::whole || frame.type == FrameType::part;
    demand(!carries || std::uint64_t{frame.offset} + frame.bytes.size() <= frame.total,
           "a part reaches past its message");
    write(writer, frame);
  }
  demand(same(ByteView{built}.first(writer.size()), bytes.first(writer.size())),
         "frames round trip");
}

void syn(ByteView body) {
  SynBody parsed;
  if (SynBody::parse(body, parsed) != Drop::none) return;
  std::array<std::byte, SynBody::size + cookie_bytes_max> built{};
  const std::size_t size = parsed.write(built);
  demand(same(ByteView{built}.first(size), body.first(size)), "SYN round trip");
}
void syn_ack(ByteView body) {
  SynAckBody parsed;
  if (SynAckBody::parse(body, parsed) != Drop::none) return;
  std::array<std::byte, SynAckBody::size> built{};
  parsed.write(built);
  demand(same(built, body.first(built.size())), "SYN-ACK round trip");
}
void retry(ByteView body) {
  RetryBody parsed;
  if (RetryBody::parse(body, parsed) != Drop::none) return;
  std::array<std::byte, 1 + cookie_bytes_max> built{};
  const std::size_t size = parsed.write(built);
  demand(same(ByteView{built}.first(size), body.first(size)), "RETRY round trip");
}
template <class Body>
void path(ByteView body) {
  Body parsed;
  if (Body::parse(body, parsed) != Drop::none) return;
  std::array<std::byte, Body::size> built{};
  parsed.write(built);
  demand(same(built, body.first(built.size())), "path packet round trip");
}
void refuse(ByteView body) {
  RefuseBody parsed;
  if (RefuseBody::parse(body, parsed) == Drop::none)
    demand(!text(parsed.reason).empty(), "a reason without words");
}

void body(PacketType type, ByteView bytes) {
  switch (type) {
    case PacketType::data:
      return frames(bytes);
    case PacketType::syn:
      return syn(bytes);
    case PacketType::syn_ack:
      return syn_ack(bytes);
    case PacketType::retry:
      return retry(bytes);
    case PacketType::refuse:
      return refuse(bytes);
    case PacketType::path_probe:
      return path<PathProbeBody>(bytes);
    case PacketType::path_result:
      return path<PathResultBody>(bytes);
    case PacketType::unknown_flow:
      return;  // the header says it all
  }
  fail("the header has a type that is none");
}

}  // namespace

void run(ByteView bytes) {
  PacketHeader header;
  if (PacketHeader::parse(bytes, header) != Drop::none) return;
  std::array<std::byte, PacketHeader::size> built{};
  header.write(built);
  demand(same(built, bytes.first(built.size())), "header round trip");
  body(header.type, bytes.subspan(PacketHeader::size));

  demand(UdpChecksum::open(bytes).empty() ==
             (header.has(HeaderFlag::trailer) && Crc32c::open(bytes).empty()),
         "the two integrity policies disagree about a trailer");
  std::vector<std::byte> sealed(bytes.begin(), bytes.end());
  sealed.resize(sealed.size() + Crc32c::trailer_bytes);
  Crc32c::seal(sealed);
  demand(Crc32c::open(sealed).size() == bytes.size(), "a sealed packet does not open");
}

}  // namespace proa::fuzz
