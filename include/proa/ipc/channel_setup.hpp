// L2: how a channel comes into being, on the sidecar's side.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <tl/expected.hpp>

#include <proa/ipc/channel_server.hpp>
#include <proa/ipc/layout.hpp>
#include <proa/ipc/shm.hpp>

namespace proa {

/// What the application is given.
struct ChannelOffer {
  ChannelGeometry geometry;
  OwnedFd send, receive, doorbell;
};

/// begin() -> step() until all is there -> offer(), to the application -> the application says that
/// it has mapped Send -> confirm() -> step() until all is there -> serve(). Receive is sealed
/// before anybody sees it, so the application can only read it. Send is sealed once the application
/// has its mapping and before the first look at it: a hole punched into it later would be a signal
/// for the sidecar; what was punched out before comes back as zeroes in the second round of steps.
/// Memory is made in steps so that nobody else waits for it. Threading: the control thread.
class ChannelSetup {
 public:
  using Done = tl::expected<void, std::string>;

  [[nodiscard]] static tl::expected<ChannelSetup, std::string> begin(const ChannelGeometry& g) {
    if (const char* why = impossible(g)) return tl::unexpected<std::string>{why};
    ChannelSetup setup;
    setup.geometry_ = g;
    return setup.map_both().map([&] { return std::move(setup); });
  }
  /// For whom nobody waits: begin() and all steps.
  [[nodiscard]] static tl::expected<ChannelSetup, std::string> make(const ChannelGeometry& g) {
    auto setup = begin(g);
    if (!setup) return setup;
    auto done = setup->finish();
    if (!done) return tl::unexpected<std::string>{std::move(done.error())};
    return setup;
  }

  /// Makes the next few MiB exist: about 2 ms. True: all is there.
  [[nodiscard]] tl::expected<bool, std::string> step() {
    for (Part* part : {&send_, &receive_}) {
      const std::uint64_t left = part->mapping.size() - part->there;
      if (left == 0) continue;
      const std::uint64_t bytes = std::min(left, step_bytes);
      auto made = part->mapping.prefault(part->access, part->there, bytes);
      if (!made) return tl::unexpected<std::string>{std::move(made.error())};
      part->there += bytes;
      return false;
    }
    return true;
  }

  /// All the steps that are left.
  [[nodiscard]] Done finish() {
    for (;;) {
      const auto all = step();
      if (!all) return tl::unexpected<std::string>{all.error()};
      if (*all) return {};
    }
  }

  /// Once, with all steps done.
  [[nodiscard]] tl::expected<ChannelOffer, std::string> offer() {
    send_.mapping = {};  // from here on the application alone writes to it
    send_.there = 0;
    auto sealed = seal_against_new_writers(receive_.fd.get());
    if (!sealed) return tl::unexpected<std::string>{std::move(sealed.error())};
    auto bells = Doorbell::make_pair();
    auto send = send_.fd.duplicate();
    if (!bells || !send) return tl::unexpected<std::string>{"no file descriptors left"};
    bell_ = std::move(bells->first);
    return ChannelOffer{geometry_, std::move(*send), std::move(receive_.fd), bells->second.take()};
  }

  /// Once, after the application has mapped Send.
  [[nodiscard]] Done confirm() {
    auto sealed = seal_against_new_writers(send_.fd.get());
    if (!sealed) return sealed;
    return map(send_, MapAccess::read_only);
  }
  /// Once; what steps and confirm() have not done yet is done here.
  [[nodiscard]] tl::expected<std::unique_ptr<ChannelServer>, std::string> serve() {
    auto done = send_.mapping.data() == nullptr ? confirm() : Done{};
    if (done) done = finish();
    if (!done) return tl::unexpected<std::string>{std::move(done.error())};
    send_.fd.reset();
    return std::make_unique<ChannelServer>(geometry_, std::move(send_.mapping),
                                           std::move(receive_.mapping), std::move(bell_));
  }

 private:
  static constexpr std::uint64_t step_bytes = std::uint64_t{2} << 20U;

  struct Part {
    OwnedFd fd;
    SharedMapping mapping;
    MapAccess access = MapAccess::read_write;
    std::uint64_t bytes = 0;
    std::uint64_t there = 0;  // of mapping: known to exist
  };

  ChannelSetup() = default;

  [[nodiscard]] Done map_both() {
    send_.bytes = send_layout(geometry_).bytes();
    receive_.bytes = receive_layout(geometry_).bytes();
    return make_shared_memory("proa-send", send_.bytes)
        .and_then([this](OwnedFd fd) {
          send_.fd = std::move(fd);
          return make_shared_memory("proa-receive", receive_.bytes);
        })
        .and_then([this](OwnedFd fd) {
          receive_.fd = std::move(fd);
          return map(send_, MapAccess::read_write);
        })
        .and_then([this] { return map(receive_, MapAccess::read_write); });
  }
  [[nodiscard]] static Done map(Part& part, MapAccess access) {
    auto mapping = SharedMapping::map(part.fd.get(), part.bytes, access);
    if (!mapping) return tl::unexpected<std::string>{std::move(mapping.error())};
    part.mapping = std::move(*mapping);
    part.access = access;
    part.there = 0;
    return {};
  }
  ChannelGeometry geometry_;
  Part send_, receive_;
  Doorbell bell_;
};

}  // namespace proa
