// L2: the port of a lossy NIC: as the inner one's, with what its queue pairs shall do to packets.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <proa/nic/lossy.hpp>
#include <proa/nic/port.hpp>

#include <tl/expected.hpp>

namespace proa {

/// `Stack<InProcess<Lossy<DpdkNic>>>`: the same stack on a wire that loses.
template <class Inner>
class Port<Lossy<Inner>> {
 public:
  struct Options : Port<Inner>::Options {
    LossyFaults tx{}, rx{};
    std::uint64_t seed = 1;  // each queue pair adds its number

    Options() = default;
    explicit Options(typename Port<Inner>::Options inner)
        : Port<Inner>::Options(std::move(inner)) {}
    [[nodiscard]] static tl::expected<Options, std::string> parse(std::string_view text) {
      return Port<Inner>::Options::parse(text).map(
          [](typename Port<Inner>::Options inner) { return Options{std::move(inner)}; });
    }
  };

  [[nodiscard]] static tl::expected<Port, std::string> open(const Options& options) {
    return Port<Inner>::open(options).map([&](Port<Inner> inner) {
      return Port{std::move(inner), options};
    });
  }
  explicit Port(const Options& options)
      : inner_(options), tx_(options.tx), rx_(options.rx), seed_(options.seed) {}

  [[nodiscard]] tl::expected<Lossy<Inner>, std::string> take_queue() {
    return inner_.take_queue().map([&](Inner queue) {
      Lossy<Inner> lossy{std::move(queue), seed_++};
      lossy.set_tx(tx_);
      lossy.set_rx(rx_);
      return lossy;
    });
  }

 private:
  Port(Port<Inner> inner, const Options& options)
      : inner_(std::move(inner)), tx_(options.tx), rx_(options.rx), seed_(options.seed) {}

  Port<Inner> inner_;
  LossyFaults tx_, rx_;
  std::uint64_t seed_;
};

}  // namespace proa
