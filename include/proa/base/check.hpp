// L0: the two checks. Both are for Proa's own bugs only: no packet, application or file reaches
// them.
#pragma once
#include <cstdio>
#include <cstdlib>

namespace proa::detail {

[[noreturn]] inline void check_failed(const char* what, const char* file, int line) noexcept {
  std::fprintf(stderr, "proa: broken invariant at %s:%d: %s (a bug in Proa, please report it)\n",
               file, line, what);
  std::abort();
}

}  // namespace proa::detail

/// O(1), always on.
#define PROA_CHECK(condition) \
  ((condition) ? void() : ::proa::detail::check_failed(#condition, __FILE__, __LINE__))

/// O(n), on in debug builds and in simulation: `why` is null or names the broken invariant.
#ifdef PROA_WITH_AUDIT
#define PROA_AUDIT(object)                                        \
  do {                                                            \
    if (const char* proa_why = (object).broken_invariant())       \
      ::proa::detail::check_failed(proa_why, __FILE__, __LINE__); \
  } while (false)
#else
#define PROA_AUDIT(object) static_cast<void>(0)
#endif
