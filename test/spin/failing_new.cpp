// API spin: operator new that fails once in a hundred calls where a thread asked for it.
#include <cstdlib>
#include <new>

#include "failing_new.hpp"

namespace proa::spin {
namespace {

thread_local int depth = 0;
thread_local std::uint32_t state = 1;
std::atomic<std::uint64_t> failed{0};

bool fails_now() noexcept {
  if (depth == 0) return false;
  state = state * 1'664'525U + 1'013'904'223U;  // Numerical Recipes: enough for one in a hundred
  if ((state >> 16U) % 100 != 0) return false;
  failed.fetch_add(1, std::memory_order_relaxed);  // a count, orders nothing
  return true;
}

void* get(std::size_t size, std::size_t alignment) noexcept {
  if (fails_now()) return nullptr;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(size == 0 ? 1 : size);
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

}  // namespace

FailingNew::FailingNew(std::uint32_t seed) noexcept {
  state ^= seed;
  ++depth;
}
FailingNew::~FailingNew() { --depth; }
std::uint64_t FailingNew::failures() noexcept { return failed.load(std::memory_order_relaxed); }

}  // namespace proa::spin

void* operator new(std::size_t size) {
  void* const out = proa::spin::get(size, 1);
  return out != nullptr ? out : throw std::bad_alloc{};
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  void* const out = proa::spin::get(size, static_cast<std::size_t>(alignment));
  return out != nullptr ? out : throw std::bad_alloc{};
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return proa::spin::get(size, 1);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
