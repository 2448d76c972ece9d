#!/busybox sh
# Ordinary programs, under Linux's own scheduler and under scx_pvq in turns, alone and beside a virtual machine of four CPUs:
# seconds for each run.
/busybox mkdir -p /bin
/busybox --install -s /bin
export PATH=/bin
# A stand-in for a build: as many jobs as there are processors and two more, each of many short processes.
cat >/tmp/jobs.sh <<'JOBS'
for job in 1 2 3 4; do
    (for step in $(seq "$1"); do gzip -c /busybox | head -c 20000 | md5sum >/dev/null; done) &
done
wait
JOBS
seconds() {
    from=$(cut -d' ' -f1 /proc/uptime)
    "$@" >/dev/null 2>&1 || echo "FAILED: $*"
    awk -v from="$from" '{ printf "%.2f", $1 - from }' /proc/uptime
}
each() { # HOST STEPS
    echo "$1 messages $(seconds /hackbench -g 2 -l 100)"
    echo "$1 pipes $(seconds /hackbench -p -T -g 2 -l 100)"
    echo "$1 jobs $(seconds sh /tmp/jobs.sh "$2")"
}
both() { # HOST
    each "$1" 60
    (cd /tmp && exec /pvq kvm --transport stock --pcpus 2 --overcommit 2 --lock fifo --inside 20us --outside 40us \
        --duration 60s --repeats 1 --no-page --image /image >/tmp/machine 2>&1) &
    machine=$!
    for _ in $(seq 100); do
        [ "$(cat /sys/module/kvm_amd/refcnt)" != 0 ] && break
        sleep 0.1
    done
    sleep 1
    each "$1, beside a machine," 20
    kill -0 $machine || echo "FAILED: the machine did not last"
    kill -KILL $machine
    wait $machine
}
for round in 1 2; do
    both stock
    /scx_pvq --report "/out/scx-$round.json" >/dev/null 2>&1 &
    program=$!
    for _ in $(seq 100); do
        [ "$(cat /sys/kernel/sched_ext/state)" = enabled ] && break
        sleep 0.1
    done
    both scx
    kill -TERM $program
    wait $program || echo "FAILED: scx_pvq did not last"
done
