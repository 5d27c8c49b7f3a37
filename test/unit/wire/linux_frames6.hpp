// IPv6 frames captured between two Linux kernels (02:..:0a fd00::1 and 02:..:0b fd00::2) and found
// correct by tshark, checksums included.
#pragma once
#include "linux_frames.hpp"

namespace linux_frames::six {

/// A duplicate address probe for fd00::2, with a nonce option (RFC 7527).
inline std::vector<std::byte> duplicate_probe() {
  return hex(
      "33 33 ff 00 00 02 02 00 00 00 00 0b 86 dd 60 00"
      "00 00 00 20 3a ff 00 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 00 ff 02 00 00 00 00 00 00 00 00"
      "00 01 ff 00 00 02 87 00 d8 0f 00 00 00 00 fd 00"
      "00 00 00 00 00 00 00 00 00 00 00 00 00 02 0e 01"
      "0d 8f ca 84 bf 76");
}
/// fd00::1 asks everybody for fd00::2.
inline std::vector<std::byte> solicitation() {
  return hex(
      "33 33 ff 00 00 02 02 00 00 00 00 0a 86 dd 60 00"
      "00 00 00 20 3a ff fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 ff 02 00 00 00 00 00 00 00 00"
      "00 01 ff 00 00 02 87 00 7d 8e 00 00 00 00 fd 00"
      "00 00 00 00 00 00 00 00 00 00 00 00 00 02 01 01"
      "02 00 00 00 00 0a");
}
/// ... and gets the answer.
inline std::vector<std::byte> advertisement() {
  return hex(
      "02 00 00 00 00 0a 02 00 00 00 00 0b 86 dd 60 00"
      "00 00 00 20 3a ff fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 02 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 88 00 1c 91 60 00 00 00 fd 00"
      "00 00 00 00 00 00 00 00 00 00 00 00 00 02 02 01"
      "02 00 00 00 00 0b");
}
/// fe80::b asks fd00::1 whether it still lives there.
inline std::vector<std::byte> solicitation_by_unicast() {
  return hex(
      "02 00 00 00 00 0a 02 00 00 00 00 0b 86 dd 60 00"
      "00 00 00 20 3a ff fe 80 00 00 00 00 00 00 00 00"
      "00 ff fe 00 00 0b fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 87 00 7e 09 00 00 00 00 fd 00"
      "00 00 00 00 00 00 00 00 00 00 00 00 00 01 01 01"
      "02 00 00 00 00 0b");
}
/// ... and gets an answer that leaves the MAC address out (RFC 4861 7.2.4).
inline std::vector<std::byte> advertisement_without_address() {
  return hex(
      "02 00 00 00 00 0b 02 00 00 00 00 0a 86 dd 60 00"
      "00 00 00 18 3a ff fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 fe 80 00 00 00 00 00 00 00 00"
      "00 ff fe 00 00 0b 88 00 40 1d 40 00 00 00 fd 00"
      "00 00 00 00 00 00 00 00 00 00 00 00 00 01");
}
/// fd00::2 tells everybody where it lives.
inline std::vector<std::byte> unsolicited_advertisement() {
  return hex(
      "33 33 00 00 00 01 02 00 00 00 00 0b 86 dd 60 00"
      "00 00 00 20 3a ff fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 02 ff 02 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 88 00 5a 8f 20 00 00 00 fd 00"
      "00 00 00 00 00 00 00 00 00 00 00 00 00 02 02 01"
      "02 00 00 00 00 0b");
}
/// fe80::b joins its solicited-node groups and would hear MLDv2 routers.
inline std::vector<std::byte> membership_report() {
  return hex(
      "33 33 00 00 00 16 02 00 00 00 00 0b 86 dd 60 00"
      "00 00 00 38 00 01 fe 80 00 00 00 00 00 00 00 00"
      "00 ff fe 00 00 0b ff 02 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 16 3a 00 05 02 00 00 01 00 8f 00"
      "6f d7 00 00 00 02 04 00 00 00 ff 02 00 00 00 00"
      "00 00 00 00 00 01 ff 00 00 02 04 00 00 00 ff 02"
      "00 00 00 00 00 00 00 00 00 01 ff 00 00 0b");
}
/// ping of fd00::2 with 12 bytes.
inline std::vector<std::byte> echo_request() {
  return hex(
      "02 00 00 00 00 0b 02 00 00 00 00 0a 86 dd 60 03"
      "6b 60 00 14 3a 40 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 02 80 00 fd 9b 48 94 00 01 50 72"
      "6f 61 50 72 6f 61 50 72 6f 61");
}
inline std::vector<std::byte> echo_reply() {
  return hex(
      "02 00 00 00 00 0a 02 00 00 00 00 0b 86 dd 60 05"
      "58 8f 00 14 3a 40 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 02 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 81 00 fc 9b 48 94 00 01 50 72"
      "6f 61 50 72 6f 61 50 72 6f 61");
}
/// Port 50000 to 60000, CE marked, "a proa is a fast canoe!".
inline std::vector<std::byte> udp() {
  return hex(
      "02 00 00 00 00 0b 02 00 00 00 00 0a 86 dd 60 32"
      "37 25 00 1f 11 40 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 02 c3 50 ea 60 00 1f 36 4f 61 20"
      "70 72 6f 61 20 69 73 20 61 20 66 61 73 74 20 63"
      "61 6e 6f 65 21");
}
/// The same destination from port 50001, behind a destination options header.
inline std::vector<std::byte> udp_behind_options() {
  return hex(
      "02 00 00 00 00 0b 02 00 00 00 00 0a 86 dd 60 09"
      "f2 2c 00 1e 3c 40 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 02 11 00 01 04 00 00 00 00 c3 51"
      "ea 60 00 16 b6 11 62 65 68 69 6e 64 20 6f 70 74"
      "69 6f 6e 73");
}
/// Port unreachable.
inline std::vector<std::byte> icmp_error() {
  return hex(
      "02 00 00 00 00 0a 02 00 00 00 00 0b 86 dd 60 00"
      "38 c7 00 4f 3a 40 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 02 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 01 04 5b e7 00 00 00 00 60 32"
      "37 25 00 1f 11 40 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 02 c3 50 ea 60 00 1f 36 4f 61 20"
      "70 72 6f 61 20 69 73 20 61 20 66 61 73 74 20 63"
      "61 6e 6f 65 21");
}
/// The second of two fragments.
inline std::vector<std::byte> fragment() {
  return hex(
      "02 00 00 00 00 0b 02 00 00 00 00 0a 86 dd 60 04"
      "ae a9 00 a8 2c 40 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 01 fd 00 00 00 00 00 00 00 00 00"
      "00 00 00 00 00 02 11 00 05 a8 d4 2a 42 ca 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78"
      "78 78 78 78 78 78 78 78 78 78 78 78 78 78");
}

}  // namespace linux_frames::six
