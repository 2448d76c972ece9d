# A module with a mistake: it goes before all CPUs have stood still. Those that are inside have to be seen.
insmod /pvqspin_load.ko || fail "pvqspin_load.ko does not load"
insmod /pvqspin_early.ko policy=fifo || fail "pvqspin_early.ko does not load"
. /scripts/unload
unload 3000
echo stop >$load
wait $trial
exact "unloading too early"
# Its words are no failure here.
dmesg -c | sed -n 's/^.*pvqspin: \([0-9]* calls are inside the module\).*$/found: \1/p'
