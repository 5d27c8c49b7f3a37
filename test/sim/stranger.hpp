// Simulation, second level: somebody on the network who is no peer and claims any address.
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/wire/setup.hpp>

#include "hosts.hpp"

namespace proa::sim {

/// Puts frames for one host on the network whose IP source is whoever it likes.
class Stranger {
 public:
  explicit Stranger(Hosts<>& hosts, std::uint32_t target)
      : hosts_(&hosts),
        target_(target),
        port_(hosts.network(), {.mac = own_mac(target), .frame_bytes_max = 1514}),
        nic_(port_.nic()) {}

  /// A sealed Proa packet, from `source`.
  void send(const IpAddress& source, PacketHeader header, std::span<const std::byte> body,
            std::size_t padded_to = 0) {
    std::vector<std::byte> packet(
        std::max(PacketHeader::size + body.size() + Crc32c::trailer_bytes, padded_to));
    header.write(std::span{packet}.first<PacketHeader::size>());
    std::copy(body.begin(), body.end(), packet.begin() + PacketHeader::size);
    Crc32c::seal(packet);
    send_bytes(source, packet);
  }
  void send_bytes(const IpAddress& source, std::span<const std::byte> packet) {
    Packet out[1];
    REQUIRE(nic_.allocate(out) == 1);
    const std::size_t headers_bytes = ethernet_header_bytes + ip_udp_header_bytes(source.is_v4());
    const auto frame = out[0].storage();
    std::copy(packet.begin(), packet.end(),
              frame.begin() + static_cast<std::ptrdiff_t>(headers_bytes));
    out[0].set_length(static_cast<std::uint32_t>(headers_bytes + packet.size()));
    const auto udp = static_cast<std::uint16_t>(49'152 + random_.below(1000));
    const HeaderTemplate headers{
        {source, (*hosts_)[target_].address, {udp, 50'000}, Ecn::not_capable},
        {(*hosts_)[target_].port.options().mac, own_mac(target_)}};
    (void)headers.finish(out[0].bytes(), UdpChecksumBy::zero);
    (void)nic_.rx_burst(hosts_->now(), {});
    REQUIRE(nic_.tx_burst(hosts_->now(), out) == 1);
    sent_bytes_ += ip_udp_header_bytes(source.is_v4()) + packet.size();
    ++sent_;
  }
  void send_syn(const IpAddress& source, std::uint32_t flow, std::uint32_t number,
                std::uint32_t incarnation = 1) {
    PacketHeader header;
    header.type = PacketType::syn;
    header.source_flow = flow;
    header.number = PacketNumber{number};
    SynBody syn;
    syn.incarnation = incarnation;
    syn.server_port = listen_port;
    syn.client_port = 9;
    syn.message_bytes_max = 1U << 20U;
    syn.idle_limit_ms = 30'000;
    std::array<std::byte, 64> body{};
    send(source, header, std::span{body}.first(syn.write(body)), syn_bytes);
  }
  [[nodiscard]] std::uint64_t sent_bytes() const noexcept { return sent_bytes_; }
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
  [[nodiscard]] Prng& random() noexcept { return random_; }

 private:
  static constexpr MacAddress own_mac(std::uint32_t target) noexcept {
    return {{2, 0, 0, 0, 1, static_cast<std::uint8_t>(target + 1)}};
  }

  Hosts<>* hosts_;
  std::uint32_t target_;
  SimPort port_;
  SimNic nic_;
  Prng random_{21};
  std::uint64_t sent_bytes_ = 0, sent_ = 0;
};

}  // namespace proa::sim
