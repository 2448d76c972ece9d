#!/busybox sh
# cpu.weight and cpu.max of control groups, under both schedulers: two groups of two loops each, on two processors, those of
# the first group five groups further down. A line for each case: which part of both processors each group had. The exit
# status is 1 if `scx_pvq` does not keep to weights and limits, or if it is not seen that a limit is not charged.
# QEMU before 8.1 gives its processors uneven turns: too uneven for this.
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
host="Linux's own"
one_fifth="20000 100000"
two_fifths="40000 100000"
four_fifths="80000 100000"
none="max 100000"

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
both() {
    busy=
    loops $deepest
    loops /groups/second
}
end() {
    # shellcheck disable=SC2086 # A list.
    kill -KILL $busy
    # shellcheck disable=SC2086 # A list.
    wait $busy 2>/dev/null
}
# What each group has of both processors, for so long: $first and $second.
look() { # SECONDS NAME
    sleep 0.3
    before=$(used)
    sleep "$1"
    name=$2
    # shellcheck disable=SC2046,SC2086 # Three numbers each.
    set -- $before $(used)
    first=$(awk -v a=$(($4 - $1)) -v s="$3" -v t="$6" 'BEGIN { printf "%.3f", a / (t - s) / 2e6 }')
    second=$(awk -v a=$(($5 - $2)) -v s="$3" -v t="$6" 'BEGIN { printf "%.3f", a / (t - s) / 2e6 }')
    echo "$host, $name: the first group had $first of the time, the second $second"
}
# An awk condition on `first` and `second`, which `scx_pvq` has to meet.
must() { # CONDITION
    [ "$host" = scx_pvq ] || return 0
    awk -v first="$first" -v second="$second" "BEGIN { exit !($1) }" || {
        echo "FAILED: not $1"
        failed=1
    }
}
weights() {
    for weight in 100 300 50; do
        echo $weight >/groups/first/cpu.weight
        both
        look 1.2 "weight $weight beside 100"
        end
        part="first / (first + second) - $weight / ($weight + 100)"
        must "$part < 0.02 && $part > -0.02"
    done
    echo 100 >/groups/first/cpu.weight
    # A user who was given the second group makes one below it: no heavier than that group is.
    echo +cpu >/groups/second/cgroup.subtree_control
    chown 1000 /groups/second
    mkdir /groups/second/below
    echo 10000 >/groups/second/below/cpu.weight
    busy=
    loops $deepest
    loops /groups/second/below
    look 1.2 "beside a user's group in a group of weight 100"
    end
    must "first > 0.45 && first < 0.55"
    rmdir /groups/second/below
    chown 0 /groups/second
    echo -cpu >/groups/second/cgroup.subtree_control
}
# Tasks that run are given to other processors all the time, by one that runs itself: all of them pay for what they use.
given_around() {
    both
    sleep 0.3
    sh -c 'while :; do
        for task in "$@"; do
            taskset -p 1 "$task"
            taskset -p 2 "$task"
            taskset -p 3 "$task"
        done
    done >/dev/null' sh $busy &
    busy="$busy $!"
    look 1.2 "tasks that are given around"
    end
}
# The lightest job beside the heaviest ones has its turn before the kernel takes it for stalled.
lightest() {
    echo 10000 >/groups/first/cpu.weight
    echo 1 >/groups/second/cpu.weight
    busy=
    loops $deepest
    loops $deepest
    sh -c 'echo $$ >/groups/second/cgroup.procs; while :; do :; done' &
    busy="$busy $!"
    look 4 "weight 10000 beside weight 1"
    end
    echo 100 >/groups/first/cpu.weight
    echo 100 >/groups/second/cpu.weight
}
limits() {
    echo "$two_fifths" >/groups/first/cpu.max
    both
    look 2 "40 % of a processor"
    must "first > 0.18 && first < 0.22 && first + second > 0.85"
    echo "$none" >/groups/first/cpu.max
    look 1.2 "without a limit once more"
    must "first > 0.4"
    echo "$four_fifths" >/groups/first/cpu.max
    echo "$two_fifths" >$deepest/cpu.max
    look 2 "40 % of a processor within 80 %, set while it runs"
    must "first > 0.18 && first < 0.22"
    echo "$two_fifths" >/groups/first/cpu.max
    echo "$four_fifths" >$deepest/cpu.max
    look 2 "80 % of a processor within 40 %"
    must "first > 0.18 && first < 0.22"
    end
    busy=
    loops $deepest
    look 2 "80 % of a processor within 40 %, with nothing beside it"
    must "first > 0.18 && first < 0.22"
    end
    echo "$none" >$deepest/cpu.max
    busy=
    loops /groups/second
    machine
    look 2 "a virtual machine of four vCPUs, 40 % of a processor"
    must "first > 0.16 && first < 0.22 && second > 0.6"
    # As libvirt's vcpu_quota does it.
    for vcpu in $vcpus; do
        mkdir $deepest/"$vcpu"
        echo threaded >$deepest/"$vcpu"/cgroup.type
    done
    echo +cpu >$deepest/cgroup.subtree_control
    for vcpu in $vcpus; do
        echo "$vcpu" >$deepest/"$vcpu"/cgroup.threads
        echo "$one_fifth" >$deepest/"$vcpu"/cpu.max
    done
    echo "$none" >/groups/first/cpu.max
    look 2 "a virtual machine of four vCPUs, each 20 % of a processor"
    must "first > 0.33 && first < 0.42 && second > 0.4"
    end
    echo -cpu >$deepest/cgroup.subtree_control
    rmdir $deepest/*/
}
# A virtual machine in the first group. Its threads: $vcpus.
machine() {
    sh -c 'echo $$ >"$0/cgroup.procs"; cd /tmp; exec /pvq kvm --transport stock --pcpus 2 --overcommit 2 --lock fifo \
        --inside 20us --outside 40us --duration 60s --repeats 1 --no-page --image /image >/tmp/machine 2>&1' $deepest &
    machine=$!
    busy="$busy $machine"
    for _ in $(seq 100); do
        [ "$(cat /sys/module/kvm_amd/refcnt)" != 0 ] && break
        sleep 0.1
    done
    sleep 2
    vcpus=$(cd /proc/$machine/task && grep -l vcpu ./*/comm | cut -d/ -f2)
}
start() {
    /scx_pvq --report /tmp/report "$@" >/tmp/said 2>&1 &
    program=$!
    for _ in $(seq 100); do
        [ "$(cat /sys/kernel/sched_ext/state)" = enabled ] && return 0
        sleep 0.1
    done
}
stop() {
    kill -TERM $program
    wait $program || {
        echo "FAILED: it ended before"
        head -n 40 /tmp/said
        failed=1
    }
}
count() { # NAME
    sed 's/.*"'"$1"'":\([0-9]*\).*/\1/' /tmp/report
}
weights
limits
start
host=scx_pvq
given_around
stop
awk -v charged="$(count charged_ns)" -v used="$(count used_ns)" 'BEGIN {
    print "of " used " ns " charged " were charged"
    # Processors that take turns make it more: the time of a turn falls between the clocks of a switch.
    exit !(charged / used > 0.995 && charged / used < 1.05)
}' || {
    echo "FAILED: tasks that are given around do not pay for what they use"
    failed=1
}
start --watchdog-ms 2000
lightest
stop
echo "hurried: $(count hurried)"
[ "$(count hurried)" -gt 3 ] || {
    echo "FAILED: the lightest was not put first"
    failed=1
}
start
weights
limits
stop
for name in asked ran refused_throttled ran_throttled throttled released released_late; do
    echo "$name: $(count $name)"
done
[ "$(count ran)" -gt 100 ] && [ "$(count ran_throttled)" -gt 10 ] && [ "$(count released_late)" = 0 ] || {
    echo "FAILED: little was lent in the machine, or not to those that were held back, or one was so for too long"
    failed=1
}
# The same with a mistake.
start --object /uncharged.o
host="scx_pvq that does not charge groups"
echo "$two_fifths" >/groups/first/cpu.max
both
look 1.2 "40 % of a processor"
end
stop
awk -v first="$first" 'BEGIN { exit !(first > 0.4) }' || {
    echo "FAILED: the mistake is not found"
    failed=1
}
exit $failed
