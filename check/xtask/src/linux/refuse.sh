# A module that cannot work says why, in one sentence, and changes nothing.
insmod /pvqspin.ko 2>/dev/null && fail "it loads"
dmesg | grep -vE 'out-of-tree module|module verification' | sed -n 's/^.*\(pvqspin: .*\)$/refused: \1/p' | sort -u
