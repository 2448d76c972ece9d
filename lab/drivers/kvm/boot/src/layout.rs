//! Where everything that is shared lies, for so many vCPUs: both sides compute it alike.

use core::mem::size_of;

use pvqspin::CpuNodes;
use pvqspin_abi::{VcpuPage, VmPage};
use pvqspin_load::{Control, NeighbourRecord, Record};

use crate::area::CpuArea;
use crate::results::Results;
use crate::stock::StockArea;

/// Where the shared memory begin. The image has to end below.
pub const SHARED_AT: u64 = 0x100_0000;

/// Where guest memory begins: what lies below leaves the VM.
pub const MEMORY_AT: u64 = 0x1000;

/// The stack of one vCPU. Formatting a panic takes some KiB, everything else less.
pub const STACK_BYTES: u64 = 64 << 10;

/// All stacks look alike to the first-level cache, which indexes by the lower address bits: each
/// starts some lines lower than its neighbour's, so that their hottest lines do not compete.
const COLOURS: u64 = 15;
const COLOUR_STEP: u64 = 256;

/// What locks and workloads allocate: the same for any number of vCPUs, and for each of them.
const HEAP_BYTES: u64 = 16 << 20;
const HEAP_BYTES_PER_VCPU: u64 = 64 << 10;

/// The parts are apart by multiples of this.
const ALIGN: u64 = 4096;

/// Guest addresses of everything shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    vcpus: u64,
    /// [`Results`].
    pub results: u64,
    /// [`Control`].
    pub control: u64,
    /// [`VmPage`].
    pub vm_page: u64,
    /// [`VcpuPage`]s, one after the other.
    pub pages: u64,
    /// [`CpuNodes`], likewise.
    pub nodes: u64,
    /// [`Record`]s, likewise.
    pub records: u64,
    /// [`NeighbourRecord`]s, likewise.
    pub neighbour_records: u64,
    /// [`CpuArea`]s, likewise.
    pub areas: u64,
    /// [`StockArea`]s, likewise.
    pub stock_areas: u64,
    /// Where the stacks begin. What the VMM reads of its guest lies below.
    pub stacks: u64,
    /// Where the heap begins.
    pub heap: u64,
    /// Where it ends, and all memory with it.
    pub end: u64,
}

impl Layout {
    /// The layout of a VM with so many vCPUs.
    #[must_use]
    pub const fn new(vcpus: usize) -> Self {
        let count = vcpus as u64;
        let mut next = SHARED_AT;
        let results = take(&mut next, size_of::<Results>(), 1);
        let control = take(&mut next, size_of::<Control>(), 1);
        let vm_page = take(&mut next, size_of::<VmPage>(), 1);
        let pages = take(&mut next, size_of::<VcpuPage>(), count);
        let nodes = take(&mut next, size_of::<CpuNodes>(), count);
        let records = take(&mut next, size_of::<Record>(), count);
        let neighbour_records = take(&mut next, size_of::<NeighbourRecord>(), count);
        let areas = take(&mut next, size_of::<CpuArea>(), count);
        let stock_areas = take(&mut next, size_of::<StockArea>(), count);
        let stacks = take(&mut next, STACK_BYTES as usize, count);
        let heap = next;
        Self {
            vcpus: count,
            results,
            control,
            vm_page,
            pages,
            nodes,
            records,
            neighbour_records,
            areas,
            stock_areas,
            stacks,
            heap,
            end: heap + HEAP_BYTES + count * HEAP_BYTES_PER_VCPU,
        }
    }

    /// The area of a vCPU.
    #[must_use]
    pub const fn area(&self, cpu: usize) -> u64 {
        self.areas + cpu as u64 * size_of::<CpuArea>() as u64
    }

    /// Where the stack of a vCPU starts: 16-byte aligned, coloured.
    #[must_use]
    pub const fn stack_top(&self, cpu: usize) -> u64 {
        let cpu = cpu as u64;
        self.stacks + (cpu + 1) * STACK_BYTES - (cpu % COLOURS) * COLOUR_STEP
    }

    /// How many vCPUs there are.
    #[must_use]
    pub const fn vcpus(&self) -> usize {
        self.vcpus as usize
    }
}

const fn take(next: &mut u64, size: usize, count: u64) -> u64 {
    let place = *next;
    *next = (place + size as u64 * count).next_multiple_of(ALIGN);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_overlap() {
        for vcpus in [1, 2, 16, 1024] {
            let layout = Layout::new(vcpus);
            let count = vcpus as u64;
            let of = |size: usize| size as u64 * count;
            let ends = [
                (layout.results, size_of::<Results>() as u64, layout.control),
                (layout.control, size_of::<Control>() as u64, layout.vm_page),
                (layout.vm_page, size_of::<VmPage>() as u64, layout.pages),
                (layout.pages, of(size_of::<VcpuPage>()), layout.nodes),
                (layout.nodes, of(size_of::<CpuNodes>()), layout.records),
                (
                    layout.records,
                    of(size_of::<Record>()),
                    layout.neighbour_records,
                ),
                (
                    layout.neighbour_records,
                    of(size_of::<NeighbourRecord>()),
                    layout.areas,
                ),
                (layout.areas, of(size_of::<CpuArea>()), layout.stock_areas),
                (
                    layout.stock_areas,
                    of(size_of::<StockArea>()),
                    layout.stacks,
                ),
                (layout.stacks, count * STACK_BYTES, layout.heap),
                (layout.heap, HEAP_BYTES, layout.end),
            ];
            for (place, bytes, next) in ends {
                assert!(
                    place % 128 == 0 && place + bytes <= next,
                    "{place:#x} {bytes}"
                );
            }
            assert_eq!(layout.stack_top(vcpus - 1) % 16, 0);
            assert!(layout.stack_top(vcpus - 1) <= layout.heap);
        }
    }
}
