// L2: what application, operator and sidecar say through the control socket. A wire format.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <proa/base/interface_info.hpp>
#include <proa/ipc/layout.hpp>

namespace proa {

inline constexpr std::uint32_t control_magic = 0x50524f41;  // "PROA"
inline constexpr std::uint16_t control_version = 1;
inline constexpr std::size_t control_bytes_max = 4096;

/// A dialogue: attach -> attached (with the descriptors of Send, Receive and the doorbell) or
/// refused; the application maps, confirm -> serving or refused. listen, unlisten -> done.
/// describe -> described: an interface the application may attach to, with a connection for each.
/// status -> text, in pieces. Who waits for attached or serving hears `patience` every second while
/// the sidecar makes the channel's memory. Anything else ends the connection, and the connection's
/// end is the application's.
enum class ControlType : std::uint16_t {
  attach = 1,
  attached = 2,
  refused = 3,
  confirm = 4,
  serving = 5,
  listen = 6,
  unlisten = 7,
  done = 8,
  status = 9,
  text = 10,
  patience = 11,
  describe = 12,
  described = 13,
};

struct ControlHead {
  std::uint32_t magic = control_magic;
  std::uint16_t version = control_version;
  std::uint16_t type = 0;
  std::uint32_t bytes = 0;    // of the whole message, head included
  std::uint32_t request = 0;  // chosen by the asker, repeated in the answer
};

template <std::size_t N>
using ControlText = std::array<char, N>;

template <std::size_t N>
[[nodiscard]] ControlText<N> control_text(std::string_view text) noexcept {
  ControlText<N> out{};
  std::copy_n(text.data(), std::min(text.size(), N), out.data());
  return out;
}
/// Up to the first zero byte, or all of it.
template <std::size_t N>
[[nodiscard]] std::string to_string(const ControlText<N>& text) {
  return {text.data(),
          static_cast<std::size_t>(std::find(text.begin(), text.end(), '\0') - text.begin())};
}

struct AttachMessage {
  static constexpr ControlType type = ControlType::attach;
  std::uint32_t layout_version = channel_layout_version;
  std::uint32_t flows_max = 0;  // wishes; 0: as the sidecar likes
  std::uint64_t send_bytes = 0;
  std::uint64_t receive_bytes = 0;
  ControlText<32> name{};        // for the operator
  ControlText<64> interface {};  // its name or an address; empty: as the sidecar likes
};
struct AttachedMessage {
  static constexpr ControlType type = ControlType::attached;
  ChannelGeometry geometry;
  std::uint32_t channel = 0;
  std::uint32_t interface = 0;  // number of the one it leads to, as `describe` counts them
};
struct RefusedMessage {
  static constexpr ControlType type = ControlType::refused;
  std::uint32_t reason = 0;  // Reason
  ControlText<252> sentence{};
};
struct ConfirmMessage {
  static constexpr ControlType type = ControlType::confirm;
  std::uint32_t channel = 0;
};
struct ServingMessage {
  static constexpr ControlType type = ControlType::serving;
  std::uint32_t channel = 0;
};
struct ListenMessage {
  static constexpr ControlType type = ControlType::listen;
  std::uint32_t port = 0;
  std::uint32_t shared = 0;  // 1: other channels of the same user may listen there too
};
struct UnlistenMessage {
  static constexpr ControlType type = ControlType::unlisten;
  std::uint32_t port = 0;
};
struct DoneMessage {
  static constexpr ControlType type = ControlType::done;
  std::uint32_t reason = 0;  // Reason; none: it is so
};
struct StatusMessage {
  static constexpr ControlType type = ControlType::status;
  ControlText<64> query{};
};
struct TextMessage {
  static constexpr ControlType type = ControlType::text;
  std::uint32_t length = 0;
  std::uint32_t last = 0;
  ControlText<4000> text{};
};

struct PatienceMessage {
  static constexpr ControlType type = ControlType::patience;
  std::uint32_t reserved = 0;
};

struct DescribeMessage {
  static constexpr ControlType type = ControlType::describe;
  std::uint32_t interface = 0;  // 0 to DescribedMessage::interfaces - 1
};
struct ControlPrefix {
  std::array<std::uint8_t, 16> address{};
  std::uint32_t bits = 0;
};
struct DescribedMessage {
  static constexpr ControlType type = ControlType::described;
  std::uint32_t interface = 0;   // as asked; at or above `interfaces` there is none, all is zero
  std::uint32_t interfaces = 0;  // how many there are
  std::uint32_t mtu_bytes = 0;
  std::uint32_t addresses = 0;  // prefixes that are addresses of its own ...
  std::uint32_t routes = 0;     // ... and the routes after them
  ControlText<64> name{};
  std::array<ControlPrefix, 96> prefixes{};  // an interface has at most 17 addresses and 64 routes

  [[nodiscard]] static DescribedMessage of(const InterfaceInfo& info);
  [[nodiscard]] InterfaceInfo info() const;
};

template <class M>
concept ControlContent = std::is_trivially_copyable_v<M> &&
                             std::has_unique_object_representations_v<M> && sizeof(ControlHead) +
                             sizeof(M) <=
                         control_bytes_max&& requires {
  M::type;
};

static_assert(sizeof(ControlHead) == 16 && ControlContent<AttachMessage> &&
              ControlContent<AttachedMessage> && ControlContent<RefusedMessage> &&
              ControlContent<ConfirmMessage> && ControlContent<ServingMessage> &&
              ControlContent<ListenMessage> && ControlContent<UnlistenMessage> &&
              ControlContent<DoneMessage> && ControlContent<StatusMessage> &&
              ControlContent<TextMessage> && ControlContent<PatienceMessage> &&
              ControlContent<DescribeMessage> && ControlContent<DescribedMessage>);

inline DescribedMessage DescribedMessage::of(const InterfaceInfo& info) {
  DescribedMessage out;
  out.mtu_bytes = info.mtu_bytes;
  out.name = control_text<64>(info.name);
  std::uint32_t n = 0;
  const auto put = [&](const std::vector<IpPrefix>& list) {
    const std::uint32_t first = n;
    for (const IpPrefix& prefix : list)
      if (n < out.prefixes.size()) out.prefixes[n++] = {prefix.address.octets, prefix.bits};
    return n - first;
  };
  out.addresses = put(info.addresses);
  out.routes = put(info.routes);
  return out;
}

/// What cannot be is left out.
inline InterfaceInfo DescribedMessage::info() const {
  InterfaceInfo out{to_string(name), {}, {}, mtu_bytes};
  const auto there = static_cast<std::uint32_t>(prefixes.size());
  const std::uint32_t own = std::min(addresses, there);
  for (std::uint32_t i = 0; i < own + std::min(routes, there - own); ++i) {
    const IpAddress address{prefixes[i].address};
    if (prefixes[i].bits > (address.is_v4() ? 32U : 128U)) continue;
    (i < own ? out.addresses : out.routes)
        .push_back({address, static_cast<std::uint8_t>(prefixes[i].bits)});
  }
  return out;
}

/// One received datagram.
struct ControlDatagram {
  std::array<std::byte, control_bytes_max> bytes{};
  std::size_t size = 0;

  /// False unless it is exactly one message of this version.
  [[nodiscard]] bool well_formed() const noexcept {
    if (size < sizeof(ControlHead)) return false;
    const ControlHead h = head();
    return h.magic == control_magic && h.version == control_version && h.bytes == size;
  }
  [[nodiscard]] ControlHead head() const noexcept {
    ControlHead h;
    std::memcpy(&h, bytes.data(), sizeof h);
    return h;
  }
  /// False when the size is not that of an M.
  template <ControlContent M>
  [[nodiscard]] bool read(M& out) const noexcept {
    if (size != sizeof(ControlHead) + sizeof(M) ||
        head().type != static_cast<std::uint16_t>(M::type))
      return false;
    std::memcpy(&out, bytes.data() + sizeof(ControlHead), sizeof out);
    return true;
  }
};

template <ControlContent M>
[[nodiscard]] ControlDatagram control_datagram(const M& message, std::uint32_t request) noexcept {
  ControlDatagram d;
  d.size = sizeof(ControlHead) + sizeof(M);
  const ControlHead head{control_magic, control_version, static_cast<std::uint16_t>(M::type),
                         static_cast<std::uint32_t>(d.size), request};
  std::memcpy(d.bytes.data(), &head, sizeof head);
  std::memcpy(d.bytes.data() + sizeof head, &message, sizeof message);
  return d;
}

}  // namespace proa
