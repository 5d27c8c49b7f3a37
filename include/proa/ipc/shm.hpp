// L2: shared memory that neither side can pull away from under the other, and doorbells.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <tl/expected.hpp>

#include <proa/base/time.hpp>

namespace proa {

/// Owns a file descriptor.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) noexcept : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnedFd();

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
  void reset() noexcept { OwnedFd{std::move(*this)}; }
  /// Another descriptor of the same file.
  [[nodiscard]] tl::expected<OwnedFd, std::string> duplicate() const;

 private:
  int fd_ = -1;
};

enum class MapAccess : std::uint8_t { read_only, read_write };

/// Owns a mapping of a whole shared file. Movable.
class SharedMapping {
 public:
  SharedMapping() = default;
  SharedMapping(SharedMapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  SharedMapping& operator=(SharedMapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~SharedMapping();

  /// Maps exactly `bytes` of `fd`; refused when the file's size differs, when it could still
  /// shrink or grow (a shrunk file is a SIGBUS for whoever reads on), or by the system. Not
  /// inherited by fork: two processes writing to one channel would break it.
  [[nodiscard]] static tl::expected<SharedMapping, std::string> map(int fd, std::uint64_t bytes,
                                                                    MapAccess access);

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return bytes_; }

  /// Makes the pages of [from, from + bytes) exist now, so that the lack of memory is an error here
  /// and no signal later. About 1 ms per MiB for fresh ones. Both are multiples of the page size.
  [[nodiscard]] tl::expected<void, std::string> prefault(MapAccess access, std::uint64_t from,
                                                         std::uint64_t bytes) const;

 private:
  SharedMapping(std::byte* data, std::uint64_t bytes) noexcept : data_(data), bytes_(bytes) {}
  std::byte* data_ = nullptr;
  std::uint64_t bytes_ = 0;
};

/// An anonymous file of that size, all zero, sealed against shrinking and growing.
[[nodiscard]] tl::expected<OwnedFd, std::string> make_shared_memory(const char* name,
                                                                    std::uint64_t bytes);

/// From now on nobody can make a writable mapping of it, write to it, punch holes into it or change
/// its seals; writable mappings that exist stay writable.
[[nodiscard]] tl::expected<void, std::string> seal_against_new_writers(int fd);

/// Sleeps until one of the descriptors is readable (true) or `at_most` has passed. At most 64; more
/// are not looked at.
bool wait_for_any(std::span<const int> descriptors, Duration at_most) noexcept;

/// One end of a pair of doorbells. Neither end can make the other block, fail with a signal or lose
/// its own settings, whatever it does to its own: every call says "do not wait" itself, which an
/// eventfd cannot (its flags belong to both).
/// Threading: one thread per end.
class Doorbell {
 public:
  Doorbell() = default;
  explicit Doorbell(OwnedFd fd) noexcept : fd_(std::move(fd)) {}
  [[nodiscard]] static tl::expected<std::pair<Doorbell, Doorbell>, std::string> make_pair();

  /// Wakes the other side if it waits on its descriptor.
  void ring() noexcept;
  /// Forgets the rings so far; false when the other end is gone.
  bool hush() noexcept;
  /// Sleeps until rung, until the other end is gone (both true), or `at_most` has passed.
  bool wait(Duration at_most) noexcept;
  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }
  [[nodiscard]] OwnedFd take() noexcept { return std::move(fd_); }

 private:
  OwnedFd fd_;
};

}  // namespace proa
