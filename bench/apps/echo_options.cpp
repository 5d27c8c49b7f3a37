// bench/apps: the echo application's command line and its report; the same in both placements.
#include "echo_options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <proa/wire/address_text.hpp>

#include "machine.hpp"
#include "report.hpp"

namespace proa::bench {

volatile std::sig_atomic_t echo_stop = 0;

namespace {

void describe(CLI::Option* option, const char* unit) {
  option->type_name(unit)->capture_default_str();
}

void add_common(CLI::App& app, EchoOptions& options) {
  describe(app.add_option("--stack", options.stack,
                          "options of the stack, key=value separated by semicolons; in-process: "
                          "\"nic=memif,role=server,socket=/tmp/a;address=10.0.0.1/24\"; sidecar: "
                          "where proad listens"),
           "TEXT");
  app.add_option("--core", options.core, "processor to run on (any unless given)")
      ->type_name("NUMBER");
  app.add_flag("--wait", options.wait, "sleep when there is nothing to do, instead of polling");
}

void add_client(CLI::App& app, EchoOptions& options, std::string& peer, double& patience_s) {
  describe(app.add_option("--peer", peer, "the server: address and application port")->required(),
           "IP:PORT");
  describe(app.add_option("--size", options.size, "message size")->check(CLI::Range(0, 64 << 20)),
           "BYTES");
  describe(app.add_option("--window", options.window, "messages outstanding per flow")
               ->check(CLI::Range(1, 65'536)),
           "MESSAGES");
  describe(
      app.add_option("--flows", options.flows, "flows at a time")->check(CLI::Range(1, 65'536)),
      "FLOWS");
  describe(app.add_option("--seconds", options.seconds, "measuring time")
               ->check(CLI::Range(0.001, 86'400.0)),
           "SECONDS");
  describe(app.add_option("--messages", options.messages, "send so many instead; 0: by time"),
           "MESSAGES");
  describe(app.add_option("--patience", patience_s, "without a reply for so long it has failed")
               ->check(CLI::Range(0.001, 3'600.0)),
           "SECONDS");
  app.add_flag("--verify,!--no-verify", options.verify,
               "compare every reply byte for byte (the default)");
  describe(app.add_option("--json", options.json, "write the figures to this file (- is stdout)"),
           "FILE");
  describe(app.add_option("--wire", options.wire, "name of the wire, for the figures"), "NAME");
}

std::vector<Row> rows_of(const EchoOptions& options, const char* placement,
                         const EchoResult& result) {
  Sample sample{{"messages", "messages", static_cast<double>(result.messages)}};
  add_latency(sample, result.rtt);
  sample.push_back({"rate", "messages/s", result.rate});
  sample.push_back({"goodput", "bit/s", result.rate * 8.0 * options.size});
  CaseRepeats one{
      .labels = {.name = fmt::format("{} {} B, window {}", placement, options.size, options.window),
                 .wire = options.wire,
                 .placement = placement,
                 .size = options.size,
                 .has_size = true,
                 .window = options.window},
      .repeats = {}};
  one.repeats.push_back({.sample = std::move(sample)});
  return summarise({one});
}

}  // namespace

std::optional<int> parse_echo_options(int argc, char** argv, EchoOptions& options) {
  CLI::App app{"Echo over Proa: a server sends back what clients send; a client measures it."};
  app.require_subcommand(1);
  auto* const server = app.add_subcommand("server", "send every message back");
  add_common(*server, options);
  describe(
      server->add_option("--port", options.port, "application port")->check(CLI::Range(1, 65'535)),
      "PORT");
  server->add_flag("--once", options.once, "end when the last flow has ended");
  auto* const client = app.add_subcommand("client", "send, verify and measure");
  std::string peer;
  double patience_s = 5;
  add_common(*client, options);
  add_client(*client, options, peer, patience_s);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  options.server = server->parsed();
  if (options.server) return std::nullopt;
  const auto endpoint = parse_endpoint(peer);
  if (!endpoint) {
    say_echo("--peer: expected address:port, as in 10.0.0.2:7000 or [fd00::2]:7000, got \"" + peer +
             "\"");
    return 2;
  }
  options.peer = *endpoint;
  options.patience = Duration{static_cast<Duration::rep>(patience_s * 1e9)};
  return std::nullopt;
}

bool report_echo(const EchoOptions& options, const char* placement, const EchoResult& result) {
  std::FILE* const people = options.json == "-" ? stderr : stdout;
  fmt::print(people, "{} messages of {} B {}, {:.0f}/s in {:.2f} s, {:.3g} Gbit/s each way\n",
             result.messages, options.size, options.verify ? "verified" : "echoed", result.rate,
             result.seconds, result.rate * 8e-9 * options.size);
  fmt::print(people,
             "RTT p50 {:.2f} us, p99 {:.2f} us, p99.9 {:.2f} us, longest {:.0f} us (window {}, {} "
             "flows)\n",
             result.rtt.quantile_ns(0.5) / 1e3, result.rtt.quantile_ns(0.99) / 1e3,
             result.rtt.quantile_ns(0.999) / 1e3, result.rtt.quantile_ns(1) / 1e3, options.window,
             options.flows);
  if (options.json.empty()) return true;
  std::FILE* const out = options.json == "-" ? stdout : std::fopen(options.json.c_str(), "w");
  if (out == nullptr) {
    say_echo(fmt::format("--json: cannot write {}: {}", options.json, std::strerror(errno)));
    return false;
  }
  for (const auto& row : rows_of(options, placement, result))
    fmt::print(out, "{}\n", to_json("echo", row));
  if (out != stdout) std::fclose(out);
  return true;
}

void watch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { echo_stop = 1; };
  ::sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

void say_echo(const std::string& sentence) { fmt::print(stderr, "echo: {}\n", sentence); }

bool pin_echo(std::uint32_t core) {
  return core == EchoOptions::no_core || pin(static_cast<int>(core));
}

}  // namespace proa::bench
