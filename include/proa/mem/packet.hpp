// L1: a packet buffer on loan from a NIC, as one small value.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

namespace proa {

/// Facts about one packet that a NIC tells the stack (receive) or the stack tells a NIC (transmit).
enum class PacketFlag : std::uint16_t {
  none = 0,
  rx_ip_checksum_good = 1U << 0U,  // receive: the NIC verified the IPv4 header checksum
  rx_l4_checksum_good = 1U << 1U,  // receive: the NIC verified the UDP checksum
  rx_checksum_bad = 1U << 2U,      // receive: the NIC found a checksum wrong
  tx_ip_checksum = 1U << 3U,       // transmit: the NIC shall fill the IPv4 header checksum
  tx_udp_checksum = 1U << 4U,      // transmit: the NIC shall complete the UDP checksum
};

/// A frame (Ethernet header first) in a buffer of the NIC's pool. Move-only, 32 bytes; it does not
/// know its pool, so whoever holds it must hand it to the NIC's tx_burst() or release().
/// Threading: belongs to the thread of the queue pair it came from.
class Packet {
 public:
  Packet() = default;

  /// `handle` is the NIC's name for the buffer; `data` has `headroom` writable bytes before it and
  /// `capacity` bytes from `data` to the buffer's end, `length` of them in use.
  Packet(std::byte* data, std::uint32_t length, std::uint16_t headroom, std::uint16_t capacity,
         void* handle) noexcept
      : data_(data), handle_(handle), length_(length), headroom_(headroom), capacity_(capacity) {}

  Packet(Packet&& other) noexcept { take(other); }
  Packet& operator=(Packet&& other) noexcept {
    if (this != &other) take(other);
    return *this;
  }
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;
  ~Packet() = default;

  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }
  [[nodiscard]] std::span<std::byte> bytes() noexcept { return {data_, length_}; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, length_}; }
  [[nodiscard]] std::span<std::byte> storage() noexcept { return {data_, capacity_}; }
  [[nodiscard]] std::uint32_t length() const noexcept { return length_; }
  [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::uint32_t headroom() const noexcept { return headroom_; }
  [[nodiscard]] void* handle() const noexcept { return handle_; }

  /// Sets the bytes in use; at most capacity().
  void set_length(std::uint32_t length) noexcept { length_ = length; }

  [[nodiscard]] bool has(PacketFlag flag) const noexcept {
    return (flags_ & static_cast<std::uint16_t>(flag)) != 0;
  }
  void set(PacketFlag flag) noexcept {
    flags_ = static_cast<std::uint16_t>(flags_ | static_cast<std::uint16_t>(flag));
  }
  [[nodiscard]] std::uint16_t flags() const noexcept { return flags_; }

  /// Gives up the buffer: for NICs, which take the handle back into their pool.
  [[nodiscard]] void* release_handle() noexcept { return std::exchange(handle_, nullptr); }

 private:
  void take(Packet& other) noexcept {
    data_ = std::exchange(other.data_, nullptr);
    handle_ = std::exchange(other.handle_, nullptr);
    length_ = std::exchange(other.length_, 0U);
    headroom_ = other.headroom_;
    capacity_ = std::exchange(other.capacity_, std::uint16_t{0});
    flags_ = other.flags_;
  }

  std::byte* data_ = nullptr;
  void* handle_ = nullptr;
  std::uint32_t length_ = 0;
  std::uint16_t headroom_ = 0;
  std::uint16_t capacity_ = 0;
  std::uint16_t flags_ = 0;
};

static_assert(sizeof(Packet) == 32);
static_assert(std::is_nothrow_move_constructible_v<Packet> &&
              !std::is_copy_constructible_v<Packet>);

}  // namespace proa
