#!/bin/sh
# The compiled lock has to refer to what `undefined-symbols` lists, all of it and nothing else: a panic, or a
# call of memcpy, would show as a symbol more, and a method of `Kernel` left at its default as one less. It may
# use no register that the kernel does not save.
set -eu
object=$1
here=$(dirname "$0")
unknown=$(nm --undefined-only --format=just-symbols "$object" | grep -vxF -f "$here/undefined-symbols" || true)
if [ -n "$unknown" ]; then
    echo "$object refers to what is not there:" >&2
    echo "$unknown" >&2
    exit 1
fi
missing=$(nm --undefined-only --format=just-symbols "$object" | grep -vxF -f - "$here/undefined-symbols" || true)
if [ -n "$missing" ]; then
    echo "$object does not refer to what it has to ask:" >&2
    echo "$missing" >&2
    exit 1
fi
if objdump --disassemble --no-show-raw-insn "$object" | grep -qE '%[xyz]mm|%st\(|%mm[0-7]'; then
    echo "$object uses vector registers" >&2
    exit 1
fi
if objdump --disassemble --no-show-raw-insn "$object" | grep -qE '\sret[q]?\s*$'; then
    echo "$object has a return that is not the kernel's" >&2
    exit 1
fi
