//! The guest image: loaded, and refused if it is of another version.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use linux_loader::loader::{Elf, KernelLoader};
use pvqspin_kvm_boot::header::{IMAGE_AT, Refusal};
use pvqspin_kvm_boot::layout::{MEMORY_AT, SHARED_AT};
use pvqspin_kvm_boot::{Header, Layout};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryMmap};

use crate::memory::GuestMemory;

/// Why an image cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ImageProblem {
    /// The file cannot be read.
    #[error("cannot read the guest image {0}: {1}")]
    Unreadable(PathBuf, io::Error),
    /// It is no program, or none that fits.
    #[error("{0} is no guest image: {1}")]
    NoProgram(PathBuf, String),
    /// It is no image of ours.
    #[error("{0} is no guest image of pvqspin; `cargo xtask guest` builds one")]
    Foreign(PathBuf),
    /// It is of another version.
    #[error(
        "the guest image {path} is of version {found}, this program is of version {expected}; \
         build it again with `cargo xtask guest`"
    )]
    OtherVersion {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: String,
        /// Ours.
        expected: &'static str,
    },
    /// It is of this version, but of other sources.
    #[error(
        "the guest image {0} was built from other sources or with other features than this \
         program; build both again (`cargo xtask guest`)"
    )]
    OtherLayout(PathBuf),
}

/// An image that was looked at.
#[derive(Clone, Debug)]
pub struct Image {
    path: PathBuf,
}

impl Image {
    /// Looks at an image, by loading it once.
    ///
    /// # Errors
    ///
    /// If it cannot be run: the error says why.
    pub fn open(path: &Path) -> Result<Self, ImageProblem> {
        let image = Self {
            path: path.to_owned(),
        };
        // As much memory as an image may fill.
        let bytes = (Layout::new(1).end - MEMORY_AT) as usize;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(MEMORY_AT), bytes)])
            .map_err(|error| image.no_program(&error))?;
        image.load(&memory)?;
        Ok(image)
    }

    fn no_program(&self, why: &dyn std::fmt::Display) -> ImageProblem {
        ImageProblem::NoProgram(self.path.clone(), why.to_string())
    }

    /// Loads it into the memory of a VM. Returns the address of its first instruction.
    pub(crate) fn load_into(&self, memory: &GuestMemory) -> Result<u64, ImageProblem> {
        self.load(memory.mapping())
    }

    fn load(&self, memory: &GuestMemoryMmap<()>) -> Result<u64, ImageProblem> {
        let unreadable = |error| ImageProblem::Unreadable(self.path.clone(), error);
        let mut file = File::open(&self.path).map_err(unreadable)?;
        // A folder opens, and cannot be read.
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(self.no_program(&"it is not a file"));
        }
        let loaded = Elf::load(memory, None, &mut file, Some(GuestAddress(IMAGE_AT)))
            .map_err(|error| self.no_program(&error))?;
        self.check_header(memory)?;
        if loaded.kernel_end > SHARED_AT {
            return Err(self.no_program(&"it is too large"));
        }
        Ok(loaded.kernel_load.raw_value())
    }

    fn check_header(&self, memory: &GuestMemoryMmap<()>) -> Result<(), ImageProblem> {
        let mut bytes = [0; Header::BYTES];
        memory
            .read_slice(&mut bytes, GuestAddress(IMAGE_AT))
            .map_err(|error| self.no_program(&error))?;
        let header = Header::from_bytes(&bytes);
        let path = self.path.clone();
        match header.refusal() {
            None => Ok(()),
            Some(Refusal::Magic) => Err(ImageProblem::Foreign(path)),
            Some(Refusal::Version) => Err(ImageProblem::OtherVersion {
                path,
                found: header.version().to_owned(),
                expected: env!("CARGO_PKG_VERSION"),
            }),
            Some(Refusal::Layout) => Err(ImageProblem::OtherLayout(path)),
        }
    }
}
