// Test support: both ends of a channel in one process, and an engine that sends everything back.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <stdexcept>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/ipc/channel_client.hpp>
#include <proa/ipc/channel_server.hpp>

namespace proa::test {

template <class T>
T must(tl::expected<T, std::string> value) {
  if (!value) throw std::runtime_error{value.error()};
  return std::move(*value);
}
inline void must(const tl::expected<void, std::string>& done) {
  if (!done) throw std::runtime_error{done.error()};
}

inline ChannelGeometry small_geometry() {
  ChannelGeometry g;
  g.send_bytes = g.receive_bytes = std::uint64_t{2} << 20;
  g.request_slots = g.event_slots = 64;
  g.flows_max = 16;
  g.message_bytes_max = 512 * 1024;
  g.flow_messages_max = 64;
  g.flow_bytes_max = 1024 * 1024;
  g.inline_messages_max = 128;
  g.blocks_max = 64;
  g.leases_max = 32;
  return g;
}

/// The shared memory of one channel as attach makes it: sealed, each side with its own mappings.
struct ChannelFiles {
  explicit ChannelFiles(const ChannelGeometry& g)
      : geometry(g),
        send(must(make_shared_memory("proa-test-send", send_layout(g).bytes()))),
        receive(must(make_shared_memory("proa-test-receive", receive_layout(g).bytes()))) {
    const auto send_size = send_layout(g).bytes(), receive_size = receive_layout(g).bytes();
    server_receive = must(SharedMapping::map(receive.get(), receive_size, MapAccess::read_write));
    must(seal_against_new_writers(receive.get()));
    client_send = must(SharedMapping::map(send.get(), send_size, MapAccess::read_write));
    client_receive = must(SharedMapping::map(receive.get(), receive_size, MapAccess::read_only));
    must(seal_against_new_writers(send.get()));
    server_send = must(SharedMapping::map(send.get(), send_size, MapAccess::read_only));
    auto bells = must(Doorbell::make_pair());
    server_bell = std::move(bells.first);
    client_bell = std::move(bells.second);
  }
  ChannelGeometry geometry;
  OwnedFd send, receive;
  SharedMapping server_send, server_receive, client_send, client_receive;
  Doorbell server_bell, client_bell;
};

/// A stand-in for the engine: every message comes back on its flow. `hold` keeps sent messages
/// unacknowledged; `refuse` answers submit.
struct EchoEngine {
  struct Flow {
    ChannelHandle handle;
    std::uint32_t next_number = 100;  // engines start anywhere
    bool open = false;
    std::vector<bool> notify{};
  };
  struct Sent {
    std::uint32_t key;
    MessageBlock block;
    std::uint32_t number;
    bool notify;
  };
  explicit EchoEngine(ChannelServer& s) : server(s) {}

  Expected<std::uint32_t> connect(ChannelHandle handle, const Endpoint& peer, Instant) noexcept {
    if (peer.port == 0) return failed(Reason::no_route);
    flows.push_back({handle, 100, true, {}});
    const auto key = static_cast<std::uint32_t>(flows.size() - 1);
    connected.push_back(key);
    return key;
  }
  Expected<MessageNumber> submit(std::uint32_t key, const MessageBlock& block,
                                 bool notify) noexcept {
    if (!flows.at(key).open) return failed(Reason::no_such_flow);
    if (refuse != Reason::none) return failed(refuse);
    const std::uint32_t number = flows[key].next_number++;
    sent.push_back({key, block, number, notify});
    return MessageNumber{number};
  }
  void close(std::uint32_t key, Instant) noexcept { end(key, Reason::closed_by_application); }
  void reset(std::uint32_t key) noexcept { end(key, Reason::reset_by_application); }
  bool describe(std::uint32_t key, FlowDetails& details) noexcept {
    details.packets_sent = key;
    details.peer.port = 7000;
    return flows.at(key).open;
  }
  void end(std::uint32_t key, Reason reason) {
    if (!flows.at(key).open) return;
    flows[key].open = false;
    closed.emplace_back(key, reason);
  }

  /// One turn: requests, events as far as there is room, publish.
  void turn() {
    server.pull(*this, 64);
    while (!connected.empty() && server.room()) {
      server.deliver_connected(flows[connected.front()].handle);
      connected.pop_front();
    }
    while (!hold && !sent.empty() && server.room() && echo(sent.front())) sent.pop_front();
    while (!closed.empty() && connected.empty() && server.room()) {
      const auto [key, reason] = closed.front();
      closed.pop_front();
      drop_sent_of(key);
      server.deliver_closed(flows[key].handle, reason);
    }
    server.publish();
  }

  bool echo(const Sent& s) {
    ChannelMemory& memory = server.memory();
    auto back = memory.reserve(s.block.length);
    if (!back) return false;
    std::vector<std::byte> bytes(s.block.length);
    memory.read(s.block, 0, bytes);
    memory.write(*back, 0, bytes);
    memory.release(s.block);
    server.deliver_message(flows[s.key].handle, *back);
    if (s.notify) server.deliver_sent(flows[s.key].handle, MessageNumber{s.number});
    return true;
  }
  void drop_sent_of(std::uint32_t key) {
    for (auto it = sent.begin(); it != sent.end();) {
      if (it->key != key) {
        ++it;
        continue;
      }
      server.memory().release(it->block);
      it = sent.erase(it);
    }
  }
  /// The engine forgets an application: as abandon() does.
  void drop_all() {
    for (const Sent& s : sent) server.memory().release(s.block);
    sent.clear();
  }

  ChannelServer& server;
  std::vector<Flow> flows;
  std::deque<std::uint32_t> connected;
  std::deque<Sent> sent;
  std::deque<std::pair<std::uint32_t, Reason>> closed;
  Reason refuse = Reason::none;
  bool hold = false;
};

struct ChannelPair {
  explicit ChannelPair(const ChannelGeometry& g = small_geometry())
      : files(g),
        server(g, std::move(files.server_send), std::move(files.server_receive),
               std::move(files.server_bell)),
        memory(g, std::move(files.client_send), std::move(files.client_receive)),
        client(std::make_unique<ChannelClient>(memory, std::move(files.client_bell))),
        engine(server) {}

  ChannelFiles files;
  ChannelServer server;
  ClientMemory memory;
  std::unique_ptr<ChannelClient> client;
  EchoEngine engine;
};

inline std::vector<std::byte> pattern(std::uint64_t seed, std::size_t length) {
  Prng prng{seed};
  std::vector<std::byte> bytes(length);
  for (std::byte& b : bytes) b = static_cast<std::byte>(prng.next() & 0xff);
  return bytes;
}

}  // namespace proa::test
