#!/usr/bin/env python3
"""Includes only point down, siblings never include each other, DPDK stays in lib/dpdk* (see DPDK_USERS).

usage: layering.py ROOT     (prints one line per violation; exit code 1 when there is one)
"""
import pathlib
import re
import sys

LAYERS = {"base": 0, "mem": 1, "wire": 1, "nic": 2, "transport": 2, "ipc": 2, "engine": 3, "stack": 4}
PROGRAMS = ("lib", "sidecar", "bench", "test")
# Files outside lib/dpdk* that include rte_*.h, and why they must.
DPDK_USERS = {"test/e2e/adopted_port.cpp": "is a program with a DPDK of its own, which lends Proa a queue"}
CLIENT_LAYERS = {"stack", "ipc", "mem", "base"}  # all that proa/sidecar.hpp may reach
# base: the standard library and tl::expected. A name without '.' and '/' is a standard header.
BASE_SYSTEM = re.compile(r"tl/expected\.hpp|[a-z0-9_]+")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
DPDK = re.compile(r"rte_\w+\.h")


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in (".hpp", ".cpp", ".h")) if folder.exists() else []


def includes(path):
    return [(quote, name) for quote, name in INCLUDE.findall(path.read_text(encoding="utf-8"))]


def layer_of(name):
    """The layer of `proa/<layer>/...`; None for what is not ours; 'public' for `proa/x.hpp`."""
    parts = name.split("/")
    if parts[0] != "proa":
        return None
    return parts[1] if len(parts) > 2 else "public"


def check_header(path, own):
    for quote, name in includes(path):
        if quote == '"':
            yield f'includes "{name}": write <proa/layer/file.hpp>'
            continue
        target = layer_of(name)
        if target is None:
            if own == "base" and not BASE_SYSTEM.fullmatch(name):
                yield f"includes <{name}>: base knows the standard library and tl::expected only"
        elif own == "public":
            pass
        elif target == "public":
            yield f"includes <{name}>: a public header is nobody's foundation"
        elif target not in LAYERS:
            yield f"includes <{name}>: {target}/ is no layer"
        elif target != own and LAYERS[target] == LAYERS[own]:
            yield f"includes <{name}>: {own}/ and {target}/ are siblings"
        elif LAYERS[target] > LAYERS[own]:
            yield f"includes <{name}>: {target}/ is above {own}/"


def check_headers(root):
    base = root / "include" / "proa"
    for path in sources(base):
        parts = path.relative_to(base).parts
        own = parts[0] if len(parts) > 1 else "public"
        if own != "public" and own not in LAYERS:
            yield f"{path.relative_to(root)}: {own}/ is no layer"
            continue
        for complaint in check_header(path, own):
            yield f"{path.relative_to(root)}: {complaint}"


def check_dpdk(root):
    for folder in ("include",) + PROGRAMS:
        for path in sources(root / folder):
            if folder == "lib" and path.name.startswith("dpdk") or path.relative_to(root).as_posix() in DPDK_USERS:
                continue
            for _, name in includes(path):
                if DPDK.search(name):
                    yield f"{path.relative_to(root)}: includes <{name}>: only lib/dpdk* may"


def check_client(root):
    """What the client's public header reaches, with the way it got there."""
    start = "proa/sidecar.hpp"
    came_from = {start: None}
    queue = [start]
    while queue:
        name = queue.pop()
        path = root / "include" / name
        if not path.exists():
            continue
        if name != start and layer_of(name) not in CLIENT_LAYERS:
            way = [name]
            while came_from[way[-1]]:
                way.append(came_from[way[-1]])
            yield f"include/{start}: reaches {' <- '.join(way)}"
            continue
        for _, target in includes(path):
            if layer_of(target) is not None and target not in came_from:
                came_from[target] = name
                queue.append(target)


def violations(root):
    root = pathlib.Path(root)
    return [*check_headers(root), *check_dpdk(root), *check_client(root)]


if __name__ == "__main__":
    found = violations(sys.argv[1])
    print("\n".join(found) or "includes point down")
    sys.exit(1 if found else 0)
