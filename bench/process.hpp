// bench: a second process of a measurement, ended with the first whatever happens to it.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

namespace proa::bench {

/// One end of the socket pair between a bench and its child. Not for the measured path.
class Control {
 public:
  explicit Control(int fd) noexcept : fd_(fd) {}
  Control(Control&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Control& operator=(Control&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();

  template <class T>
  requires std::is_trivially_copyable_v<T>
  bool send(const T& value) noexcept { return send_bytes(std::as_bytes(std::span{&value, 1})); }

  /// Nothing when the other end is gone, sent something of another size or the time is over.
  template <class T>
  requires std::is_trivially_copyable_v<T>
  [[nodiscard]] std::optional<T> receive(
      std::chrono::milliseconds patience = std::chrono::milliseconds{60'000}) noexcept {
    T value;
    if (!receive_bytes(std::as_writable_bytes(std::span{&value, 1}), patience)) return std::nullopt;
    return value;
  }

  /// True when something was sent or the other end is gone: does not block, for polled loops.
  [[nodiscard]] bool ready() const noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  bool send_bytes(std::span<const std::byte> bytes) noexcept;
  bool receive_bytes(std::span<std::byte> bytes, std::chrono::milliseconds patience) noexcept;
  int fd_ = -1;
};

/// A forked child. It is killed when this object goes or when the parent's thread ends, also by a
/// signal, so nothing is left behind. Fork before threads and before EAL are started.
class ChildProcess {
 public:
  using Body = std::function<int(Control&)>;  // runs in the child; its value is the exit code

  [[nodiscard]] static tl::expected<ChildProcess, std::string> start(const Body& body);
  ChildProcess(ChildProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), control_(std::move(other.control_)) {}
  ChildProcess& operator=(ChildProcess&&) = delete;
  ChildProcess(const ChildProcess&) = delete;
  ~ChildProcess() { stop(); }

  [[nodiscard]] Control& control() noexcept { return control_; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Closes the control socket, gives the child `patience` to end by itself, then kills it.
  /// Returns its exit code, or -1 when it was killed.
  int stop(std::chrono::milliseconds patience = std::chrono::milliseconds{0}) noexcept;

 private:
  ChildProcess(pid_t pid, Control control) noexcept : pid_(pid), control_(std::move(control)) {}
  pid_t pid_ = -1;
  Control control_{-1};
};

}  // namespace proa::bench
