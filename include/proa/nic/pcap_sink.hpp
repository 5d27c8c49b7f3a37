// L2: a pcapng file being written, buffered so that the data path never waits long for a disk.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include <proa/base/time.hpp>

namespace proa {

enum class CaptureDirection : std::uint8_t { inbound = 1, outbound = 2 };  // as in epb_flags

struct PcapSinkCounters {
  std::uint64_t packets_written = 0;  // accepted into the buffer
  std::uint64_t packets_lost = 0;     // no room: the file could not take the bytes in time
  std::uint64_t write_errors = 0;     // refused writes (disk full ...); the buffer is kept
};

/// Writes pcapng (one section, one interface block per interface, enhanced packet blocks with
/// nanoseconds). One thread. A file or a FIFO that takes no more costs packets, counted, and never
/// breaks the framing of what is written. Allocates only when made.
class PcapSink {
 public:
  /// Creates or truncates `path`; the error is a sentence. `epoch` is what to add to an Instant
  /// to get the time since 1970. `buffer_bytes` bounds what waits for the file.
  [[nodiscard]] static tl::expected<PcapSink, std::string> create(
      const std::string& path, Duration epoch = Duration::zero(),
      std::size_t buffer_bytes = std::size_t{1} << 20U);
  /// The same on an open descriptor, which the sink then owns and closes.
  PcapSink(int descriptor, Duration epoch, std::size_t buffer_bytes);
  PcapSink(PcapSink&& other) noexcept;
  PcapSink& operator=(PcapSink&&) = delete;
  ~PcapSink();

  /// Adds an interface; its number goes with every packet. Nothing is cut. If the file takes no
  /// bytes now, the answer is no_interface and its packets are counted as lost.
  static constexpr std::uint32_t no_interface = 0xffff'ffff;
  std::uint32_t add_interface(std::string_view name, std::uint32_t frame_bytes_max) noexcept;
  /// Buffers one frame.
  void add(Instant now, std::uint32_t interface, CaptureDirection direction,
           std::span<const std::byte> frame) noexcept;

  /// A place to come back to: frames added after mark() are taken out again by rewind(), as long as
  /// no write_some() came between.
  struct Mark {
    std::size_t used = 0;
    std::uint64_t packets_written = 0, packets_lost = 0;
  };
  [[nodiscard]] Mark mark() const noexcept {
    return {used_, counters_.packets_written, counters_.packets_lost};
  }
  void rewind(const Mark& mark) noexcept;

  /// Passes bytes to the file if enough wait for it to be worth a system call.
  void write_some() noexcept;
  /// Passes everything to the file; false if some of it remains in the buffer.
  bool flush() noexcept;
  [[nodiscard]] const PcapSinkCounters& counters() const noexcept { return counters_; }

 private:
  static constexpr std::size_t worth_a_write_bytes = std::size_t{64} << 10U;
  static constexpr std::uint32_t refusals_skipped = 256;  // after a refusal, before trying again

  [[nodiscard]] bool write_out() noexcept;

  int descriptor_;
  Duration epoch_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t size_;
  std::size_t used_ = 0;
  std::uint32_t interfaces_ = 0;
  std::uint32_t skip_ = 0;
  PcapSinkCounters counters_;
};

}  // namespace proa
