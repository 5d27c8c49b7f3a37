// L1: the frames a data packet carries, and the bodies of the set-up packets.
//
//  padding  0x00  to the end of the packet
//  ping     0x01
//  ack64    0x02  | received bitmap 8  |   bit i: packet (largest acknowledged - 1 - i) arrived
//  ack512   0x03  | received bitmap 64 |   most significant word first, newest packets last
//  ecn      0x04  | CE-marked packets so far 4 |
//  whole    0x05  | length 2 | message number 4 | bytes
//  part     0x06  | length 2 | message number 4 | offset 4 | total 4 | bytes
//  want     0x07  | message number 4 | total 4 |         memory is asked for this message
//  fin      0x08  | number of the message after the last 4 |
//  reset    0x09  | reason 1 |
//  room     0x0a                            what was refused for want of memory has a place now
//
// Without an ack frame a packet whose header acknowledges says that all of the ack_window packets
// below the largest arrived. An ack frame comes first and says nothing about packets older than
// its bitmap. A count of CE marks comes next, or first: it belongs to the acknowledgement.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <proa/base/bytes.hpp>
#include <proa/base/reason.hpp>
#include <proa/base/seq.hpp>
#include <proa/wire/drop.hpp>

namespace proa {

enum class FrameType : std::uint8_t {
  padding = 0,
  ping = 1,
  ack64 = 2,
  ack512 = 3,
  ecn = 4,
  whole = 5,
  part = 6,
  want = 7,
  fin = 8,
  reset = 9,
  room = 10,
};

inline constexpr std::uint32_t ack_window = 512;  // packets below the largest that acks can name
inline constexpr std::size_t whole_frame_bytes = 7;
inline constexpr std::size_t part_frame_bytes = 15;
inline constexpr std::size_t want_frame_bytes = 9;
inline constexpr std::size_t ack64_frame_bytes = 9;
inline constexpr std::size_t ack512_frame_bytes = 65;
inline constexpr std::size_t ecn_frame_bytes = 5;
inline constexpr std::size_t fin_frame_bytes = 5;
inline constexpr std::size_t reset_frame_bytes = 2;

/// Which of the ack_window packets below the largest arrived: word 0 bit 0 is the newest of them.
struct AckBits {
  std::array<std::uint64_t, ack_window / 64> words;
  std::uint32_t count = ack_window;  // how many packets below the largest the bits speak of
  bool dense = true;                 // all of them arrived: `words` means nothing

  [[nodiscard]] constexpr bool arrived(std::uint32_t below) const noexcept {
    return dense || ((words[below / 64] >> (below % 64)) & 1U) != 0;
  }
};

/// One frame, in host order; only the fields of its type are meaningful. `bytes` points into the
/// packet and is valid as long as that is.
struct Frame {
  FrameType type = FrameType::padding;
  Reason reason = Reason::none;
  MessageNumber number;
  std::uint32_t offset = 0;
  std::uint32_t total = 0;  // want, whole, part: bytes of the whole message; ecn: the count
  ByteView bytes;
};

/// Walks the frames of a packet. Every length is checked before anything is read.
class FrameReader {
 public:
  constexpr explicit FrameReader(ByteView frames) noexcept : rest_(frames) {}

  /// An ack frame may only come first: takes it if it is there. False: it was cut short.
  [[nodiscard]] constexpr bool take_ack(AckBits& bits) noexcept {
    if (rest_.empty()) return true;
    const auto type = std::to_integer<std::uint8_t>(rest_[0]);
    const bool short_form = type == static_cast<std::uint8_t>(FrameType::ack64);
    if (!short_form && type != static_cast<std::uint8_t>(FrameType::ack512)) return true;
    const std::size_t size = short_form ? ack64_frame_bytes : ack512_frame_bytes;
    if (rest_.size() < size) return false;
    const std::size_t words = (size - 1) / 8;
    for (std::size_t i = 0; i < words; ++i)
      bits.words[words - 1 - i] = load_be<std::uint64_t>(rest_.data() + 1 + 8 * i);
    bits.count = static_cast<std::uint32_t>(words * 64);
    bits.dense = false;
    rest_ = rest_.subspan(size);
    return true;
  }

  /// Takes the count of CE marks if it is there, after the ack frame. False: it was cut short.
  [[nodiscard]] constexpr bool take_ecn(std::uint32_t& marked) noexcept {
    if (rest_.empty() || rest_[0] != static_cast<std::byte>(FrameType::ecn)) return true;
    Frame frame;
    if (!read_ecn(frame)) return false;
    marked = frame.total;
    return true;
  }

  /// The next frame: true, or false at the end or at a bad frame (then bad() is true).
  [[nodiscard]] constexpr bool next(Frame& out) noexcept {
    if (rest_.empty()) return false;
    out.type = static_cast<FrameType>(std::to_integer<std::uint8_t>(rest_[0]));
    switch (out.type) {
      case FrameType::padding:
        rest_ = {};
        return false;
      case FrameType::ping:
      case FrameType::room:
        return skip(1);
      case FrameType::ecn:
        return read_ecn(out);
      case FrameType::whole:
        return read_whole(out);
      case FrameType::part:
        return read_part(out);
      case FrameType::want:
        return read_want(out);
      case FrameType::fin:
        return read_fin(out);
      case FrameType::reset:
        return read_reset(out);
      case FrameType::ack64:
      case FrameType::ack512:
        break;
    }
    return fail();
  }
  [[nodiscard]] constexpr bool bad() const noexcept { return bad_; }

 private:
  constexpr bool fail() noexcept {
    bad_ = true;
    rest_ = {};
    return false;
  }
  constexpr bool skip(std::size_t size) noexcept {
    rest_ = rest_.subspan(size);
    return true;
  }
  constexpr bool read_payload(Frame& out, std::size_t head) noexcept {
    const std::size_t length = load_be<std::uint16_t>(rest_.data() + 1);
    if (rest_.size() - head < length) return fail();
    out.number = MessageNumber{load_be<std::uint32_t>(rest_.data() + 3)};
    out.bytes = rest_.subspan(head, length);
    return skip(head + length);
  }
  constexpr bool read_whole(Frame& out) noexcept {
    if (rest_.size() < whole_frame_bytes || !read_payload(out, whole_frame_bytes)) return fail();
    out.offset = 0;
    out.total = static_cast<std::uint32_t>(out.bytes.size());
    return true;
  }
  constexpr bool read_part(Frame& out) noexcept {
    if (rest_.size() < part_frame_bytes) return fail();
    out.offset = load_be<std::uint32_t>(rest_.data() + 7);
    out.total = load_be<std::uint32_t>(rest_.data() + 11);
    if (!read_payload(out, part_frame_bytes)) return false;
    const bool inside = out.offset <= out.total && out.bytes.size() <= out.total - out.offset;
    const bool useful = !out.bytes.empty() || out.total == 0;  // an empty part would say nothing
    return (inside && useful) || fail();
  }
  constexpr bool read_want(Frame& out) noexcept {
    if (rest_.size() < want_frame_bytes) return fail();
    out.number = MessageNumber{load_be<std::uint32_t>(rest_.data() + 1)};
    out.total = load_be<std::uint32_t>(rest_.data() + 5);
    return skip(want_frame_bytes);
  }
  constexpr bool read_ecn(Frame& out) noexcept {
    if (rest_.size() < ecn_frame_bytes) return fail();
    out.total = load_be<std::uint32_t>(rest_.data() + 1);
    return skip(ecn_frame_bytes);
  }
  constexpr bool read_fin(Frame& out) noexcept {
    if (rest_.size() < fin_frame_bytes) return fail();
    out.number = MessageNumber{load_be<std::uint32_t>(rest_.data() + 1)};
    return skip(fin_frame_bytes);
  }
  constexpr bool read_reset(Frame& out) noexcept {
    if (rest_.size() < reset_frame_bytes) return fail();
    out.reason = static_cast<Reason>(std::to_integer<std::uint8_t>(rest_[1]));
    return skip(reset_frame_bytes);
  }

  ByteView rest_;
  bool bad_ = false;
};

/// Appends frames to a packet under construction. Each call's size is the caller's promise
/// (room() >= the frame's size): the writer decides nothing.
class FrameWriter {
 public:
  explicit FrameWriter(MutableBytes out) noexcept : out_(out) {}

  [[nodiscard]] std::size_t size() const noexcept { return at_; }
  [[nodiscard]] std::size_t room() const noexcept { return out_.size() - at_; }

  void ping() noexcept { type(FrameType::ping); }
  void room_found() noexcept { type(FrameType::room); }
  void ack64(std::uint64_t bits) noexcept {
    type(FrameType::ack64);
    put(bits);
  }
  void ack512(const AckBits& bits) noexcept {
    type(FrameType::ack512);
    for (std::size_t i = bits.words.size(); i-- > 0;) put(bits.words[i]);
  }
  void ecn(std::uint32_t marked) noexcept {
    type(FrameType::ecn);
    put(marked);
  }
  void want(MessageNumber number, std::uint32_t total) noexcept {
    type(FrameType::want);
    put(number.wire());
    put(total);
  }
  void fin(MessageNumber after_last) noexcept {
    type(FrameType::fin);
    put(after_last.wire());
  }
  void reset(Reason reason) noexcept {
    type(FrameType::reset);
    put(static_cast<std::uint8_t>(reason));
  }
  /// Writes the head of a whole message and returns where its `length` bytes go.
  [[nodiscard]] MutableBytes whole(MessageNumber number, std::uint16_t length) noexcept {
    type(FrameType::whole);
    put(length);
    put(number.wire());
    return payload(length);
  }
  [[nodiscard]] MutableBytes part(MessageNumber number, std::uint32_t offset, std::uint32_t total,
                                  std::uint16_t length) noexcept {
    type(FrameType::part);
    put(length);
    put(number.wire());
    put(offset);
    put(total);
    return payload(length);
  }
  /// Zero bytes up to `size` in all: padding frames.
  void pad_to(std::size_t size) noexcept {
    while (at_ < size) out_[at_++] = std::byte{0};
  }

 private:
  void type(FrameType t) noexcept { put(static_cast<std::uint8_t>(t)); }
  template <std::unsigned_integral T>
  void put(T v) noexcept {
    store_be(out_.data() + at_, v);
    at_ += sizeof v;
  }
  MutableBytes payload(std::size_t length) noexcept {
    const auto where = out_.subspan(at_, length);
    at_ += length;
    return where;
  }

  MutableBytes out_;
  std::size_t at_ = 0;
};

}  // namespace proa
