// Frames and set-up bodies: golden vectors, and that no byte string reads outside itself.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>
#include <proa/wire/frames.hpp>
#include <proa/wire/setup.hpp>

using namespace proa;

namespace {
template <std::size_t N>
ByteView view(const std::array<std::uint8_t, N>& bytes) {
  return std::as_bytes(std::span{bytes});
}
ByteView bytes_of(const char* text) { return std::as_bytes(std::span{text, std::strlen(text)}); }
}  // namespace

TEST_CASE("every frame is written as the head of frames.hpp says") {
  std::array<std::byte, 200> out{};
  FrameWriter w{out};
  w.ack64(0x0102'0304'0506'0708U);
  w.ecn(9);
  w.want(MessageNumber{5}, 0x0080'0000);
  w.fin(MessageNumber{6});
  w.reset(Reason::application_gone);
  w.ping();
  w.room_found();
  std::ranges::copy(bytes_of("hi"), w.whole(MessageNumber{1}, 2).begin());
  std::ranges::copy(bytes_of("abc"), w.part(MessageNumber{2}, 16, 70000, 3).begin());
  constexpr std::array<std::uint8_t, 59> golden{
      0x02, 1,  2, 3, 4, 5, 6,    7,   8,                                             // ack64
      0x04, 0,  0, 0, 9,                                                              // ecn
      0x07, 0,  0, 0, 5, 0, 0x80, 0,   0,                                             // want
      0x08, 0,  0, 0, 6,                                                              // fin
      0x09, 43,                                                                       // reset
      0x01,                                                                           // ping
      0x0a,                                                                           // room
      0x05, 0,  2, 0, 0, 0, 1,    'h', 'i',                                           // whole
      0x06, 0,  3, 0, 0, 0, 2,    0,   0,   0, 16, 0, 1, 0x11, 0x70, 'a', 'b', 'c'};  // part
  REQUIRE(w.size() == golden.size());
  CHECK(std::ranges::equal(std::span{out}.first(w.size()), view(golden)));

  FrameReader r{std::span{out}.first(w.size())};
  AckBits bits;
  REQUIRE(r.take_ack(bits));
  CHECK_FALSE(bits.dense);
  CHECK(bits.count == 64);
  CHECK(bits.words[0] == 0x0102'0304'0506'0708U);
  Frame f;
  REQUIRE(r.next(f));
  CHECK((f.type == FrameType::ecn && f.total == 9));
  REQUIRE(r.next(f));
  CHECK((f.type == FrameType::want && f.number == MessageNumber{5} && f.total == 8U << 20U));
  REQUIRE(r.next(f));
  CHECK((f.type == FrameType::fin && f.number == MessageNumber{6}));
  REQUIRE(r.next(f));
  CHECK((f.type == FrameType::reset && f.reason == Reason::application_gone));
  REQUIRE(r.next(f));
  CHECK(f.type == FrameType::ping);
  REQUIRE(r.next(f));
  CHECK(f.type == FrameType::room);
  REQUIRE(r.next(f));
  CHECK((f.type == FrameType::whole && f.total == 2 && f.offset == 0 && f.bytes.size() == 2));
  REQUIRE(r.next(f));
  CHECK((f.type == FrameType::part && f.total == 70000 && f.offset == 16 && f.bytes.size() == 3));
  CHECK_FALSE(r.next(f));
  CHECK_FALSE(r.bad());
}

TEST_CASE("the long ack frame keeps the order of its words") {
  std::array<std::byte, ack512_frame_bytes> out{};
  AckBits bits;
  for (std::size_t i = 0; i < bits.words.size(); ++i) bits.words[i] = i + 1;
  FrameWriter{out}.ack512(bits);
  CHECK(out[8] == std::byte{8});  // the oldest 64 packets come first
  CHECK(out[64] == std::byte{1});
  AckBits back;
  REQUIRE(FrameReader{out}.take_ack(back));
  CHECK(back.count == 512);
  CHECK(back.words == bits.words);
}

TEST_CASE("the count of CE marks is taken with the ack frame, and padding ends the packet") {
  std::array<std::byte, 20> out{};
  FrameWriter w{out};
  w.ack64(5);
  w.ecn(7);
  w.ping();
  FrameReader r{out};
  AckBits bits;
  std::uint32_t marked = 3;
  REQUIRE((r.take_ack(bits) && r.take_ecn(marked)));
  CHECK(marked == 7);
  Frame f;
  REQUIRE(r.next(f));
  CHECK(f.type == FrameType::ping);
  CHECK_FALSE(r.next(f));

  marked = 3;
  CHECK(FrameReader{ByteView{out}.first(0)}.take_ecn(marked));
  CHECK(FrameReader{out}.take_ecn(marked));  // something else
  CHECK(marked == 3);
  const ByteView cut = ByteView{out}.subspan(ack64_frame_bytes, ecn_frame_bytes - 1);
  CHECK_FALSE(FrameReader{cut}.take_ecn(marked));
  CHECK(marked == 3);
}

TEST_CASE("impossible parts are refused") {
  const auto refused = [](ByteView frames) {
    FrameReader r{frames};
    Frame f;
    return !r.next(f) && r.bad();
  };
  using B = std::array<std::uint8_t, 16>;
  CHECK(refused(view(B{6, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 9, 'x'})));  // past the total
  CHECK(refused(view(B{6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0})));    // says nothing
  CHECK(refused(
      view(B{6, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 'x'})));  // longer than the packet
  CHECK(
      refused(view(B{5, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})));  // longer than the packet
  CHECK(refused(view(B{2, 0, 0, 0, 0, 0, 0, 0, 0})));                      // ack not in front
  CHECK(refused(view(B{99})));                                             // unknown
  CHECK_FALSE(refused(view(B{6, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 9, 'x'})));
}

TEST_CASE("random bytes never make a frame that reaches outside the packet") {
  Prng prng{7};
  for (int i = 0; i < 200'000; ++i) {
    std::vector<std::byte> packet(prng.below(80));
    for (auto& b : packet)
      b = static_cast<std::byte>(prng.chance(1, 3) ? prng.below(10) : prng.next());
    FrameReader r{packet};
    AckBits bits;
    if (!r.take_ack(bits)) continue;
    Frame f;
    int frames = 0;
    while (r.next(f)) {
      REQUIRE(++frames <= 80);
      if (f.type != FrameType::whole && f.type != FrameType::part) continue;
      if (f.bytes.empty()) continue;
      REQUIRE(f.bytes.data() >= packet.data());
      REQUIRE(f.bytes.data() + f.bytes.size() <= packet.data() + packet.size());
      REQUIRE(f.offset + f.bytes.size() <= f.total);
    }
  }
}

TEST_CASE("SYN and SYN-ACK bodies survive the wire and refuse what is cut short") {
  std::array<std::byte, 64> out{};
  SynBody syn;
  syn.incarnation = 0x01020304;
  syn.server_port = 7000;
  syn.client_port = 40000;
  syn.message_bytes_max = 8U << 20U;
  syn.idle_limit_ms = 30'000;
  const std::array<std::byte, 3> cookie{std::byte{1}, std::byte{2}, std::byte{3}};
  syn.cookie = cookie;
  const std::size_t size = syn.write(out);
  CHECK(size == 20);
  CHECK(out[0] == std::byte{1});
  CHECK(out[5] == std::byte{0x58});  // 7000 = 0x1b58
  SynBody back;
  REQUIRE(SynBody::parse(std::span{out}.first(size), back) == Drop::none);
  CHECK(back.server_port == 7000);
  CHECK(back.idle_limit_ms == 30'000);
  CHECK(std::ranges::equal(back.cookie, cookie));
  CHECK(SynBody::parse(std::span{out}.first(16), back) == Drop::truncated);
  CHECK(SynBody::parse(std::span{out}.first(18), back) == Drop::bad_length);
  out[16] = std::byte{17};
  CHECK(SynBody::parse(out, back) == Drop::bad_length);

  std::array<std::byte, 12> ack{};
  SynAckBody{0x0a0b0c0d, 1U << 20U, 1000}.write(ack);
  CHECK(ack[3] == std::byte{0x0d});
  SynAckBody ack_back;
  REQUIRE(SynAckBody::parse(ack, ack_back) == Drop::none);
  CHECK(ack_back.message_bytes_max == 1U << 20U);
  CHECK(SynAckBody::parse(std::span{ack}.first(11), ack_back) == Drop::truncated);
}
