# A module that cannot work says why, in one sentence, and changes nothing.
insmod /pvqspin.ko 2>/dev/null && fail "it loads"
dmesg | sed -n 's/^.*\(pvqspin: .*\)$/refused: \1/p'
