#!/busybox sh
# cpu.weight and cpu.max of control groups, under both schedulers: two groups of two loops each, on two processors, those of
# the first group five groups further down. A line for each: which part of the time the first group had. The exit status is
# 1 if `scx_pvq` does not keep to the weights. QEMU before 8.1 gives its processors uneven turns: too uneven for this.
/busybox mkdir -p /bin /groups
/busybox --install -s /bin
export PATH=/bin
mount -t cgroup2 none /groups
echo +cpu >/groups/cgroup.subtree_control
mkdir /groups/first /groups/second
deepest=/groups/first
for _ in 1 2 3 4 5; do
    echo +cpu >$deepest/cgroup.subtree_control
    deepest=$deepest/below
    mkdir $deepest
done
failed=0

# Microseconds of both groups, and the time in seconds: by one process, which is soon done.
used() {
    awk '$1 == "usage_usec" { used = used $2 " " } END { print used $1 }' /groups/first/cpu.stat /groups/second/cpu.stat \
        /proc/uptime
}
loops() { # FOLDER
    for _ in 1 2; do
        sh -c 'echo $$ >"$0/cgroup.procs"; while :; do :; done' "$1" &
        busy="$busy $!"
    done
}
# What the first group had of the time of both, and both of what there is; after "$1", "$2" and "$3" for the first group.
share() { # HOST WEIGHT MAX
    echo "$2" >/groups/first/cpu.weight
    echo "$3" >/groups/first/cpu.max
    busy=
    loops $deepest
    loops /groups/second
    sleep 0.3
    before=$(used)
    sleep 1.2
    after=$(used)
    # shellcheck disable=SC2086 # A list.
    kill $busy
    # shellcheck disable=SC2086 # A list.
    wait $busy 2>/dev/null
    # shellcheck disable=SC2086 # Three numbers each.
    set -- "$1" "$2" "$3" $before $after
    part=$(awk -v a=$(($7 - $4)) -v b=$(($8 - $5)) 'BEGIN { printf "%.3f", a / (a + b) }')
    all=$(awk -v both=$(($7 - $4 + $8 - $5)) -v s="$6" -v t="$9" 'BEGIN { printf "%.2f", both / (t - s) / 2e6 }')
    echo "$1, weight $2 beside 100, cpu.max $3: the first group had $part of the time, both $all of what there is"
}
all() { # HOST
    for weight in 100 300 50; do
        share "$1" $weight "max 100000"
        [ "$1" = scx_pvq ] || continue
        awk -v part="$part" -v w=$weight 'BEGIN { e = part - w / (w + 100); exit !(e < 0.02 && e > -0.02) }' || {
            echo "FAILED: not by the weights"
            failed=1
        }
    done
    share "$1" 100 "40000 100000"
}
all "Linux's own"
/scx_pvq >/dev/null 2>&1 &
program=$!
for _ in $(seq 100); do
    [ "$(cat /sys/kernel/sched_ext/state)" = enabled ] && break
    sleep 0.1
done
all scx_pvq
kill -INT $program
wait $program || failed=1
exit $failed
