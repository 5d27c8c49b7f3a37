#!/usr/bin/env python3
"""Lists every oracle of test/sim and demands that a planted bug shows that it speaks.

usage: every_oracle.py SIM_FOLDER     (--list: what covers what)

An oracle is a message given to demand(), fail(), wrong(), note(), FAIL(), a failure that is thrown or assigned, or a
CHECK of a header. It is covered by a symptom of planted_bugs.py, planted_rows.py or toy_bugs.hpp when
- the bug has no other symptom: a choice of several proves none of them;
- the program that has to catch the bug includes the oracle's header;
- no other oracle of that program says the same.
"""
import pathlib
import re
import sys

sys.dont_write_bytecode = True  # the source tree stays as it is
from planted_bugs import BUGS  # noqa: E402  (the line above comes first)
from planted_rows import PROGRAM_OF, ROWS  # noqa: E402

SPEAKS = re.compile(r"\b(?:demand|fail|wrong|note|LoadFailure|runtime_error|FAIL|CHECK)\(|\b(?:complaint|failure) = ")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
NARRATED = {"heal", "connection : "}  # not judged: what a run tells of itself, and what another oracle said


def argument(text, begin):
    """What stands from `begin` to the end of the call or statement."""
    depth, quoted = 1, False
    for at in range(begin, len(text)):
        c = text[at]
        if c == '"' and text[at - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (c == "(") - (c == ")")
            if depth == 0 or c == ";":
                return text[begin:at]
    return text[begin:]


def messages(text):
    """Each oracle's literal parts, in order."""
    text = re.sub(r"//[^\n]*", "", text)
    found = set()
    for match in SPEAKS.finditer(text):
        said = argument(text, match.end())
        if match.group().startswith("CHECK"):
            found.add((" ".join(said.split()),))
            continue
        joined = re.sub(r'"\s+"', "", said)  # adjacent literals are one
        parts = STRING.findall(joined)
        found |= {(part,) for part in parts} if "?" in joined and len(parts) > 1 and " + " not in joined else {tuple(parts)}
    return {parts for parts in found if "".join(parts).strip() and "".join(parts) not in NARRATED}


def includes(folder, name, seen):
    if name not in seen and (folder / name).exists():
        seen.add(name)
        for other in re.findall(r'#include "(\w+\.hpp)"', (folder / name).read_text(encoding="utf-8")):
            includes(folder, other, seen)
    return seen


def canaries(folder):
    """(program, symptom) of every bug with one symptom."""
    for bug in BUGS:
        if len(bug.symptoms) == 1:
            yield from ((program, bug.symptoms[0]) for program in bug.programs)
    for bug in ROWS:
        for row in bug.rows:
            if len(bug.symptoms_in(row)) == 1:
                yield PROGRAM_OF[row], bug.symptoms_in(row)[0]
    toy = (folder / "toy_bugs.hpp").read_text(encoding="utf-8")
    symptoms = argument(toy, toy.index("bug_symptoms{") + len("bug_symptoms{"))
    yield from (("canaries", symptom) for symptom in STRING.findall(symptoms) if symptom)


def speaks_of(symptom, parts):
    """Anything may stand between the literal parts; a symptom may say more than one of several words."""
    return any(symptom in part or (" " in part.strip() and part.strip() in symptom) for part in parts)


def cover(folder):
    """Every oracle, as (header, parts), with the canaries that cover it."""
    oracles = {(path.name, parts): set()
               for path in sorted(folder.glob("*.hpp")) if not path.name.startswith("toy")
               for parts in messages(path.read_text(encoding="utf-8"))}
    for program, symptom in sorted(set(canaries(folder))):
        headers = includes(folder, f"{program}.cpp", set())
        named = [key for key in oracles if key[0] in headers and speaks_of(symptom, key[1])]
        if len({parts for _, parts in named}) == 1:
            for key in named:
                oracles[key].add(f"{program}: {symptom}")
    return oracles


def main():
    oracles = cover(pathlib.Path(sys.argv[1]))
    bare = [key for key, by in oracles.items() if not by]
    for header, parts in bare:
        print(f"{header}: nothing shows that it ever says '{'...'.join(parts)}'")
    if "--list" in sys.argv:
        for (header, parts), by in oracles.items():
            print(f"{header}: {'...'.join(parts)}\n    " + "\n    ".join(sorted(by)))
    print(f"{len(oracles) - len(bare)} of {len(oracles)} oracles have a canary")
    return 1 if bare else 0


if __name__ == "__main__":
    sys.exit(main())
