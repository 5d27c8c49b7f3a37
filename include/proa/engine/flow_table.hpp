// L3: where an engine's flows live, and how packets and applications find them.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include <proa/base/check.hpp>
#include <proa/base/prng.hpp>
#include <proa/engine/app_side.hpp>
#include <proa/engine/lazy_array.hpp>

namespace proa {

inline constexpr unsigned engine_bits = 6;  // of a flow id: who owns the flow
inline constexpr std::uint32_t engines_max = 1U << engine_bits;
inline constexpr std::uint32_t flows_max = 1U << 20U;   // per engine: the index part of a FlowKey
inline constexpr std::uint32_t no_slot = 0xffff'ffffU;  // no flow (not an optional: one register)

/// Hands out local flow ids: a counter through a keyed permutation of 26 bits, with the engine's
/// index below. Not to be guessed from outside, and none comes again before 2^26 others: at up to
/// a million new flows per second an id rests at least 60 s, and remembering none costs no memory.
class FlowIdSequence {
 public:
  FlowIdSequence(std::uint32_t engine, std::uint64_t seed) noexcept : engine_(engine) {
    Prng random{seed};
    for (auto& key : keys_) key = random.next();
    counter_ = random.next32() & mask;
  }

  [[nodiscard]] std::uint32_t next() noexcept {
    std::uint32_t id = 0;
    do {
      counter_ = (counter_ + 1) & mask;
      id = permute(counter_) << engine_bits | engine_;
    } while (id == 0);  // 0 is the destination of packets that know no flow yet
    return id;
  }

 private:
  static constexpr unsigned half_bits = 13;
  static constexpr std::uint32_t half_mask = (1U << half_bits) - 1;
  static constexpr std::uint32_t mask = (1U << (2 * half_bits)) - 1;

  // A balanced Feistel network: a bijection whatever the round function.
  [[nodiscard]] std::uint32_t permute(std::uint32_t in) const noexcept {
    std::uint32_t left = in >> half_bits;
    std::uint32_t right = in & half_mask;
    for (const auto key : keys_) {
      const auto mixed = static_cast<std::uint32_t>(Prng{key ^ right}.next() >> 40U) & half_mask;
      left = std::exchange(right, left ^ mixed);
    }
    return left << half_bits | right;
  }

  std::array<std::uint64_t, 6> keys_{};
  std::uint32_t counter_ = 0;
  std::uint32_t engine_;
};

/// Open addressing from a 32-bit hash to a slot: linear probing, at most half full, deletion
/// without tombstones. Several slots may share a hash; `same(slot)` tells them apart.
class HashIndex {
 public:
  explicit HashIndex(std::uint32_t entries)
      : cells_(std::bit_ceil(std::size_t{entries} * 2 + 2)),
        mask_(static_cast<std::uint32_t>(cells_.size() - 1)) {}

  void insert(std::uint32_t hash, std::uint32_t slot) noexcept {
    std::uint32_t at = home(hash);
    while (cells_[at].slot != 0) at = (at + 1) & mask_;
    cells_[at] = {hash, slot + 1};
  }

  template <class Same>
  [[nodiscard]] std::uint32_t find(std::uint32_t hash, Same&& same) const noexcept {
    for (std::uint32_t at = home(hash); cells_[at].slot != 0; at = (at + 1) & mask_)
      if (cells_[at].hash == hash && same(cells_[at].slot - 1)) return cells_[at].slot - 1;
    return no_slot;
  }

  /// find() comes soon.
  void prefetch(std::uint32_t hash) const noexcept { __builtin_prefetch(&cells_[home(hash)]); }

  void erase(std::uint32_t hash, std::uint32_t slot) noexcept {
    std::uint32_t hole = home(hash);
    while (cells_[hole].slot != slot + 1 || cells_[hole].hash != hash) {
      PROA_CHECK(cells_[hole].slot != 0);
      hole = (hole + 1) & mask_;
    }
    // Whatever probed past the hole moves into it, so that probing needs no tombstones.
    for (std::uint32_t at = (hole + 1) & mask_; cells_[at].slot != 0; at = (at + 1) & mask_) {
      const std::uint32_t from_home = (at - home(cells_[at].hash)) & mask_;
      if (from_home < ((at - hole) & mask_)) continue;
      cells_[hole] = cells_[at];
      hole = at;
    }
    cells_[hole] = {};
  }

 private:
  struct Cell {
    std::uint32_t hash;
    std::uint32_t slot;  // + 1; 0: empty
  };
  // Flow ids carry their randomness in the upper bits, above the engine's index.
  [[nodiscard]] std::uint32_t home(std::uint32_t hash) const noexcept {
    return (hash >> engine_bits) & mask_;
  }

  detail::LazyArray<Cell> cells_;
  std::uint32_t mask_;
};

/// Up to `capacity` values of T (a flow and what the engine notes about it) in stable slots.
/// A slot's storage is touched only once it is used; freed slots are used again first.
template <class T>
class FlowTable {
 public:
  /// Throws std::bad_alloc. `capacity` is at most flows_max (EngineOptions see to it).
  FlowTable(std::uint32_t capacity, std::uint32_t engine, std::uint64_t seed)
      : cells_(capacity), by_id_(capacity), by_peer_(capacity), ids_(engine, seed) {
    PROA_CHECK(capacity <= flows_max);
    Prng random{seed ^ 0x7065'6572'6861'7368U};
    for (auto& key : peer_keys_) key = random.next() | 1U;
  }
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;
  ~FlowTable() {
    for_each([this](std::uint32_t slot) { std::launder(pointer(slot))->~T(); });
  }

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint32_t capacity() const noexcept {
    return static_cast<std::uint32_t>(cells_.size());
  }
  [[nodiscard]] bool full() const noexcept { return size_ == capacity(); }

  /// A local flow id nobody uses.
  [[nodiscard]] std::uint32_t fresh_id() noexcept {
    std::uint32_t id = ids_.next();
    while (find_id(id) != no_slot) id = ids_.next();
    return id;
  }

  /// Makes a T from `arguments` in a free slot, found by `local_id` from now on. Not when full().
  template <class... Arguments>
  std::uint32_t emplace(std::uint32_t local_id, Arguments&&... arguments) noexcept {
    PROA_CHECK(!full());
    const std::uint32_t slot = take_slot();
    Cell& cell = cells_[slot];
    cell.generation = static_cast<std::uint16_t>((cell.generation + 1U) & generation_mask);
    cell.used = true;
    cell.local_id = local_id;
    cell.has_peer = false;
    ::new (static_cast<void*>(cell.storage)) T(std::forward<Arguments>(arguments)...);
    by_id_.insert(local_id, slot);
    ++size_;
    return slot;
  }

  void erase(std::uint32_t slot) noexcept {
    Cell& cell = cells_[slot];
    PROA_CHECK(cell.used);
    by_id_.erase(cell.local_id, slot);
    if (cell.has_peer) by_peer_.erase(cell.peer_hash_or_next_free, slot);
    std::launder(pointer(slot))->~T();
    cell.used = false;
    cell.peer_hash_or_next_free = free_;
    free_ = slot + 1;
    --size_;
  }

  [[nodiscard]] T& operator[](std::uint32_t slot) noexcept { return *std::launder(pointer(slot)); }
  [[nodiscard]] const T& operator[](std::uint32_t slot) const noexcept {
    return *std::launder(reinterpret_cast<const T*>(cells_[slot].storage));
  }
  [[nodiscard]] bool used(std::uint32_t slot) const noexcept {
    return slot < cells_.size() && cells_[slot].used;
  }

  [[nodiscard]] std::uint32_t find_id(std::uint32_t local_id) const noexcept {
    return by_id_.find(local_id, [](std::uint32_t) { return true; });
  }

  /// With more flows than a cache holds a lookup and then each of a slot's lines is a miss, one
  /// after the other: whoever knows a little ahead what comes has them fetched side by side.
  void prefetch_id(std::uint32_t local_id) const noexcept { by_id_.prefetch(local_id); }
  void prefetch(std::uint32_t slot) const noexcept {
    const auto* const bytes = reinterpret_cast<const std::byte*>(&cells_[slot]);
    for (std::size_t at = 0; at < sizeof(Cell); at += 64) __builtin_prefetch(bytes + at, 1);
  }

  /// The slot a key names; no_slot once that flow is gone.
  [[nodiscard]] std::uint32_t find(FlowKey key) const noexcept {
    const std::uint32_t slot = key.value & (flows_max - 1);
    if (slot >= cells_.size()) return no_slot;
    const Cell& cell = cells_[slot];
    if (!cell.used || cell.generation != key.value >> index_bits) return no_slot;
    return slot;
  }
  [[nodiscard]] FlowKey key(std::uint32_t slot) const noexcept {
    return {std::uint32_t{cells_[slot].generation} << index_bits | slot};
  }

  /// Makes the slot findable by its peer's address and flow id (duplicate connection requests).
  void note_peer(std::uint32_t slot, const IpAddress& address, std::uint32_t peer_id) noexcept {
    Cell& cell = cells_[slot];
    PROA_CHECK(!cell.has_peer);
    cell.has_peer = true;
    cell.peer_hash_or_next_free = peer_hash(address, peer_id);
    by_peer_.insert(cell.peer_hash_or_next_free, slot);
  }
  /// `same(const T&)` compares the identity: hashes of different peers may be equal.
  template <class Same>
  [[nodiscard]] std::uint32_t find_peer(const IpAddress& address, std::uint32_t peer_id,
                                        Same&& same) const noexcept {
    return by_peer_.find(peer_hash(address, peer_id),
                         [&](std::uint32_t slot) { return same((*this)[slot]); });
  }

  /// Calls visit(slot) for each used slot; it may erase that slot.
  template <class Visit>
  void for_each(Visit&& visit) noexcept {
    for (std::uint32_t slot = 0; slot < fresh_; ++slot)
      if (cells_[slot].used) visit(slot);
  }
  [[nodiscard]] std::uint32_t slots_touched() const noexcept { return fresh_; }

 private:
  static constexpr unsigned index_bits = 20;
  static constexpr std::uint32_t generation_mask = (1U << (32 - index_bits)) - 1;

  struct Cell {  // all zero: never used
    std::uint16_t generation;
    bool used, has_peer;
    std::uint32_t local_id;
    std::uint32_t peer_hash_or_next_free;  // of the next free one: slot + 1
    alignas(T) std::byte storage[sizeof(T)];
  };

  [[nodiscard]] T* pointer(std::uint32_t slot) noexcept {
    return reinterpret_cast<T*>(cells_[slot].storage);
  }
  std::uint32_t take_slot() noexcept {
    if (free_ == 0) return fresh_++;
    const std::uint32_t slot = free_ - 1;
    free_ = cells_[slot].peer_hash_or_next_free;
    return slot;
  }
  // Keyed: a peer chooses its flow ids, and must not be able to choose colliding ones.
  [[nodiscard]] std::uint32_t peer_hash(const IpAddress& address,
                                        std::uint32_t peer_id) const noexcept {
    std::uint64_t half[2];
    std::memcpy(half, address.octets.data(), sizeof half);
    std::uint64_t h = Prng{half[0] ^ peer_keys_[0]}.next();
    h = Prng{h ^ half[1] ^ peer_keys_[1]}.next();
    return Prng{h ^ peer_id ^ peer_keys_[2]}.next32();
  }

  detail::LazyArray<Cell> cells_;
  HashIndex by_id_;
  HashIndex by_peer_;
  FlowIdSequence ids_;
  std::array<std::uint64_t, 3> peer_keys_{};
  std::uint32_t size_ = 0;
  std::uint32_t free_ = 0;   // slot + 1 of the newest freed slot
  std::uint32_t fresh_ = 0;  // slots from here on were never used
};

}  // namespace proa
