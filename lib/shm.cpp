// lib: shared memory and doorbells, by memfd and socket pairs.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>

#include <proa/ipc/shm.hpp>

namespace proa {
namespace {

tl::unexpected<std::string> system_error(const std::string& what) {
  return tl::unexpected<std::string>{what + ": " + std::strerror(errno)};
}

constexpr int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) ::close(fd_);
}

tl::expected<OwnedFd, std::string> OwnedFd::duplicate() const {
  OwnedFd copy{::fcntl(fd_, F_DUPFD_CLOEXEC, 0)};
  if (!copy) return system_error("cannot duplicate a descriptor");
  return copy;
}

SharedMapping::~SharedMapping() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

tl::expected<SharedMapping, std::string> SharedMapping::map(int fd, std::uint64_t bytes,
                                                            MapAccess access) {
  struct stat file {};
  if (::fstat(fd, &file) != 0) return system_error("cannot inspect the shared memory");
  if (bytes == 0 || static_cast<std::uint64_t>(file.st_size) != bytes)
    return tl::unexpected<std::string>{"the shared memory has " + std::to_string(file.st_size) +
                                       " bytes where " + std::to_string(bytes) + " were agreed"};
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & size_seals) != size_seals)
    return tl::unexpected<std::string>{"the shared memory is not sealed against a change of size"};
  const int protection = access == MapAccess::read_write ? PROT_READ | PROT_WRITE : PROT_READ;
  void* at = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return system_error("cannot map the shared memory");
  ::madvise(at, bytes, MADV_DONTFORK);
  ::madvise(at, bytes, MADV_DONTDUMP);
  return SharedMapping{static_cast<std::byte*>(at), bytes};
}

tl::expected<void, std::string> SharedMapping::prefault(MapAccess access, std::uint64_t from,
                                                        std::uint64_t bytes) const {
#ifndef MADV_POPULATE_READ
  constexpr int MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23;
#endif
  const int how = access == MapAccess::read_write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
  for (;;) {
    if (::madvise(data_ + from, bytes, how) == 0) return {};
    if (errno != EINTR && errno != EAGAIN) break;
  }
  return system_error("no memory for a channel of " + std::to_string(bytes_ >> 20) +
                      " MiB (Linux 5.14 or newer is needed, and room in the memory limit)");
}

tl::expected<OwnedFd, std::string> make_shared_memory(const char* name, std::uint64_t bytes) {
  OwnedFd fd{::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  if (!fd) return system_error("cannot create shared memory");
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    return system_error("cannot size shared memory to " + std::to_string(bytes) + " bytes");
  if (::fcntl(fd.get(), F_ADD_SEALS, size_seals) != 0)
    return system_error("cannot seal shared memory");
  return fd;
}

tl::expected<void, std::string> seal_against_new_writers(int fd) {
  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0)
    return system_error("cannot seal shared memory against writers");
  return {};
}

tl::expected<std::pair<Doorbell, Doorbell>, std::string> Doorbell::make_pair() {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    return system_error("cannot make a doorbell");
  return std::pair{Doorbell{OwnedFd{ends[0]}}, Doorbell{OwnedFd{ends[1]}}};
}

void Doorbell::ring() noexcept {
  const char touch = 0;
  // Full means that it has been ringing for long; gone is found out by hush().
  static_cast<void>(::send(fd_.get(), &touch, 1, MSG_DONTWAIT | MSG_NOSIGNAL));
}

bool Doorbell::hush() noexcept {
  std::array<char, 512> rings{};
  const ssize_t n = ::recv(fd_.get(), rings.data(), rings.size(), MSG_DONTWAIT);
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

bool Doorbell::wait(Duration at_most) noexcept {
  const int descriptor = fd_.get();
  return wait_for_any({&descriptor, 1}, at_most);
}

bool wait_for_any(std::span<const int> descriptors, Duration at_most) noexcept {
  std::array<pollfd, 64> waited;
  const std::size_t n = std::min(descriptors.size(), waited.size());
  for (std::size_t i = 0; i < n; ++i) waited[i] = {descriptors[i], POLLIN, 0};
  const std::int64_t ns = std::max<std::int64_t>(at_most.count(), 0);
  const timespec timeout{static_cast<time_t>(ns / 1'000'000'000),
                         static_cast<long>(ns % 1'000'000'000)};
  return ::ppoll(waited.data(), n, &timeout, nullptr) > 0;
}

}  // namespace proa
