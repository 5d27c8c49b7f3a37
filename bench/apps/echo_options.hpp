// bench/apps: what the echo application is told on its command line, and what it reports.
#pragma once
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>

#include <proa/base/endpoint.hpp>
#include <proa/base/time.hpp>

#include <tl/expected.hpp>

#include "histogram.hpp"

namespace proa::bench {

struct EchoOptions {
  bool server = false;
  std::string stack{};  // as Stack<...>::Options::parse reads it
  std::uint16_t port = 7000;
  std::uint32_t core = no_core;
  bool wait = false;  // sleep when there is nothing to do, instead of polling
  bool once = false;  // server: ends with its last flow

  // client
  Endpoint peer{};
  std::uint32_t size = 64;   // bytes
  std::uint32_t window = 1;  // messages outstanding per flow
  std::uint32_t flows = 1;
  double seconds = 1;                           // of measuring, after a tenth of it for warming up
  std::uint64_t messages = 0;                   // send so many instead, over all flows; 0: by time
  bool verify = true;                           // compare every reply byte for byte
  Duration patience = std::chrono::seconds{5};  // without any progress the run has failed
  std::string json{};                           // file; "-": standard output
  std::string wire{};                           // only a label

  static constexpr std::uint32_t no_core = UINT32_MAX;
};

struct EchoResult {
  std::uint64_t messages = 0;  // replies that came, all of them verified unless told otherwise
  std::uint64_t bytes = 0;
  double seconds = 0;  // of the measured part
  double rate = 0;     // messages per second in it
  Histogram rtt{};     // of the messages in it
};

/// The exit code when the program shall end here (--help, a wrong option).
[[nodiscard]] std::optional<int> parse_echo_options(int argc, char** argv, EchoOptions& options);

/// Prints the result and, if wanted, its JSON rows; false: the file cannot be written.
bool report_echo(const EchoOptions& options, const char* placement, const EchoResult& result);

/// Set by SIGINT and SIGTERM once watch_signals() was called.
extern volatile std::sig_atomic_t echo_stop;
void watch_signals();

void say_echo(const std::string& sentence);  // to standard error, with the program's name
bool pin_echo(std::uint32_t core);           // true unless the system refuses

}  // namespace proa::bench
