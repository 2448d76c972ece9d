#!/busybox sh
# What an operator meets: errors, statistics, ends of every kind. A line for each thing that is checked; the exit status is the
# number of those that failed.
/busybox mkdir -p /bin /etc
/busybox --install -s /bin
export PATH=/bin
echo 'root:x:0:0::/:/bin/sh' >/etc/passwd
echo 'guest:x:1000:1000::/:/bin/sh' >>/etc/passwd
log=/tmp/log
class=/sys/kernel/sched_ext
cpu1=/sys/devices/system/cpu/cpu1/online
failed=0

report() { # NAME STATUS
    if [ "$2" = 0 ]; then echo "ok: $1"; else
        echo "FAILED: $1"
        head -c 600 $log
        failed=$((failed + 1))
    fi
}
says() { grep -qF -- "$1" $log; }
state_becomes() {
    for _ in $(seq 100); do
        [ "$(cat $class/state)" = "$1" ] && return 0
        sleep 0.1
    done
    return 1
}
said_soon() {
    for _ in $(seq 100); do
        says "$1" && return 0
        sleep 0.1
    done
    return 1
}
# Runs scx_pvq with these options: its exit status has to be $1, and $2 among what it says.
answers() {
    status=$1 text=$2 name=$3
    shift 3
    /scx_pvq "$@" >$log 2>&1
    [ $? = "$status" ] && says "$text"
    report "$name" $?
}
# Without waiting. `env`, because a shell has what it runs in the background ignore SIGINT.
begin() {
    /program --default-signal=INT /scx_pvq "$@" >$log 2>&1 &
    program=$!
}
start() {
    begin "$@"
    state_becomes enabled
}
# The program of `start` has to end with this status.
ends_with() {
    wait $program
    [ $? = "$1" ] && state_becomes disabled
}

answers 2 'unexpected argument' 'an unknown option' --nonsense
answers 2 'more than half a slice' 'a loan longer than half a slice' --slice-us 100 --min-loan-us 60
answers 2 'more than a twentieth' 'a slice too long for the watchdog' --slice-us 1000000 --watchdog-ms 100 -- true
answers 1 'is no BPF object' 'an object that is none' --object /command
answers 1 'no scx_pvq is running' 'a monitor of nothing' --monitor
answers 7 'scheduler is back' 'the exit status of a command' -- sh -c 'exit 7'
answers 1 'cannot write /nowhere/report' 'a report that cannot be written' --report /nowhere/report -- touch /ran
[ ! -e /ran ]
report 'and nothing was run before that was known' $?
su guest -c /scx_pvq >$log 2>&1
[ $? = 1 ] && says 'only root'
report 'no root' $?
unshare -p -f /scx_pvq -- true >$log 2>&1
[ $? = 1 ] && says 'in this PID namespace'
report 'a PID namespace of its own' $?

read began _ </proc/uptime
start --stats 1 --json
read now _ </proc/uptime
echo "loaded in $(echo "$began $now" | awk '{ print $2 - $1 }') s"
said_soon '"asked"' && ! says '"duration_ns":1000000000,'
report 'statistics as JSON, of the time that passed' $?
timeout -s INT 3 /scx_pvq --monitor >/tmp/monitor
grep -q 'asked' /tmp/monitor
report 'a monitor' $?
/scx_pvq >/tmp/second 2>&1
[ $? = 1 ] && grep -q 'another scheduler is loaded' /tmp/second
report 'another scheduler is loaded' $?
kill -INT $program
ends_with 0 && says "scheduler is back"
report 'an end by SIGINT' $?

begin -- touch /ran && sleep 0.3 && kill -INT $program && ends_with 130 && says 'before the command began' && [ ! -e /ran ]
report 'SIGINT while it is loaded, before the command began' $?

start && kill -KILL $program && ends_with 137
report 'an end by SIGKILL' $?

start -- sh -c 'trap "exit 5" TERM; echo the command waits; while :; do sleep 0.1; done' &&
    said_soon 'the command waits' && kill -TERM $program && ends_with 5
report 'a signal for the command' $?

mkfifo /tmp/pipe
/scx_pvq --stats 1 >/tmp/pipe 2>$log &
program=$!
head -n 1 /tmp/pipe >/dev/null
kill -INT $program
said_soon 'no more statistics' && [ "$(cat $class/state)" = enabled ] && kill -TERM $program && ends_with 0
report 'statistics into a closed pipe, and a SIGINT that is ignored' $?

mount -t cgroup2 none /sys/fs/cgroup && echo +cpu >/sys/fs/cgroup/cgroup.subtree_control &&
    mkdir /sys/fs/cgroup/limited && echo '10000 100000' >/sys/fs/cgroup/limited/cpu.max
/scx_pvq --report /tmp/limited -- sh -c 'echo $$ >/sys/fs/cgroup/limited/cgroup.procs
    timeout 1 sh -c "while :; do :; done"; grep usage_usec /sys/fs/cgroup/limited/cpu.stat' >$log 2>&1
awk '$1 == "usage_usec" { exit !($2 > 50000 && $2 < 250000) } ' $log && grep -q '"throttled":[1-9]' /tmp/limited
report 'a limit holds' $?

# A pipe that is full, and is not read: nothing below depends on that.
mkfifo /tmp/full
sleep 1000 </tmp/full &
sleeper=$!
dd if=/dev/zero of=/tmp/full bs=4096 count=16 2>$log
/scx_pvq --stats 1 >/tmp/full 2>$log &
program=$!
state_becomes enabled && sleep 1.5 && echo 0 >$cpu1 && said_soon 'loading it again' && state_becomes enabled
report 'a CPU that goes, while the statistics are not read' $?
/scx_pvq --monitor >/tmp/monitor 2>&1 &
monitor=$!
sleep 2
: >$log
echo 1 >$cpu1 && said_soon 'loading it again' && state_becomes enabled
report 'a CPU that comes' $?
: >/tmp/monitor
sleep 3
kill -TERM $monitor && wait $monitor && grep -q 'slices [1-9]' /tmp/monitor && ! grep -q 'not running' /tmp/monitor
report 'a monitor of what was loaded again' $?
kill -TERM $program
# While there is still no reader that goes.
ends_with 0 && kill $sleeper
report 'an end by SIGTERM' $?

/scx_pvq -- sh -c 'echo 0 >/sys/devices/system/cpu/cpu1/online
    until [ "$(cat /sys/kernel/sched_ext/state)" = disabled ]; do :; done; exit 7' >$log 2>&1
[ $? = 7 ] && says 'the kernel ended it'
report 'a CPU that goes just before a command ends' $?
echo 1 >$cpu1
# It takes the BTF to be loaded again.
start --report /tmp/lost -- sh -c 'until [ -e /tmp/go ]; do sleep 0.1; done' && mount -t tmpfs none /sys/kernel/btf &&
    echo 0 >$cpu1 && said_soon 'the command goes on' && touch /tmp/go && ends_with 1 && grep -q '"slices"' /tmp/lost
report 'a CPU that goes, and nothing that can be loaded again' $?
touch /tmp/go
umount /sys/kernel/btf
echo 1 >$cpu1

start && echo S >/proc/sysrq-trigger && ends_with 1 && says 'the kernel ended it'
report 'an end by SysRq' $?
start --watchdog-ms 1000 --object /stall.o && ends_with 1 && says 'runnable task stall' && says 'CPU states'
report 'an ejection by the watchdog, with its dump' $?

/scx_pvq --partial -- sh -c 'cut -d" " -f41 /proc/self/stat; cat /sys/kernel/sched_ext/switch_all' >$log 2>&1
[ $? = 0 ] && grep -qx 7 $log && grep -qx 0 $log
report 'only what asks for it, with --partial' $?

mount -t tmpfs none /sys/kernel
/scx_pvq >$log 2>&1
[ $? = 1 ] && says 'has no class sched_ext'
report 'a kernel without the class' $?
echo "$failed failed" >/out/operation.txt
exit $failed
