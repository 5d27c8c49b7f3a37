#!/usr/bin/env python3
"""Sees every tidy test fail: plants one violation after the other in a small tree and expects the complaint.

usage: selftest.py ROOT COMPILER     (ends with one line: N passed, N failed)
"""
import pathlib
import shutil
import sys
import tempfile

TEST = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TEST / folder) for folder in ("", "sim", "../bench")]

import count
import every_oracle
import figures
import headers
import layering
import purity
import style

CLEAN = {
    "include/proa/base/a.hpp": "// L0: a.\n#pragma once\n#include <cstdint>\n#include <tl/expected.hpp>\n",
    "include/proa/mem/m.hpp": "// L1: m.\n#pragma once\n#include <proa/base/a.hpp>\n",
    "include/proa/wire/w.hpp": "// L1: w.\n#pragma once\n",
    "include/proa/ipc/c.hpp": "// L2: c.\n#pragma once\n#include <proa/mem/m.hpp>\n",
    "include/proa/nic/n.hpp": "// L2: n.\n#pragma once\n#include <proa/mem/m.hpp>\n#include <proa/wire/w.hpp>\n",
    "include/proa/engine/e.hpp": "// L3: e.\n#pragma once\n#include <proa/nic/n.hpp>\n",
    "include/proa/stack/s.hpp": "// L4: s.\n#pragma once\n#include <proa/ipc/c.hpp>\n",
    "include/proa/stack/t.hpp": "// L4: t.\n#pragma once\n#include <proa/engine/e.hpp>\n",
    "include/proa/sidecar.hpp": "// s.\n#pragma once\n#include <proa/stack/s.hpp>\n",
    "include/proa/proa.hpp": "// p.\n#pragma once\n#include <proa/stack/t.hpp>\n",
    "lib/dpdk_nic.cpp": "// d.\n#include <rte_ethdev.h>\n",
    "bench/b.cpp": "// b.\n#include <proa/proa.hpp>\n",
}

# check, file, text that replaces or adds it, what the complaint must contain
PLANTED = [
    ("layering", "include/proa/base/a.hpp", "// L0: a.\n#include <proa/mem/m.hpp>\n", "mem/ is above base/"),
    ("layering", "include/proa/base/a.hpp", "// L0: a.\n#include <fmt/format.h>\n", "standard library"),
    ("layering", "include/proa/mem/m.hpp", "// L1: m.\n#include <proa/wire/w.hpp>\n", "siblings"),
    ("layering", "include/proa/ipc/c.hpp", "// L2: c.\n#  include  <proa/nic/n.hpp>\n", "siblings"),
    ("layering", "include/proa/nic/n.hpp", "// L2: n.\n#include <proa/stack/s.hpp>\n", "stack/ is above nic/"),
    ("layering", "include/proa/engine/e.hpp", "// L3: e.\n#include <proa/proa.hpp>\n", "nobody's foundation"),
    ("layering", "include/proa/engine/e.hpp", '// L3: e.\n#include "../nic/n.hpp"\n', "write <proa/layer/file.hpp>"),
    ("layering", "include/proa/extra/x.hpp", "// L5: x.\n", "extra/ is no layer"),
    ("layering", "include/proa/nic/n.hpp", "// L2: n.\n#include <rte_mbuf.h>\n", "only lib/dpdk* may"),
    ("layering", "bench/b.cpp", "// b.\n#include <rte_eal.h>\n", "only lib/dpdk* may"),
    ("layering", "test/e2e/other.cpp", "// o.\n#include <rte_eal.h>\n", "only lib/dpdk* may"),
    ("layering", "lib/control.cpp", "// c.\n#include <rte_eal.h>\n", "only lib/dpdk* may"),
    ("layering", "include/proa/stack/s.hpp", "// L4: s.\n#include <proa/stack/t.hpp>\n",
     "reaches proa/engine/e.hpp <- proa/stack/t.hpp <- proa/stack/s.hpp <- proa/sidecar.hpp"),
    ("layering", "include/proa/stack/s.hpp", "// L4: s.\n#include <proa/wire/w.hpp>\n", "reaches proa/wire/w.hpp"),
    ("headers", "include/proa/mem/m.hpp", "// L1: m.\n#pragma once\nstd::uint8_t x;\n", "proa/mem/m.hpp does not"),
    ("headers", "include/proa/mem/m.hpp", "// L1: m.\nstruct Twice {};\n", "proa/mem/m.hpp does not"),
    ("headers", "include/proa/mem/m.hpp", "// L1: m.\n#pragma once\ninline char f(int i) { return i; }\n",
     "proa/mem/m.hpp does not"),
    ("style", "include/proa/mem/m.hpp", "#pragma once\n", "the first line says"),
    ("style", "include/proa/mem/m.hpp", "// L2: m.\n#pragma once\n", "begins with '// L1: '"),
    ("style", "include/proa/mem/m.hpp", "// L1: m.\n", "no #pragma once"),
    ("style", "include/proa/mem/m.hpp", "// L1: m.\n#pragma once\n" + "//\n" * 399, "401 lines"),
    ("style", "bench/b.cpp", "// b.\n#define private public\n", "opens what is private"),
    ("format", "bench/b.cpp", "// b.\nint   f( ) ;\n", "run clang-format"),
    ("purity", "probe.cpp", "#include <ctime>\nlong f() { return time(nullptr); }\n", "time"),
    ("purity", "probe.cpp", "#include <chrono>\nauto f() { return std::chrono::steady_clock::now(); }\n", "chrono"),
    ("purity", "probe.cpp", "int* f() { return new int[99]; }\n", "_Zna"),
    ("purity", "probe.cpp", "#include <cstdlib>\nvoid* f() { return std::malloc(9); }\n", "malloc"),
    ("purity", "probe.cpp", "#include <vector>\nvoid f(std::vector<int>& v) { v.push_back(1); }\n", "_Znw"),
    ("purity", "probe.cpp", "#include <random>\nunsigned f() { return std::random_device{}(); }\n", "random_device"),
    ("purity", "probe.cpp", "#include <cstdlib>\nint f() { return rand(); }\n", "rand"),
    ("purity", "probe.cpp", "#include <thread>\nvoid f() { std::thread{[] {}}.detach(); }\n", "thread"),
    ("purity", "probe.cpp", "#include <mutex>\nvoid f(std::mutex& m) { m.lock(); }\n", "pthread_mutex_lock"),
    ("purity", "probe.cpp", "#include <sys/socket.h>\nint f() { return socket(1, 2, 3); }\n", "socket"),
    ("purity", "probe.cpp", "template <class T> T f(T t) { return t; }\n", "instantiates nothing"),
]

# result of a program, what it printed, (passed, failed) that test/count.py shall see
COUNTED = [
    ("OK", "All tests passed (1 assertion in 12 test cases)", (12, 0)),
    ("FAIL", "test cases: 5 | 3 passed | 2 failed\nassertions: 9 | 7 passed | 2 failed", (3, 2)),
    ("FAIL", "All tests passed (1 assertion in 1 test case)", (1, 1)),
    ("TIMEOUT", "", (0, 1)),
    ("OK", "No tests ran", (0, 1)),
    ("OK", "7 passed, 0 failed", (7, 0)),
    ("OK", "whatever", (1, 0)),
    ("OK", "skipped case: it floats: needs root\nAll tests passed (1 assertion in 2 test cases)", (2, 0)),
    ("OK", "skipped case: it floats: needs root\nNo tests ran", (0, 0)),
]
# added to scene.hpp, oracles without a canary
ORACLES = [
    ("", []),
    ('demand(a < b,\n "nobody has " "planted this");', [("scene.hpp", ("nobody has planted this",))]),
    ('fail("host " + name() + " is late");', [("scene.hpp", ("host ", " is late"))]),
    ('wrong(a ? "too many steps: something spins" : "too few");', [("scene.hpp", ("too few",))]),
]
# in README's table of figures: text, what stands there instead, what the complaint must contain
TABLE = [
    ("| set-ups, memif", "| set-ups, memif", None),
    ("| set-ups, memif", "| set ups, memif", "README has no row: set-ups, memif"),
    ("| set-ups, memif", "| set ups, memif", "prints no row: set ups, memif"),
    ("| at most 1.85x |", "| at most 1.9x |", "the target 'at most 1.9x', not 'at most 1.85x'"),
    ("| 1.00x | at most 10 |", "| at most 10 |", "no target: 4 cells"),
    ("| the same, 1 % lost |", "| the same, window 32 |", "two rows have one name"),
    ("| what | Proa |", "| what | us |", "README has no row: round trip in process, memif"),
]
RULE = "-" * 79
CATCH_FAILURE = f"{RULE}\nIt floats\n  upside down\n{RULE}\na.cpp:1\n{'.' * 79}\n\na.cpp:2: FAILED:\n  CHECK( floats )\n"
PURE = "#include <cstring>\nvoid f(char* a, const char* b, unsigned long n) { std::memcpy(a, b, n); }\n"


def run(check, tree, compiler):
    if check == "layering":
        return layering.violations(tree)
    if check == "headers":
        return headers.violations(tree, compiler)
    if check == "purity":
        return purity.violations(tree, tree / "probe.cpp", compiler)
    return style.violations(tree)


def plant(root, scratch, number, changes):
    tree = pathlib.Path(scratch) / str(number)
    tree.mkdir()
    shutil.copy(root / ".clang-format", tree)
    for name, text in {**CLEAN, "probe.cpp": PURE, **changes}.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tree


def bare_oracles(root, scratch, spoken):
    """What every_oracle.py finds when scene.hpp has one oracle more."""
    sim = pathlib.Path(scratch) / "sim"
    shutil.copytree(root / "test/sim", sim, dirs_exist_ok=True)
    with open(sim / "scene.hpp", "a", encoding="utf-8") as scene:
        scene.write(spoken)
    return [key for key, by in every_oracle.cover(sim).items() if not by]


def main(root, compiler):
    root = pathlib.Path(root)
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="proa-tidy-") as scratch:
        cases = [(check, {}, None) for check in ("layering", "headers", "style", "purity")]
        cases += [(check, {name: text}, expected) for check, name, text, expected in PLANTED]
        for number, (check, changes, expected) in enumerate(cases):
            if check == "format" and not style.formatter():
                continue
            found = run(check, plant(root, scratch, number, changes), compiler)
            seen = not found if expected is None else any(expected in line for line in found)
            passed, failed = passed + seen, failed + (not seen)
            if not seen:
                print(f"{check}: {changes or 'a clean tree'}: expected {expected or 'nothing'}, found {found}")
        for spoken, expected in ORACLES:
            found = bare_oracles(root, scratch, spoken)
            passed, failed = passed + (found == expected), failed + (found != expected)
            if found != expected:
                print(f"oracles: {spoken!r}: expected {expected}, found {found}")
    readme = (root / "README.md").read_text(encoding="utf-8")
    for old, new, expected in TABLE:
        found = list(figures.complaints(readme.replace(old, new, 1)))
        seen = old in readme and (not found if expected is None else any(expected in line for line in found))
        passed, failed = passed + seen, failed + (not seen)
        if not seen:
            print(f"figures: {new!r} for {old!r}: expected {expected or 'nothing'}, found {found}")
    for result, output, expected in COUNTED:
        found = count.count({"result": result, "stdout": output})
        passed, failed = passed + (found == expected), failed + (found != expected)
        if found != expected:
            print(f"count: {result} and {output!r}: expected {expected}, found {found}")
    named = count.last_words({"stdout": CATCH_FAILURE, "stderr": "and the end\n"})
    seen = "    case    It floats / upside down" in named and named[-1] == "    | and the end"
    passed, failed = passed + seen, failed + (not seen)
    if not seen:
        print(f"count: the failing case is not named in {named}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
