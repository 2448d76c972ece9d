//! The memory of one VM, and the VMM's view of what it shares with its guest.
//!
//! A guest may write anything anywhere, at any time. So the VMM looks at shared memory in two ways
//! only: as bytes that are copied, and as types that are made of atomics, for which every pattern
//! of bits is a value ([`Shared`]). The reader of a value checks what it *means*.

use core::mem::{align_of, size_of};
use core::slice;
use std::io;

use pvqspin::CpuNodes;
use pvqspin_abi::{Cpu, VcpuPage, VmPage};
use pvqspin_host::GuestPages;
use pvqspin_kvm_boot::layout::MEMORY_AT;
use pvqspin_kvm_boot::{CpuArea, Layout, Results, StockArea};
use pvqspin_load::{Control, NeighbourRecord, Record};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// What may be looked at in a guest's memory while the guest writes there.
///
/// # Safety
///
/// The type is `repr(C)`, made of atomics alone, and every pattern of bits is a value of it.
pub(crate) unsafe trait Shared: Sync {}

// SAFETY: a 32-bit atomic on each of two lines; any word is a sample, and any an edge.
unsafe impl Shared for VcpuPage {}
// SAFETY: one 32-bit atomic.
unsafe impl Shared for VmPage {}
// SAFETY: 32-bit and 64-bit atomics; the lock masks every index that it reads from there.
unsafe impl Shared for CpuNodes {}
// SAFETY: 64-bit atomics, and an array of 32-bit ones.
unsafe impl Shared for Record {}
// SAFETY: 64-bit atomics.
unsafe impl Shared for NeighbourRecord {}
// SAFETY: a 32-bit and a 64-bit atomic; an unknown phase reads as the last one.
unsafe impl Shared for Control {}
// SAFETY: 32-bit, 64-bit and 8-bit atomics.
unsafe impl Shared for Results {}
// SAFETY: 64-bit atomics, a 16-bit one that only the guest reads, and a pointer that only the
// guest follows. (Any 16 bits are a `Cpu` as far as the language goes: it has no niche.)
unsafe impl Shared for CpuArea {}
// SAFETY: 8-bit, 32-bit and 64-bit atomics; every number of a CPU that is read there is checked.
unsafe impl Shared for StockArea {}

/// The memory of one VM.
#[derive(Debug)]
pub(crate) struct GuestMemory {
    memory: GuestMemoryMmap<()>,
    layout: Layout,
}

impl GuestMemory {
    /// Fresh, zeroed memory for so many vCPUs, with their areas written.
    pub(crate) fn new(vcpus: usize) -> io::Result<Self> {
        let layout = Layout::new(vcpus);
        let bytes = layout.end - MEMORY_AT;
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(MEMORY_AT), bytes)])
            .map_err(io::Error::other)?;
        let this = Self { memory, layout };
        for cpu in (0..vcpus).filter_map(Cpu::new) {
            let address = layout.area(cpu.index());
            // SAFETY: the place of an area, aligned, inside the mapping, which nothing reads yet.
            unsafe { this.pointer::<CpuArea>(address, 1).write(CpuArea::new(cpu)) };
            let own_address = &this.cpu_area(cpu).this;
            own_address.store(address, core::sync::atomic::Ordering::Relaxed);
        }
        Ok(this)
    }

    /// For loaders, and for KVM.
    pub(crate) fn mapping(&self) -> &GuestMemoryMmap<()> {
        &self.memory
    }

    /// Where everything lies.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What KVM has to be told of it: guest address, length, address in this process.
    pub(crate) fn regions(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.memory.iter().map(|region| {
            let host = self.memory.get_host_address(region.start_addr());
            let host = host.map_or(0, |host| host as u64);
            (region.start_addr().0, region.len(), host)
        })
    }

    /// Writes words.
    pub(crate) fn write_words(&self, at: u64, words: &[u64]) -> io::Result<()> {
        for (index, word) in words.iter().enumerate() {
            let at = GuestAddress(at + 8 * index as u64);
            self.memory.write_obj(*word, at).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// The host address of `count` values of a type.
    ///
    /// # Panics
    ///
    /// If they are not all inside the mapping, or not aligned: `Layout` is wrong then, whatever a
    /// guest does.
    fn pointer<T>(&self, at: u64, count: usize) -> *mut T {
        let slice = self
            .memory
            .get_slice(GuestAddress(at), count * size_of::<T>())
            .expect("every shared place is inside the mapping");
        let pointer = slice.ptr_guard_mut().as_ptr().cast::<T>();
        assert_eq!(pointer.align_offset(align_of::<T>()), 0);
        pointer
    }

    fn all<T: Shared>(&self, at: u64, count: usize) -> &[T] {
        let pointer = self.pointer::<T>(at, count);
        // SAFETY: inside the mapping, which lives as long as `self`, and aligned, both as just
        // checked. Whatever stands there is a `T`, and a guest that writes there meanwhile writes to
        // atomics, by the contract of `Shared`.
        unsafe { slice::from_raw_parts(pointer, count) }
    }

    fn one<T: Shared>(&self, first: u64, index: usize) -> &T {
        &self.all(first, self.layout.vcpus().max(1))[index]
    }

    /// The area of a vCPU. Panics, as all below, for a vCPU that the VM does not have.
    pub(crate) fn cpu_area(&self, cpu: Cpu) -> &CpuArea {
        self.one(self.layout.areas, cpu.index())
    }

    /// What a vCPU keeps of itself on the stock transports.
    pub(crate) fn stock_area(&self, cpu: Cpu) -> &StockArea {
        self.one(self.layout.stock_areas, cpu.index())
    }

    /// The nodes of a vCPU.
    pub(crate) fn nodes(&self, cpu: Cpu) -> &CpuNodes {
        self.one(self.layout.nodes, cpu.index())
    }

    /// What the vCPUs have measured.
    pub(crate) fn records(&self) -> &[Record] {
        self.all(self.layout.records, self.layout.vcpus())
    }

    /// What the vCPUs of a neighbour have done.
    pub(crate) fn neighbour_records(&self) -> &[NeighbourRecord] {
        self.all(self.layout.neighbour_records, self.layout.vcpus())
    }

    /// The phase that the guest is told.
    pub(crate) fn control(&self) -> &Control {
        &self.all(self.layout.control, 1)[0]
    }

    /// Why the guest panicked.
    pub(crate) fn message(&self) -> String {
        let bytes: Vec<u8> = self.results().message().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What the guest says at the end.
    pub(crate) fn results(&self) -> &Results {
        &self.all(self.layout.results, 1)[0]
    }
}

impl GuestPages for GuestMemory {
    fn vcpu(&self, cpu: Cpu) -> &VcpuPage {
        self.one(self.layout.pages, cpu.index())
    }

    fn vm(&self) -> &VmPage {
        &self.all(self.layout.vm_page, 1)[0]
    }
}
