// L1: the bodies of the packets that set a flow up or refuse it. They follow the 24-byte header.
//
//  syn      | incarnation 4 | server port 2 | client port 2 | message bytes max 4 |
//           | idle limit, ms 4 | cookie length 1 | cookie ... | padding to syn_bytes
//  syn_ack  | incarnation 4 | message bytes max 4 | idle limit, ms 4 |
//  retry    | cookie length 1 | cookie ... |
//  refuse   | reason 1 |
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include <proa/base/bytes.hpp>
#include <proa/base/reason.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/header.hpp>

namespace proa {

/// A SYN is padded to this size, trailer included, so that its answer never amplifies.
inline constexpr std::size_t syn_bytes = 1200;
inline constexpr std::size_t cookie_bytes_max = 16;

struct SynBody {
  static constexpr std::size_t size = 17;  // without the cookie

  std::uint32_t incarnation = 0;  // random per start of the sender's stack
  std::uint16_t server_port = 0;  // application ports, not UDP ports
  std::uint16_t client_port = 0;
  std::uint32_t message_bytes_max = 0;
  std::uint32_t idle_limit_ms = 0;
  ByteView cookie;  // empty in a first SYN

  [[nodiscard]] static constexpr Drop parse(ByteView body, SynBody& out) noexcept {
    const auto r = FixedReader<size>::over(body);
    if (!r) return Drop::truncated;
    out.incarnation = r->be<std::uint32_t, 0>();
    out.server_port = r->be<std::uint16_t, 4>();
    out.client_port = r->be<std::uint16_t, 6>();
    out.message_bytes_max = r->be<std::uint32_t, 8>();
    out.idle_limit_ms = r->be<std::uint32_t, 12>();
    const std::size_t cookie_length = r->be<std::uint8_t, 16>();
    if (cookie_length > cookie_bytes_max || cookie_length > body.size() - 17)
      return Drop::bad_length;
    out.cookie = body.subspan(17, cookie_length);
    return Drop::none;
  }
  /// Writes the fields and the cookie; the caller pads. Returns the bytes written.
  constexpr std::size_t write(MutableBytes out) const noexcept {
    store_be(out.data(), incarnation);
    store_be(out.data() + 4, server_port);
    store_be(out.data() + 6, client_port);
    store_be(out.data() + 8, message_bytes_max);
    store_be(out.data() + 12, idle_limit_ms);
    out[16] = static_cast<std::byte>(cookie.size());
    for (std::size_t i = 0; i < cookie.size(); ++i) out[17 + i] = cookie[i];
    return 17 + cookie.size();
  }
};

struct SynAckBody {
  static constexpr std::size_t size = 12;

  std::uint32_t incarnation = 0;
  std::uint32_t message_bytes_max = 0;
  std::uint32_t idle_limit_ms = 0;

  [[nodiscard]] static constexpr Drop parse(ByteView body, SynAckBody& out) noexcept {
    const auto r = FixedReader<size>::over(body);
    if (!r) return Drop::truncated;
    out.incarnation = r->be<std::uint32_t, 0>();
    out.message_bytes_max = r->be<std::uint32_t, 4>();
    out.idle_limit_ms = r->be<std::uint32_t, 8>();
    return Drop::none;
  }
  constexpr void write(std::span<std::byte, size> out) const noexcept {
    const FixedWriter<size> w{out};
    w.be<0>(incarnation);
    w.be<4>(message_bytes_max);
    w.be<8>(idle_limit_ms);
  }
};

struct RetryBody {
  ByteView cookie;

  [[nodiscard]] static constexpr Drop parse(ByteView body, RetryBody& out) noexcept {
    if (body.empty()) return Drop::truncated;
    const std::size_t length = std::to_integer<std::uint8_t>(body[0]);
    if (length == 0 || length > cookie_bytes_max || length > body.size() - 1)
      return Drop::bad_length;
    out.cookie = body.subspan(1, length);
    return Drop::none;
  }
  /// Returns the bytes written.
  constexpr std::size_t write(MutableBytes out) const noexcept {
    out[0] = static_cast<std::byte>(cookie.size());
    for (std::size_t i = 0; i < cookie.size(); ++i) out[1 + i] = cookie[i];
    return 1 + cookie.size();
  }
};

struct RefuseBody {
  static constexpr std::size_t size = 1;
  Reason reason = Reason::connection_refused;

  [[nodiscard]] static constexpr Drop parse(ByteView body, RefuseBody& out) noexcept {
    if (body.size() < size) return Drop::truncated;
    out.reason = static_cast<Reason>(std::to_integer<std::uint8_t>(body[0]));
    return Drop::none;
  }
};

}  // namespace proa
