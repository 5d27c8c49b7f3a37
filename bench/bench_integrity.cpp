// bench: what knowing that a packet is as it was sent costs at each end, per packet size.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <proa/transport/integrity.hpp>
#include <proa/wire/checksum.hpp>
#include <utility>
#include <vector>

#include "harness.hpp"

namespace {

using namespace proa;
using namespace proa::bench;

/// The compiler must believe that somebody looks at it.
template <class T>
void keep(const T& value) noexcept {
  asm volatile("" : : "r"(&value) : "memory");
}

/// Nanoseconds per call of work(i) over buffers that stay in the processor's cache.
template <class Work>
Sample timed(double seconds, Work&& work) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  std::chrono::duration<double> spent{};
  std::uint64_t calls = 0;
  for (; spent.count() < seconds; spent = Clock::now() - begin)
    for (int i = 0; i < 1000; ++i, ++calls) work(calls);
  return {{"cost", "ns", spent.count() * 1e9 / static_cast<double>(calls)}};
}

class Packets {
 public:
  explicit Packets(std::size_t bytes) {
    for (auto& packet : all_) {
      packet.resize(bytes);
      for (std::size_t i = 0; i < bytes; ++i) packet[i] = static_cast<std::byte>(i * 131);
      Crc32c::seal(packet);
    }
  }
  [[nodiscard]] MutableBytes operator[](std::uint64_t i) noexcept { return all_[i % all_.size()]; }

 private:
  std::array<std::vector<std::byte>, 4> all_;  // a burst's worth would leave the first cache
};

template <class Work>
Case make_case(const char* name, std::uint32_t size, double seconds, Work work) {
  Labels labels;
  labels.name = name;
  labels.placement = name;
  labels.size = size;
  labels.has_size = true;
  if (labels.name != "memcpy") labels.reference = "memcpy";
  return {std::move(labels), [=]() -> tl::expected<Sample, std::string> {
            Packets packets{size};
            std::vector<std::byte> copy(size);
            std::uint64_t sum = 0;
            Sample out = timed(seconds, [&](std::uint64_t i) { sum += work(packets[i], copy); });
            keep(sum);
            return out;
          }};
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_integrity",
               .question = "What does the integrity of a packet cost at each end?",
               .wires = {}}};
  auto& options = bench.options();
  options.sizes = {88, 1472, 8972};
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  for (const std::uint32_t size : options.sizes) {
    if (size < PacketHeader::size + Crc32c::trailer_bytes) {
      bench.say("--sizes: a packet has at least 28 bytes");
      return 2;
    }
    const double s = options.seconds;
    bench.measure({
        make_case("memcpy", size, s,
                  [](MutableBytes packet, std::vector<std::byte>& to) -> std::uint64_t {
                    std::copy(packet.begin(), packet.end(), to.begin());
                    keep(to);
                    return 0;
                  }),
        make_case("Crc32c", size, s,
                  [](MutableBytes packet, auto&) -> std::uint64_t {
                    return Crc32c::open(packet).size();
                  }),
        make_case("Crc32c in software", size, s,
                  [](MutableBytes packet, auto&) -> std::uint64_t {
                    return detail::crc32c_software(~0U, packet.data(), packet.size());
                  }),
        make_case(
            "UdpChecksum in software", size, s,
            [](MutableBytes packet, auto&) -> std::uint64_t { return internet_checksum(packet); }),
    });
  }
  return bench.finish();
}
