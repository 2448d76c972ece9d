# Programs that were not written for this lock, under each policy in turns: `cargo xtask linux --work`.
#
# work TURN POLICY PROGRAM OPERATIONS-A-SECOND WAITS TOTAL-MS LONGEST-MS RUN-QUEUE-US
insmod /pvqspin.ko policy=stock || fail "pvqspin.ko does not load"

# Sum of what tasks waited for a CPU, in ns, and how often: 0 if the kernel does not count it.
waited_for_cpu() {
    [ -r /proc/schedstat ] && file=/proc/schedstat || file=/dev/null
    sed -n 's/^cpu[0-9]* //p' $file | awk '{ ns += $8; times += $9 } END { print ns + 0, times + 0 }'
}

# How long a program takes, how much of that tasks waited for a CPU, and what it says.
plain() {
    set -- $(waited_for_cpu) "$@"
    ns=$1
    times=$2
    shift 2
    began=$(cut -d' ' -f1 /proc/uptime)
    timeout -s KILL 60 "$@" >/tmp/said 2>&1 || fail "$1 under $one: $(tail -n 3 /tmp/said | tr '\n' ' ')"
    ended=$(cut -d' ' -f1 /proc/uptime)
    set -- $(waited_for_cpu)
    queued=$(awk -v ns="$ns" -v times="$times" -v ns2="$1" -v times2="$2" \
        'BEGIN { print (times2 > times) ? (ns2 - ns) / (times2 - times) / 1000 : 0 }')
    took=$(awk -v a="$began" -v b="$ended" 'BEGIN { print b - a }')
}

# `perf lock contention` of spinlocks, of the whole guest, while a program runs: its figures are those of
# the kernel's two tracepoints. (Debian builds perf without the BPF program that would add them up.) Each
# event costs time, and locks differ in how many they have: so what a program does is measured without.
recorded() {
    timeout -s KILL 60 perf lock record -a -q -o /tmp/recorded -- "$@" >/tmp/said-recorded 2>&1 ||
        fail "$1 under $one: $(tail -n 3 /tmp/said-recorded | tr '\n' ' ')"
    perf lock contention -q -x , -Y spinlock -E 1000 -i /tmp/recorded >/tmp/contention 2>&1 ||
        fail "perf lock contention under $one: $(tail -n 3 /tmp/contention | tr '\n' ' ')"
    rm /tmp/recorded
}

# Whether a program is one of those that are asked for.
wanted() {
    program=$1
    case ",${programs:-$program}," in
        *",$program,"*) ;;
        *) return 1 ;;
    esac
}

# Both, if it is.
work() {
    wanted "$1" || return 1
    shift
    plain "$@"
    recorded "$@"
}

# The same for Linux's test of locks: it has a wait in each microsecond, so it is recorded for a shorter time.
torture() {
    wanted locktorture || return 1
    plain sh /torture.sh 1
    recorded sh /torture.sh 0.1
}

# What perf found: waits, total and longest.
contention() {
    awk -F, '$1 + 0 > 0 { waits += $1; total += $2; if ($3 > longest) longest = $3 }
        END { printf "%d %.3f %.3f", waits, total / 1e6, longest / 1e6 }' /tmp/contention
}

# A program, how much work it did, and what perf saw of its locks.
report() {
    echo "work $turn $one $program $operations $(contention) $queued"
}

per_second() {
    awk -v work="$1" -v took="$2" 'BEGIN { print (took > 0) ? work / took : 0 }'
}

# For make: 64 files for the assembler.
mkdir -p /make
printf 'all: $(addsuffix .o,$(basename $(wildcard *.s)))\n%%.o: %%.s\n\tas -o $@ $<\nclean:\n\trm -f *.o\n' >/make/Makefile
for file in $(seq 64); do
    awk -v file=$file 'BEGIN { for (i = 0; i < 1000; i++) printf "name_%d_%d: movq $%d, %%rax\n", file, i, i }' >/make/$file.s
done

# Linux's own test of locks, where the kernel has it: so many seconds, without its long sections, and what it
# says in the end.
cat >/torture.sh <<'END'
insmod /locktorture.ko torture_type=spin_lock stat_interval=0 stutter=0 shuffle_interval=0 long_hold=0
sleep "$1"
rmmod locktorture
dmesg | grep 'End of test' | tail -n 1 | grep SUCCESS || exit 1
dmesg | sed -n 's/.*Writes:  *Total: \([0-9]*\) .*/writes \1/p' | tail -n 1
END
[ -e /locktorture.ko ] && insmod /torture.ko

cpus=$(nproc)
for turn in $(seq "${turns:-3}"); do
    for one in stock test-and-set fifo bounded; do
        echo $one >$policy

        if [ -e /locktorture.ko ] && torture; then
            operations=$(per_second "$(sed -n 's/^writes //p' /tmp/said)" "$took")
            report
        fi

        if work perf-messaging perf bench sched messaging -g 2 -l 40; then
            operations=$(per_second $((2 * 40 * 20 * 40)) "$(sed -n 's/^ *Total time: \([0-9.]*\).*/\1/p' /tmp/said)")
            report
        fi
        if work perf-futex perf bench futex wake -t $((cpus * 4)) -w 1; then
            operations=$(per_second $((cpus * 4)) "$took")
            report
        fi
        if work hackbench hackbench -g 2 -l 40; then
            operations=$(per_second $((2 * 40 * 20 * 40)) "$(sed -n 's/^Time: \([0-9.]*\).*/\1/p' /tmp/said)")
            report
        fi
        for stressor in pipe futex dentry mmap open flock fault; do
            work stress-ng-$stressor stress-ng --$stressor $cpus --timeout 1 --metrics-brief --temp-path /tmp || continue
            operations=$(sed -n "s/.* $stressor  *\([0-9][0-9]*\)  *\([0-9.]*\) .*/\1 \2/p" /tmp/said | awk '{ print $1 / $2 }')
            report
        done
        if work make sh -c "make -s -C /make clean && make -s -C /make -j$((cpus * 2))"; then
            operations=$(per_second 64 "$took")
            report
        fi
    done
done
rmmod pvqspin
