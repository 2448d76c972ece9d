//! The heap in a virtual machine with four times as many vCPUs as pCPUs: allocations overlap at no
//! byte, and the machine is not lost while a holder is preempted.

use std::alloc::{GlobalAlloc, Layout};
use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::marker::PhantomData;

use lock_api_04::{GuardNoSend, RawMutex};
use pvqspin::{Cpu, Fifo, Native, Policy, RawMutex04};
use pvqspin_load::Guest;
use pvqspin_simulator::{GuestCode, SimConfig, run_code};
use talc::TalcLock;
use talc::source::Claim;

/// What the allocator does under its lock costs no virtual time by itself: the lock adds it.
struct Timed<E, P>(RawMutex04<E, P>, PhantomData<E>);

const INSIDE_NS: u32 = 300;

// SAFETY: the lock inside excludes.
unsafe impl<E: Guest, P: Policy> RawMutex for Timed<E, P> {
    const INIT: Self = Self(RawMutex04::INIT, PhantomData);

    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        self.0.lock();
        E::compute(INSIDE_NS);
    }

    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller holds the lock.
        unsafe { self.0.unlock() }
    }
}

type SimHeap<E, P> = TalcLock<Timed<E, P>, Claim>;

const BLOCKS: usize = 5_000;
const HEAP_BYTES: usize = 1 << 20;

/// Every vCPU allocates blocks, fills each with its own number, and keeps four at a time.
struct Allocates<P> {
    heap: OnceCell<Box<dyn Any>>,
    policy: PhantomData<P>,
    done: Cell<u64>,
    end_ns: Cell<u64>,
}

struct Block {
    start: *mut u8,
    layout: Layout,
}

impl Block {
    fn new(heap: &impl GlobalAlloc, bytes: usize, mark: u8) -> Self {
        let layout = Layout::from_size_align(bytes, 16).expect("small");
        // SAFETY: no layout here is empty.
        let start = unsafe { heap.alloc(layout) };
        assert!(!start.is_null(), "the arena is large enough");
        // SAFETY: as long as it was asked for.
        unsafe { start.write_bytes(mark, bytes) };
        Self { start, layout }
    }

    fn free(self, heap: &impl GlobalAlloc, mark: u8) {
        // SAFETY: still ours, and written from end to end.
        let bytes = unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) };
        assert!(bytes.iter().all(|&byte| byte == mark), "two blocks overlap");
        // SAFETY: allocated by this heap with this layout, and freed once.
        unsafe { heap.dealloc(self.start, self.layout) };
    }
}

impl<P: Policy> GuestCode for Allocates<P> {
    fn run_vcpu<E: Guest>(&self, cpu: Cpu) {
        let new = || {
            let arena = Box::leak(vec![0_u8; HEAP_BYTES].into_boxed_slice());
            // SAFETY: leaked, and not shared.
            let claim = unsafe { Claim::new(arena.as_mut_ptr(), HEAP_BYTES) };
            Box::new(SimHeap::<E, P>::new(claim)) as Box<dyn Any>
        };
        let heap: &SimHeap<E, P> = self
            .heap
            .get_or_init(new)
            .downcast_ref()
            .expect("one environment");
        let mark = cpu.index() as u8 + 1;
        let mut kept = std::collections::VecDeque::new();
        for round in 0..BLOCKS {
            // Uneven, or slices would end at the same instruction for ever.
            E::compute(1_000 + (round as u32 * 7_919 + u32::from(mark) * 104_729) % 2_000);
            kept.push_back(Block::new(heap, (round * 37) % 500 + 1, mark));
            if kept.len() > 4 {
                kept.pop_front().expect("five").free(heap, mark);
            }
            self.done.set(self.done.get() + 1);
            self.end_ns.set(E::now_ns());
        }
        kept.into_iter().for_each(|block| block.free(heap, mark));
    }

    fn progress(&self) -> u64 {
        self.done.get()
    }
}

/// Eight vCPUs on two pCPUs; returns when all had their blocks, in ns.
fn run<P: Policy>() -> u64 {
    let code = Allocates::<P> {
        heap: OnceCell::new(),
        policy: PhantomData,
        done: Cell::new(0),
        end_ns: Cell::new(0),
    };
    let config = SimConfig::default().with(|sim| {
        sim.run.host.pcpus = 2;
        sim.run.vcpus = 8;
        sim.run.duration_ns = 600_000_000_000;
    });
    run_code(&config, &code).unwrap_or_else(|error| panic!("{error}"));
    code.end_ns.get()
}

#[test]
fn blocks_never_overlap_and_a_preempted_allocator_is_brought_back() {
    let [told, silent] = [run::<Fifo>(), run::<Native>()];
    println!(
        "fifo {} ms, native {} ms",
        told / 1_000_000,
        silent / 1_000_000
    );
    assert!(silent > 10 * told, "{silent} {told}");
}
