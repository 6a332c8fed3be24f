"""The deepest stack of a function in a program for ARM Thumb, from its disassembly on standard input:

    arm-none-eabi-objdump -d PROGRAM | python3 stack.py FUNCTION...

Prints bytes, function and the calls that lead there. What cannot be known from the code, a call through a pointer, a
call in a circle or a stack of a size that is worked out at run time, is an error.
"""
import re
import sys

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
# A branch to another function's begin is a tail call: it comes after the stack was given back, and counting it as a
# call is on the safe side.
BRANCH = re.compile(r"\s(?:bl?|blx|b[a-z]{2})(?:\.[nw])?\s+[0-9a-f]+ <([^+>]+)>")
INDIRECT = re.compile(r"\s(?:blx|bx)\s+(r\d+|ip|sl|fp)\b")
PUSH = re.compile(r"\s(v?push|v?stmdb)(?:\.w)?\s+(?:sp!, )?\{([^}]*)\}")
STORE = re.compile(r"\sstr(d?)(?:\.w)?\s+.*\[sp, #-(\d+)\]!")
SUB = re.compile(r"\ssubw?(?:\.w)?\s+sp, (?:sp, )?#(\d+)")
OTHER_SP = re.compile(r"\s(?:mov|sub|add)s?(?:\.w)?\s+sp, (?:sp, )?(r\d+|ip)\b")


def registers(text):
    count = 0
    for part in text.split(","):
        ends = [re.sub(r"\D", "", end) for end in part.strip().split("-")]
        count += int(ends[1]) - int(ends[0]) + 1 if len(ends) == 2 else 1
    return count


def read(lines):
    frames, calls, name = {}, {}, None
    for line in lines:
        if begin := FUNCTION.match(line):
            name = begin.group(1)
            frames[name], calls[name] = 0, set()
            continue
        if name is None:
            continue
        if push := PUSH.search(line):
            frames[name] += registers(push.group(2)) * (8 if push.group(1).startswith("v") and "d" in push.group(2) else 4)
        elif store := STORE.search(line):
            frames[name] += int(store.group(2))
        elif sub := SUB.search(line):
            frames[name] += int(sub.group(1))
        elif OTHER_SP.search(line) and not re.search(r"sp, (?:sp, )?r7\b", line):
            sys.exit(f"{name}: a stack of a size that is worked out at run time: {line.strip()}")
        if INDIRECT.search(line):
            sys.exit(f"{name}: a call through a pointer: {line.strip()}")
        if (branch := BRANCH.search(line)) and branch.group(1) != name:
            calls[name].add(branch.group(1))
    return frames, calls


def deepest(name, frames, calls, path=()):
    if name in path:
        sys.exit("calls in a circle: " + " ".join((*path, name)))
    below = [deepest(callee, frames, calls, (*path, name)) for callee in calls[name]]
    size, chain = max(below, default=(0, ()))
    return frames[name] + size, (name, *chain)


def plain(symbol):
    """The last two names of a mangled symbol's path."""
    names, rest = [], symbol
    while rest.startswith(("_R", "_Z")) or names:
        number = re.search(r"(?<![A-Za-z])(\d+)_?|(?<=[A-Z_])(\d+)", rest)
        if not number:
            break
        length = int(number.group(1) or number.group(2))
        name, rest = rest[number.end() :][:length], rest[number.end() + length :]
        names.append(name)
    names = [name for name in names if name and not re.fullmatch(r"h[0-9a-f]{16}", name)]
    return "::".join(names[-2:]) if symbol.startswith(("_R", "_Z")) and names else symbol


def main():
    frames, calls = read(sys.stdin)
    for name in sys.argv[1:]:
        size, chain = deepest(name, frames, calls)
        print(size, name, " > ".join(f"{plain(called)} ({frames[called]})" for called in chain))


main()
