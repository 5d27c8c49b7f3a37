// L3: first-in first-out lists of flow table slots, linked through the slots themselves.
#pragma once
#include <cstdint>

#include <proa/base/check.hpp>

namespace proa {

/// One slot's place in one list. All zero: in no list.
struct SlotLink {
  std::uint32_t prev = 0;  // slot + 1
  std::uint32_t next : 31 = 0;
  std::uint32_t linked : 1 = 0;
};
static_assert(sizeof(SlotLink) == 8);

/// The list's ends; `links(slot)` gives the slot's SlotLink& for this list. Constant time, no
/// memory of its own.
class SlotList {
 public:
  static constexpr std::uint32_t none = 0xffff'ffffU;

  [[nodiscard]] bool empty() const noexcept { return first_ == 0; }
  [[nodiscard]] std::uint32_t front() const noexcept { return first_ == 0 ? none : first_ - 1; }

  /// Appends a slot unless it is in the list already.
  template <class Links>
  void push_back(std::uint32_t slot, Links&& links) noexcept {
    SlotLink& link = links(slot);
    if (link.linked) return;
    link = {last_, 0, 1};
    if (last_ != 0)
      links(last_ - 1).next = (slot + 1) & slot_mask;
    else
      first_ = slot + 1;
    last_ = slot + 1;
  }

  /// Takes a slot out if it is in the list.
  template <class Links>
  void erase(std::uint32_t slot, Links&& links) noexcept {
    SlotLink& link = links(slot);
    if (!link.linked) return;
    if (link.prev != 0)
      links(link.prev - 1).next = link.next & slot_mask;
    else
      first_ = link.next;
    if (link.next != 0)
      links(link.next - 1).prev = link.prev;
    else
      last_ = link.prev;
    link = {};
  }

  /// The slot behind `slot`, or `none`.
  template <class Links>
  [[nodiscard]] static std::uint32_t next(std::uint32_t slot, Links&& links) noexcept {
    return links(slot).next == 0 ? none : links(slot).next - 1;
  }

 private:
  static constexpr std::uint32_t slot_mask = 0x7fff'ffffU;

  std::uint32_t first_ = 0, last_ = 0;  // slot + 1
};

}  // namespace proa
