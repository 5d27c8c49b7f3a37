// sidecar: bells beside the queues between control thread and engine.
#include "engine_link.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <stdexcept>

namespace proa::sidecar {
namespace {

OwnedFd make_bell() {
  OwnedFd bell{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  if (!bell)
    throw std::runtime_error{
        "no file descriptors left; raise the limit (ulimit -n) and start again"};
  return bell;
}

// Full (2^64 - 2 rings unread) and empty are both fine, so results do not matter.
void ring(int fd) noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
}
void hush(int fd) noexcept {
  std::uint64_t rings = 0;
  [[maybe_unused]] const auto got = ::read(fd, &rings, sizeof rings);
}

}  // namespace

EngineLink::EngineLink() : to_engine_(make_bell()), to_control_(make_bell()) {}

bool EngineLink::post(const EngineCommand& command) noexcept {
  if (!commands_.push(command)) return false;
  ring(to_engine_.get());
  return true;
}
void EngineLink::answer(const EngineAnswer& answer) noexcept {
  PROA_CHECK(answers_.push(answer));
  ring(to_control_.get());
}
void EngineLink::hush_control() noexcept { hush(to_control_.get()); }
void EngineLink::hush_engine() noexcept { hush(to_engine_.get()); }

}  // namespace proa::sidecar
