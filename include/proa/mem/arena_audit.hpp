// L1: what must be true of an arena at any moment; included by arena.hpp only.
#pragma once
#include <proa/mem/arena.hpp>

namespace proa {

inline const char* Arena::broken_invariant() const noexcept {
  std::uint64_t used = 0;
  std::uint64_t listed_free = 0, listed_partial = 0;
  for (std::uint32_t order = 0; order < orders; ++order)
    for (std::uint32_t at = heads_[order]; at != no_page; at = page_[at].next, ++listed_free)
      if (page_[at].state != State::free || page_[at].order != order) return "free list";
  for (std::uint32_t c = 0; c < classes; ++c) {
    std::uint32_t empty = 0;
    for (std::uint32_t at = partial_[c]; at != no_page; at = page_[at].next, ++listed_partial) {
      if (page_[at].state != State::slab || page_[at].order != c) return "partial slab list";
      if (page_[at].used == 0 && (++empty > 1 || spare_[c] != at)) return "spare slab";
    }
    if (empty == 0 && spare_[c] != no_page) return "spare slab";
  }
  for (std::uint32_t at = 0; at < pages_;) {
    const Page& page = page_[at];
    const std::uint32_t span = page.state == State::slab ? 1U : 1U << page.order;
    if (page.state == State::body) return "a page belongs to nothing";
    if (span > pages_ - at) return "a block passes the end";
    for (std::uint32_t i = 1; i < span; ++i)
      if (page_[at + i].state != State::body) return "blocks overlap";
    if (page.state == State::free) {
      --listed_free;
      const std::uint32_t buddy = at ^ span;
      if (page.order + 1U < orders && buddy + std::uint64_t{span} <= pages_ &&
          page_[buddy].state == State::free && page_[buddy].order == page.order)
        return "two free buddies";
    } else if (page.state == State::large) {
      used += std::uint64_t{page_bytes} * span;
    } else {
      used += page.used * object_bytes(page.order);
      if (page.used < objects_in(page.order)) --listed_partial;
    }
    at += span;
  }
  if (listed_free != 0 || listed_partial != 0) return "a list misses a page";
  for (std::uint32_t c = 0; c < stacked_classes; ++c)
    for (std::uint32_t i = 0; i < stacks_[c].count; ++i) {
      const std::uint64_t offset = stacks_[c].offsets[i];
      const Page& page = page_[page_of(offset)];
      if (page.state != State::slab || page.order != c || unit(offset) != unit_stacked)
        return "a stack holds what is no free object";
      used -= object_bytes(c);
    }
  if (kept_ && !kept_lent_) used -= size_of(*kept_);
  return used == used_ ? nullptr : "used bytes";
}

}  // namespace proa
