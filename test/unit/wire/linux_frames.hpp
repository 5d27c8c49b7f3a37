// Frames captured between two Linux kernels (02:..:0a 10.0.0.1 and 02:..:0b 10.0.0.2) and found
// correct by tshark, checksums included: what a peer nobody here wrote puts on the wire.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <proa/base/bytes.hpp>

namespace linux_frames {

inline std::vector<std::byte> hex(std::string_view text) {
  const auto digit = [](char c) {
    return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
  };
  std::vector<std::byte> out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') continue;
    out.push_back(static_cast<std::byte>(digit(text[i]) * 16 + digit(text[i + 1])));
    ++i;
  }
  return out;
}

inline std::vector<std::byte> arp_request() {
  return hex(
      "ff ff ff ff ff ff 02 00 00 00 00 0a 08 06 00 01"
      "08 00 06 04 00 01 02 00 00 00 00 0a 0a 00 00 01"
      "00 00 00 00 00 00 0a 00 00 02");
}
inline std::vector<std::byte> arp_reply() {
  return hex(
      "02 00 00 00 00 0a 02 00 00 00 00 0b 08 06 00 01"
      "08 00 06 04 00 02 02 00 00 00 00 0b 0a 00 00 02"
      "02 00 00 00 00 0a 0a 00 00 01");
}
inline std::vector<std::byte> echo_request() {
  return hex(
      "02 00 00 00 00 0b 02 00 00 00 00 0a 08 00 45 00"
      "00 28 d1 5d 40 00 40 01 55 75 0a 00 00 01 0a 00"
      "00 02 08 00 79 f3 3e 90 00 01 50 72 6f 61 50 72"
      "6f 61 50 72 6f 61");
}
inline std::vector<std::byte> echo_reply() {
  return hex(
      "02 00 00 00 00 0a 02 00 00 00 00 0b 08 00 45 00"
      "00 28 ea 84 00 00 40 01 7c 4e 0a 00 00 02 0a 00"
      "00 01 00 00 81 f3 3e 90 00 01 50 72 6f 61 50 72"
      "6f 61 50 72 6f 61");
}
/// Port 50000 to 60000, CE marked, "a proa is a fast canoe!".
inline std::vector<std::byte> udp() {
  return hex(
      "02 00 00 00 00 0b 02 00 00 00 00 0a 08 00 45 03"
      "00 33 45 00 40 00 40 11 e1 b4 0a 00 00 01 0a 00"
      "00 02 c3 50 ea 60 00 1f 1c 51 61 20 70 72 6f 61"
      "20 69 73 20 61 20 66 61 73 74 20 63 61 6e 6f 65"
      "21");
}
/// The same ports, checksum absent, "odd".
inline std::vector<std::byte> udp_without_checksum() {
  return hex(
      "02 00 00 00 00 0b 02 00 00 00 00 0a 08 00 45 03"
      "00 1f 45 01 40 00 40 11 e1 c7 0a 00 00 01 0a 00"
      "00 02 c3 50 ea 60 00 0b 00 00 6f 64 64");
}
/// Port unreachable.
inline std::vector<std::byte> icmp_error() {
  return hex(
      "02 00 00 00 00 0a 02 00 00 00 00 0b 08 00 45 c2"
      "00 3b ea 95 00 00 40 01 7b 68 0a 00 00 02 0a 00"
      "00 01 03 03 7b db 00 00 00 00 45 03 00 1f 45 01"
      "40 00 40 11 e1 c7 0a 00 00 01 0a 00 00 02 c3 50"
      "ea 60 00 0b 00 00 6f 64 64");
}

/// The bytes on the heap and exactly as long as they are, so that a sanitizer sees any read past
/// the end.
class Exact {
 public:
  explicit Exact(proa::ByteView bytes) : size_(bytes.size()), bytes_(new std::byte[size_]) {
    for (std::size_t i = 0; i < size_; ++i) bytes_[i] = bytes[i];
  }
  [[nodiscard]] std::span<std::byte> span() noexcept { return {bytes_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace linux_frames
