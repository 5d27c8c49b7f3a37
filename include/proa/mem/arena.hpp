// L1: hands out blocks of a region by offset. What it knows is private: the region is never
// touched.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <proa/base/check.hpp>
#include <proa/mem/heap_region.hpp>

namespace proa {

/// Blocks of 64 B to 32 KiB (powers of two) are objects of slabs, one slab per 64 KiB page; larger
/// blocks are a power of two of pages from a buddy allocator. Every block is aligned to its size or
/// to 64 KiB, whichever is smaller, relative to the region's start. What was released last is
/// handed out first (still in the processor's cache); for the smallest classes a stack of such
/// offsets stands before the slabs. Costs: small blocks O(1), large O(log pages); giving back the
/// stacks and empty slabs when memory runs out O(500).
/// Threading: none. Errors: values; a wrong offset given to release() changes nothing. The
/// bookkeeping is allocated by the constructor (about 2 KiB of address space per page, touched only
/// when a page becomes a slab).
class Arena {
 public:
  static constexpr std::uint32_t page_bytes = 64 * 1024;
  static constexpr std::uint32_t object_bytes_min = 64;

  /// Manages offsets [0, region_bytes rounded down to whole pages). May throw std::bad_alloc.
  explicit Arena(std::uint64_t region_bytes)
      : pages_(static_cast<std::uint32_t>(
            std::min<std::uint64_t>(region_bytes / page_bytes, no_page - 1U))),
        page_(pages_),
        units_(std::size_t{pages_} * units_per_page * sizeof(std::uint16_t)) {
    heads_.fill(no_page);
    partial_.fill(no_page);
    spare_.fill(no_page);
    for (std::uint32_t at = 0; at < pages_;) {
      const std::uint32_t order = top_order_at(at);
      push_free(at, order);
      at += 1U << order;
    }
  }

  /// A block of at least `bytes`; nothing when no block is free.
  [[nodiscard, gnu::always_inline]] std::optional<std::uint64_t> allocate(
      std::uint64_t bytes) noexcept {
    const std::uint64_t offset = take(bytes);
    return offset == no_block ? std::nullopt : std::optional{offset};
  }

  static constexpr std::uint64_t no_block = UINT64_MAX;
  /// The same, or no_block.
  [[nodiscard]] std::uint64_t take(std::uint64_t bytes) noexcept {
    if (bytes <= stacked_bytes_max) [[likely]] {
      const std::uint32_t size_class = class_for(bytes);
      if (Stack& stack = stacks_[size_class]; stack.count != 0) [[likely]] {
        const std::uint64_t offset = stack.offsets[--stack.count];
        unit(offset) = unit_in_use;
        used_ += object_bytes(size_class);
        audit();
        return offset;
      }
    }
    return take_elsewhere(bytes);
  }

  /// Like allocate(), but may use the block kept back.
  [[nodiscard]] std::optional<std::uint64_t> allocate_last(std::uint64_t bytes) noexcept {
    if (auto offset = allocate(bytes)) return offset;
    if (!kept_ || kept_lent_ || bytes > size_of(*kept_)) return std::nullopt;
    kept_lent_ = true;
    used_ += size_of(*kept_);
    return kept_;
  }

  /// Keeps one block of at least `bytes` back for allocate_last(); false when there is none or one
  /// is kept already. It counts as free.
  [[nodiscard]] bool keep_back(std::uint64_t bytes) noexcept {
    if (kept_ || bytes > capacity()) return false;
    kept_ = take_pages(order_for(bytes));
    if (kept_) used_ -= size_of(*kept_);
    return kept_.has_value();
  }

  /// False when `offset` is not the start of an allocated block: nothing happened.
  [[nodiscard]] bool release(std::uint64_t offset) noexcept {
    if (offset >= capacity()) return false;
    if (offset % object_bytes_min != 0 || unit(offset) != unit_in_use) [[unlikely]]
      return release_pages(offset);
    const std::uint32_t size_class = page_[page_of(offset)].order;
    used_ -= object_bytes(size_class);
    if (size_class < stacks_.size()) [[likely]] {
      Stack& stack = stacks_[size_class];
      if (stack.count == stacked_max) [[unlikely]]
        shrink(stack, stacked_max / 2);
      unit(offset) = unit_stacked;
      stack.offsets[stack.count++] = offset;
    } else {
      give_object(offset);
    }
    audit();
    return true;
  }

  /// Bytes usable at `offset`; 0 when no block handed out or kept back starts there.
  [[nodiscard]] std::uint64_t size_of(std::uint64_t offset) const noexcept {
    if (!is_block(offset)) return 0;
    const Page& page = page_[page_of(offset)];
    return page.state == State::slab ? object_bytes(page.order)
                                     : std::uint64_t{page_bytes} << page.order;
  }

  /// True when `offset` is the start of a block handed out and not released.
  [[nodiscard]] bool is_allocated(std::uint64_t offset) const noexcept {
    return is_block(offset) && (kept_ != offset || kept_lent_);
  }

  [[nodiscard]] std::uint64_t capacity() const noexcept {
    return std::uint64_t{pages_} * page_bytes;
  }
  [[nodiscard]] std::uint64_t used() const noexcept { return used_; }
  [[nodiscard]] std::uint64_t free() const noexcept { return capacity() - used_; }
  /// Size of the block kept back, lent or not; 0 when none is.
  [[nodiscard]] std::uint64_t kept() const noexcept { return kept_ ? size_of(*kept_) : 0; }

  /// Null, or the name of the first broken invariant. O(pages).
  [[nodiscard]] const char* broken_invariant() const noexcept;

 private:
  enum class State : std::uint8_t { body, free, large, slab };
  struct Page {
    std::uint32_t prev = no_page;  // neighbours in a free list or in the class's partial slabs
    std::uint32_t next = no_page;
    std::uint16_t free_head = no_object;  // slab: last released object
    std::uint16_t fresh = 0;              // slab: objects from here on were never handed out
    std::uint16_t used = 0;               // slab: objects handed out or in a stack
    State state = State::body;            // `body`: not the first page of anything
    std::uint8_t order = 0;               // log2 of the pages, or the slab's class
  };

  static constexpr std::uint32_t no_page = 0xffff'ffffU;
  static constexpr std::uint16_t no_object = 0xfffdU;
  // What is known of the 64 bytes at an offset: the start of an object in use, of one in a stack,
  // or anything else: the next free object of its slab, or nothing.
  static constexpr std::uint16_t unit_in_use = 0xffffU;
  static constexpr std::uint16_t unit_stacked = 0xfffeU;
  static constexpr std::uint32_t units_per_page = page_bytes / object_bytes_min;
  static constexpr std::uint32_t stacked_max = 64;  // a window of messages on their way
  static constexpr std::uint32_t stacked_classes = 7;
  static constexpr std::uint64_t stacked_bytes_max = object_bytes_min << (stacked_classes - 1);
  static constexpr std::uint32_t classes = 10;  // 64 B .. 32 KiB
  static constexpr std::uint32_t orders = 32;

  struct Stack {
    std::uint32_t count = 0;
    std::array<std::uint64_t, stacked_max> offsets;
  };

  static constexpr std::uint64_t object_bytes(std::uint32_t size_class) noexcept {
    return std::uint64_t{object_bytes_min} << size_class;
  }
  // A division by a size that is not a constant would cost more than the rest of release().
  static constexpr unsigned object_shift(std::uint32_t size_class) noexcept {
    return 6U + size_class;
  }
  static constexpr std::uint32_t objects_in(std::uint32_t size_class) noexcept {
    return units_per_page >> size_class;
  }
  static constexpr std::uint32_t class_for(std::uint64_t bytes) noexcept {
    if (bytes <= object_bytes_min) return 0;
    return static_cast<std::uint32_t>(std::bit_width(bytes - 1)) - 6U;
  }
  static constexpr std::uint32_t order_for(std::uint64_t bytes) noexcept {
    if (bytes <= page_bytes) return 0;
    return static_cast<std::uint32_t>(std::bit_width(bytes - 1)) - 16U;
  }
  static constexpr std::uint32_t page_of(std::uint64_t offset) noexcept {
    return static_cast<std::uint32_t>(offset / page_bytes);
  }
  static constexpr std::uint64_t offset_of(std::uint32_t page) noexcept {
    return std::uint64_t{page} * page_bytes;
  }

  /// The largest order a free block at page `at` may have: aligned and inside the region.
  [[nodiscard]] std::uint32_t top_order_at(std::uint32_t at) const noexcept {
    const auto fits = static_cast<std::uint32_t>(std::bit_width(pages_ - at)) - 1U;
    const auto aligned = at == 0 ? orders - 1 : static_cast<std::uint32_t>(std::countr_zero(at));
    return std::min(fits, aligned);
  }

  [[nodiscard]] bool is_block(std::uint64_t offset) const noexcept {
    if (offset >= capacity()) return false;
    const Page& page = page_[page_of(offset)];
    const auto inside = static_cast<std::uint32_t>(offset % page_bytes);
    if (page.state == State::large) return inside == 0;
    if (page.state != State::slab) return false;
    return inside % object_bytes_min == 0 && unit(offset) == unit_in_use;
  }

  [[nodiscard]] std::uint16_t& unit(std::uint64_t offset) const noexcept {
    return reinterpret_cast<std::uint16_t*>(units_.data())[offset / object_bytes_min];
  }

  void unlink(std::uint32_t at, std::uint32_t& head) noexcept {
    Page& page = page_[at];
    if (page.prev != no_page)
      page_[page.prev].next = page.next;
    else
      head = page.next;
    if (page.next != no_page) page_[page.next].prev = page.prev;
    page.prev = page.next = no_page;
  }
  void link(std::uint32_t at, std::uint32_t& head) noexcept {
    Page& page = page_[at];
    page.prev = no_page;
    page.next = head;
    if (head != no_page) page_[head].prev = at;
    head = at;
  }

  void push_free(std::uint32_t at, std::uint32_t order) noexcept {
    page_[at].state = State::free;
    page_[at].order = static_cast<std::uint8_t>(order);
    link(at, heads_[order]);
  }

  [[nodiscard]] std::uint32_t find_pages(std::uint32_t order) noexcept {
    std::uint32_t from = order;
    while (from < orders && heads_[from] == no_page) ++from;
    if (from >= orders) return no_page;
    const std::uint32_t at = heads_[from];
    unlink(at, heads_[from]);
    while (from > order) {  // the lower half is taken: the hottest after a merge
      --from;
      push_free(at + (1U << from), from);
    }
    page_[at].state = State::large;
    page_[at].order = static_cast<std::uint8_t>(order);
    return at;
  }

  [[gnu::noinline]] std::uint64_t take_elsewhere(std::uint64_t bytes) noexcept {
    if (bytes > capacity()) return no_block;
    const auto offset =
        bytes > page_bytes / 2 ? take_pages(order_for(bytes)) : take_object(class_for(bytes));
    audit();
    return offset.value_or(no_block);
  }

  std::optional<std::uint64_t> take_pages(std::uint32_t order) noexcept {
    std::uint32_t at = find_pages(order);
    if (at == no_page && reclaim()) at = find_pages(order);
    if (at == no_page) return std::nullopt;
    used_ += std::uint64_t{page_bytes} << order;
    return offset_of(at);
  }

  void give_pages(std::uint32_t at) noexcept {
    std::uint32_t order = page_[at].order;
    while (order + 1 < orders) {
      const std::uint32_t buddy = at ^ (1U << order);
      if (buddy >= pages_ || page_[buddy].state != State::free || page_[buddy].order != order)
        break;
      unlink(buddy, heads_[order]);
      page_[std::max(at, buddy)].state = State::body;
      at = std::min(at, buddy);
      ++order;
    }
    push_free(at, order);
  }

  std::optional<std::uint64_t> take_object(std::uint32_t size_class) noexcept {
    std::uint32_t at = partial_[size_class];
    if (at == no_page && (at = new_slab(size_class)) == no_page) return std::nullopt;
    Page& page = page_[at];
    if (spare_[size_class] == at) spare_[size_class] = no_page;
    std::uint32_t index = page.free_head;
    if (index == no_object) index = page.fresh++;
    const std::uint64_t offset = offset_of(at) + index * object_bytes(size_class);
    std::uint16_t& entry = unit(offset);
    if (page.free_head != no_object) page.free_head = entry;
    entry = unit_in_use;
    if (++page.used == objects_in(size_class)) unlink(at, partial_[size_class]);
    used_ += object_bytes(size_class);
    return offset;
  }

  [[nodiscard]] std::uint32_t new_slab(std::uint32_t size_class) noexcept {
    std::uint32_t at = find_pages(0);
    if (at == no_page && reclaim()) at = find_pages(0);
    if (at == no_page) return no_page;
    page_[at] = Page{};
    page_[at].state = State::slab;
    page_[at].order = static_cast<std::uint8_t>(size_class);
    link(at, partial_[size_class]);
    return at;
  }

  [[nodiscard]] bool release_pages(std::uint64_t offset) noexcept {
    if (!is_allocated(offset)) return false;
    used_ -= size_of(offset);
    if (kept_ == offset)
      kept_lent_ = false;
    else
      give_pages(page_of(offset));
    return true;
  }

  /// An object goes back to its slab. One empty slab per class stays a slab, so that a lone message
  /// sent again and again does not make and unmake one each time.
  void give_object(std::uint64_t offset) noexcept {
    const std::uint32_t at = page_of(offset);
    Page& page = page_[at];
    const std::uint32_t size_class = page.order;
    unit(offset) = page.free_head;
    page.free_head = static_cast<std::uint16_t>((offset % page_bytes) >> object_shift(size_class));
    const bool was_full = page.used-- == objects_in(size_class);
    if (!was_full && partial_[size_class] != at) unlink(at, partial_[size_class]);
    if (was_full || partial_[size_class] != at) link(at, partial_[size_class]);
    if (page.used != 0) return;
    if (spare_[size_class] != no_page) drop_slab(spare_[size_class]);
    spare_[size_class] = at;
  }

  /// Gives the oldest objects of a stack back to their slabs until `count` are left.
  [[gnu::noinline]] void shrink(Stack& stack, std::uint32_t count) noexcept {
    const std::uint32_t surplus = stack.count - count;
    for (std::uint32_t i = 0; i < surplus; ++i) give_object(stack.offsets[i]);
    std::copy(stack.offsets.begin() + surplus, stack.offsets.begin() + stack.count,
              stack.offsets.begin());
    stack.count = count;
  }

  void drop_slab(std::uint32_t at) noexcept {
    unlink(at, partial_[page_[at].order]);
    page_[at] = Page{};
    page_[at].state = State::large;  // order 0
    give_pages(at);
  }

  /// Makes pages of what is not in use; false when there was nothing to make any of.
  [[nodiscard]] bool reclaim() noexcept {
    bool any = false;
    for (Stack& stack : stacks_) shrink(stack, 0);
    for (std::uint32_t size_class = 0; size_class < classes; ++size_class) {
      if (spare_[size_class] == no_page) continue;
      drop_slab(spare_[size_class]);
      spare_[size_class] = no_page;
      any = true;
    }
    return any;
  }

  void audit() const noexcept {
    if (pages_ <= 64) PROA_AUDIT(*this);  // larger ones only where a test asks: O(pages) each time
  }

  std::uint32_t pages_;
  std::vector<Page> page_;
  HeapRegion units_;  // one std::uint16_t per 64 bytes, see unit_in_use
  std::array<std::uint32_t, orders> heads_{};
  std::array<std::uint32_t, classes> partial_{};  // slabs with a free object
  std::array<std::uint32_t, classes> spare_{};    // the one empty slab among them
  std::array<Stack, stacked_classes> stacks_;     // released last, handed out first
  std::uint64_t used_ = 0;
  std::optional<std::uint64_t> kept_;
  bool kept_lent_ = false;
};

}  // namespace proa

#include <proa/mem/arena_audit.hpp>
