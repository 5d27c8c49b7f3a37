// L2: how a channel comes into being, on the sidecar's side.
#pragma once
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

/// make() -> offer(), to the application -> the application says that it has mapped Send ->
/// serve(). Receive is sealed before anybody sees it, so the application can only read it. Send is
/// sealed once the application has its mapping and before the first look at it: a hole punched into
/// it later would be a signal for the sidecar. Threading: the control thread.
class ChannelSetup {
 public:
  [[nodiscard]] static tl::expected<ChannelSetup, std::string> make(const ChannelGeometry& g) {
    if (const char* why = impossible(g)) return tl::unexpected<std::string>{why};
    ChannelSetup setup;
    setup.geometry_ = g;
    auto done = setup.make_memory();
    if (!done) return tl::unexpected<std::string>{std::move(done.error())};
    return setup;
  }

  /// Once.
  [[nodiscard]] tl::expected<ChannelOffer, std::string> offer() {
    auto bells = Doorbell::make_pair();
    auto send = send_fd_.duplicate();
    if (!bells || !send) return tl::unexpected<std::string>{"no file descriptors left"};
    bell_ = std::move(bells->first);
    return ChannelOffer{geometry_, std::move(*send), std::move(receive_fd_), bells->second.take()};
  }

  /// Once, after the application has mapped Send.
  [[nodiscard]] tl::expected<std::unique_ptr<ChannelServer>, std::string> serve() {
    auto sealed = seal_against_new_writers(send_fd_.get());
    if (!sealed) return tl::unexpected<std::string>{std::move(sealed.error())};
    auto send =
        SharedMapping::map(send_fd_.get(), send_layout(geometry_).bytes(), MapAccess::read_only);
    if (!send) return tl::unexpected<std::string>{std::move(send.error())};
    // Again: what was punched out in between comes back as zeroes, here and not at a bad moment.
    auto there = send->prefault(MapAccess::read_only);
    if (!there) return tl::unexpected<std::string>{std::move(there.error())};
    send_fd_.reset();
    return std::make_unique<ChannelServer>(geometry_, std::move(*send), std::move(receive_),
                                           std::move(bell_));
  }

 private:
  ChannelSetup() = default;

  [[nodiscard]] tl::expected<void, std::string> make_memory() {
    return make_region("proa-send", send_layout(geometry_).bytes())
        .and_then([&](Region region) {
          send_fd_ = std::move(region.fd);
          return make_region("proa-receive", receive_layout(geometry_).bytes());
        })
        .and_then([&](Region region) {
          receive_fd_ = std::move(region.fd);
          receive_ = std::move(region.mapping);
          return seal_against_new_writers(receive_fd_.get());
        });
  }
  struct Region {
    OwnedFd fd;
    SharedMapping mapping;
  };
  [[nodiscard]] static tl::expected<Region, std::string> make_region(const char* name,
                                                                     std::uint64_t bytes) {
    auto fd = make_shared_memory(name, bytes);
    if (!fd) return tl::unexpected<std::string>{std::move(fd.error())};
    auto mapping = SharedMapping::map(fd->get(), bytes, MapAccess::read_write);
    if (!mapping) return tl::unexpected<std::string>{std::move(mapping.error())};
    auto there = mapping->prefault(MapAccess::read_write);
    if (!there) return tl::unexpected<std::string>{std::move(there.error())};
    return Region{std::move(*fd), std::move(*mapping)};
  }

  ChannelGeometry geometry_;
  OwnedFd send_fd_, receive_fd_;
  SharedMapping receive_;
  Doorbell bell_;
};

}  // namespace proa
