// e2e: two processes whose NICs lose, repeat, delay and corrupt what they send: every message of 0
// bytes to 8 MiB arrives whole, once and in order all the same.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <proa/in_process.hpp>
#include <proa/nic/lossy_port.hpp>
#include <string>

#include "apps/echo.hpp"
#include "process.hpp"
#include "raw_wire.hpp"

namespace {

using namespace proa;
using namespace proa::bench;
using Net = Stack<InProcess<Lossy<DpdkNic>>>;

constexpr std::uint16_t port = 7000;
constexpr std::chrono::minutes patience{2};  // what takes seconds on an idle machine

struct Run {
  std::uint32_t size, window, flows;
  std::uint64_t messages;
};

constexpr Run runs[] = {
    {0, 16, 3, 600}, {1'000, 8, 3, 600}, {100'000, 4, 2, 40}, {8U << 20U, 2, 1, 5}};

/// What an end has to say once it is done, or why it could not.
struct Word {
  char wrong[256] = {};
  LossyCounters sent{};

  Word() = default;
  explicit Word(const std::string& what) { what.copy(wrong, sizeof wrong - 1); }
};

LossyFaults faults_of(std::uint32_t loss_ppm) {
  LossyFaults out;
  out.drop_ppm = loss_ppm;
  out.duplicate_ppm = 2'000;
  out.reorder_ppm = 2'000;
  out.corrupt_ppm = 1'000;
  return out;
}

IpAddress address_of(std::size_t end) {
  return IpAddress::v4(10, 117, 0, static_cast<std::uint8_t>(11 + end));
}

tl::expected<Net, std::string> open_stack(const Wire& wire, std::size_t end,
                                          std::uint32_t loss_ppm) {
  Net::Options options;
  options.nic = decltype(options.nic){wire.enter(end)};
  options.nic.tx = faults_of(loss_ppm);
  options.nic.seed = end + 1;
  options.interface.mtu_bytes = wire.mtu();
  options.interface.addresses = {{address_of(end), 24}};
  return Net::open(options);
}

std::string echo(Net& net, const Run& run) {
  EchoOptions options;
  options.peer = {address_of(1), port};
  options.size = run.size;
  options.window = run.window;
  options.flows = run.flows;
  options.messages = run.messages;
  options.patience = patience;
  const auto result = EchoClient<Net>{net, options}.run([] { return false; });
  const std::string where = std::to_string(run.size) + " bytes: ";
  if (!result) return where + result.error();
  return result->messages == run.messages ? "" : where + "replies are missing";
}

std::string echo_all(Net& net) {
  for (const Run& run : runs)
    if (auto wrong = echo(net, run); !wrong.empty()) return wrong;
  return "";
}

/// Opens its stack, waits for the start, does its part, says what it saw.
template <class Body>
int run_end(const Wire& wire, std::size_t end, std::uint32_t loss_ppm, Control& control,
            const Body& body) {
  auto net = open_stack(wire, end, loss_ppm);
  if (!net) return control.send(Word{net.error()}), 1;
  if (!net->listen({port})) return control.send(Word{"cannot listen"}), 1;
  control.send(Word{});
  while (!control.ready()) static_cast<void>(net->poll());  // it answers its neighbours
  static_cast<void>(control.receive<char>());
  Word word{body(*net)};
  word.sent = net->placement().nic().tx_counters();
  control.send(word);
  while (!control.ready()) static_cast<void>(net->poll());
  return 0;
}

Word heard(ChildProcess& end, const std::string& who) {
  const auto word = end.control().receive<Word>(patience + std::chrono::seconds{30});
  return word ? *word : Word{who + " ended or said nothing"};
}

/// That the wire was as bad as it was meant to be: else the test shows nothing.
void check_faults(const LossyCounters& sent, std::uint32_t loss_ppm) {
  // 40 MiB each way in packets of at most 1500 bytes.
  CHECK(sent.passed > 27'000);
  CHECK(sent.dropped * 1'000'000 > (sent.passed + sent.dropped) * loss_ppm / 2);
  CHECK(sent.duplicated > 0);
  CHECK(sent.reordered > 0);
  CHECK(sent.corrupted > 0);
}

void echo_over(const Wire& wire, std::uint32_t loss_ppm) {
  CAPTURE(wire.name(), loss_ppm);
  auto server = ChildProcess::start([&](Control& control) {
    return run_end(wire, 1, loss_ppm, control, [&](Net& net) {
      EchoServer<Net> echoes{net};
      std::uint32_t asked = 0;
      echoes.run(false, [&] { return ++asked % 1024 == 0 && control.ready(); });
      static_cast<void>(control.receive<char>());
      return std::string{};
    });
  });
  REQUIRE(server);
  auto client = ChildProcess::start(
      [&](Control& control) { return run_end(wire, 0, loss_ppm, control, echo_all); });
  REQUIRE(client);
  REQUIRE(std::string{heard(*server, "server").wrong} == "");
  REQUIRE(std::string{heard(*client, "client").wrong} == "");
  server->control().send('g');
  client->control().send('g');
  const Word of_client = heard(*client, "client");
  CHECK(std::string{of_client.wrong} == "");
  server->control().send('s');
  const Word of_server = heard(*server, "server");
  CHECK(std::string{of_server.wrong} == "");
  check_faults(of_client.sent, loss_ppm);
  check_faults(of_server.sent, loss_ppm);
}

void echo_lossy(const std::string& name) {
  const auto wire = Wire::make(name);
  if (!wire) FAIL(wire.error());
  for (const std::uint32_t loss_ppm : {10'000U, 50'000U}) echo_over(*wire, loss_ppm);
}

}  // namespace

TEST_CASE("messages of up to 8 MiB cross memif although 1 % and 5 % are lost", "[lossy]") {
  echo_lossy("memif");
}

TEST_CASE("messages of up to 8 MiB cross a veth pair although 1 % and 5 % are lost",
          "[lossy][root]") {
  echo_lossy("veth-af_packet");
}
