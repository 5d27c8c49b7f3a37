// Compiled part of nic/pcap_sink.hpp: the pcapng blocks and the file behind them.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <proa/nic/pcap_sink.hpp>

namespace proa {

namespace {

// draft-ietf-opsawg-pcapng, section 4: block types; all fields in the writer's byte order.
constexpr std::uint32_t section_header_block = 0x0a0d'0d0a;
constexpr std::uint32_t interface_block = 1;
constexpr std::uint32_t packet_block = 6;
constexpr std::uint32_t byte_order_magic = 0x1a2b'3c4d;
constexpr std::uint16_t link_type_ethernet = 1;
constexpr std::uint16_t option_if_name = 2;
constexpr std::uint16_t option_if_tsresol = 9;
constexpr std::uint16_t option_epb_flags = 2;
constexpr std::size_t interface_block_overhead = 36;  // 16 fields, 16 options, 4 trailing length
constexpr std::size_t packet_block_overhead = 44;     // 28 header, 12 options, 4 trailing length

constexpr std::size_t padded(std::size_t n) { return (n + 3) & ~std::size_t{3}; }

/// Appends native-order fields at a moving place; the caller made sure of the room.
class BlockWriter {
 public:
  explicit BlockWriter(std::byte* at) noexcept : start_(at), at_(at) {}

  template <class T>
  void put(T value) noexcept {
    std::memcpy(at_, &value, sizeof value);
    at_ += sizeof value;
  }
  void put_padded(const void* from, std::size_t n) noexcept {
    if (n > 0) std::memcpy(at_, from, n);
    std::memset(at_ + n, 0, padded(n) - n);
    at_ += padded(n);
  }
  /// Ends the block: its length goes to its second field and behind it.
  std::size_t finish() noexcept {
    const auto total = static_cast<std::uint32_t>(at_ - start_ + 4);
    std::memcpy(start_ + 4, &total, sizeof total);
    put(total);
    return total;
  }

 private:
  std::byte* start_;
  std::byte* at_;
};

}  // namespace

tl::expected<PcapSink, std::string> PcapSink::create(const std::string& path, Duration epoch,
                                                     std::size_t buffer_bytes) {
  // Not blocking: a FIFO without a reader must not stop the stack.
  const int descriptor =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0644);
  if (descriptor < 0) {
    std::string why = "cannot write the capture file " + path + ": " + std::strerror(errno);
    if (errno == ENXIO) why += "; start the reader of this FIFO first";
    return tl::unexpected<std::string>(std::move(why));
  }
  return PcapSink{descriptor, epoch, buffer_bytes};
}

PcapSink::PcapSink(int descriptor, Duration epoch, std::size_t buffer_bytes)
    : descriptor_(descriptor),
      epoch_(epoch),
      size_(std::max(buffer_bytes, 2 * worth_a_write_bytes)) {
  buffer_ = std::make_unique<std::byte[]>(size_);
  BlockWriter block(buffer_.get());
  block.put(section_header_block);
  block.put(std::uint32_t{0});
  block.put(byte_order_magic);
  block.put(std::uint16_t{1});  // version 1.0
  block.put(std::uint16_t{0});
  block.put(std::int64_t{-1});  // section length: until the end of the file
  used_ = block.finish();
}

PcapSink::PcapSink(PcapSink&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      epoch_(other.epoch_),
      buffer_(std::move(other.buffer_)),
      size_(other.size_),
      used_(std::exchange(other.used_, 0)),
      interfaces_(other.interfaces_),
      skip_(other.skip_),
      counters_(other.counters_) {}

PcapSink::~PcapSink() {
  if (descriptor_ < 0) return;
  (void)flush();
  ::close(descriptor_);
}

std::uint32_t PcapSink::add_interface(std::string_view name,
                                      std::uint32_t frame_bytes_max) noexcept {
  name = name.substr(0, 64);
  const std::size_t room = interface_block_overhead + padded(name.size());
  if (used_ + room > size_) (void)flush();
  if (used_ + room > size_) return no_interface;
  BlockWriter block(buffer_.get() + used_);
  block.put(interface_block);
  block.put(std::uint32_t{0});
  block.put(link_type_ethernet);
  block.put(std::uint16_t{0});
  block.put(frame_bytes_max);
  block.put(option_if_name);
  block.put(static_cast<std::uint16_t>(name.size()));
  block.put_padded(name.data(), name.size());
  block.put(option_if_tsresol);
  block.put(std::uint16_t{1});
  const char nanoseconds = 9;  // 10^-9 s
  block.put_padded(&nanoseconds, 1);
  block.put(std::uint32_t{0});  // end of options
  used_ += block.finish();
  return interfaces_++;
}

void PcapSink::add(Instant now, std::uint32_t interface, CaptureDirection direction,
                   std::span<const std::byte> frame) noexcept {
  const std::size_t room = packet_block_overhead + padded(frame.size());
  if (used_ + room > size_ || interface == no_interface) {
    ++counters_.packets_lost;
    return;
  }
  const auto time = static_cast<std::uint64_t>((now.time_since_epoch() + epoch_).count());
  BlockWriter block(buffer_.get() + used_);
  block.put(packet_block);
  block.put(std::uint32_t{0});
  block.put(interface);
  block.put(static_cast<std::uint32_t>(time >> 32U));
  block.put(static_cast<std::uint32_t>(time));
  block.put(static_cast<std::uint32_t>(frame.size()));  // captured
  block.put(static_cast<std::uint32_t>(frame.size()));  // on the wire
  block.put_padded(frame.data(), frame.size());
  block.put(option_epb_flags);
  block.put(std::uint16_t{4});
  block.put(static_cast<std::uint32_t>(direction));
  block.put(std::uint32_t{0});  // end of options
  used_ += block.finish();
  ++counters_.packets_written;
}

void PcapSink::rewind(const Mark& mark) noexcept {
  used_ = std::min(used_, mark.used);
  counters_.packets_written = mark.packets_written;
  counters_.packets_lost = mark.packets_lost;
}

void PcapSink::write_some() noexcept {
  if (used_ < worth_a_write_bytes) return;
  if (skip_ > 0) {
    --skip_;
    return;
  }
  (void)write_out();
}

bool PcapSink::flush() noexcept {
  while (used_ > 0)
    if (!write_out()) return false;
  return true;
}

/// One system call; false if nothing was taken. What was not taken moves to the front.
bool PcapSink::write_out() noexcept {
  ssize_t n = 0;
  do n = ::write(descriptor_, buffer_.get(), used_);
  while (n < 0 && errno == EINTR);
  if (n <= 0) {
    if (n < 0 && errno != EAGAIN) ++counters_.write_errors;
    skip_ = refusals_skipped;
    return false;
  }
  const auto taken = static_cast<std::size_t>(n);
  used_ -= taken;
  std::memmove(buffer_.get(), buffer_.get() + taken, used_);
  return true;
}

}  // namespace proa
