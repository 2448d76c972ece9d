//! An initial file system for Linux: a `cpio` archive in the "newc" format.
//!
//! The format is that of `Documentation/driver-api/early-userspace/buffer-format.rst`: for each
//! entry a header of 110 characters (a magic number and 13 fields of 8 hexadecimal digits), its name
//! with a zero, and its data, each padded to four bytes.

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
/// Its device number.
const CONSOLE: (u32, u32) = (5, 1);
const END: &str = "TRAILER!!!";

/// An archive in the making.
pub(crate) struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
}

impl Initramfs {
    /// With a console, without which the first process has no standard streams.
    pub(crate) fn new() -> Self {
        let mut archive = Self {
            bytes: Vec::new(),
            entries: 0,
        };
        archive.directory("dev");
        archive.entry("dev/console", CHARACTER_DEVICE, CONSOLE, &[]);
        archive
    }

    /// Adds a directory; the one it is in comes first.
    pub(crate) fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY, (0, 0), &[]);
    }

    /// Adds a file that may be executed.
    pub(crate) fn file(&mut self, name: &str, data: &[u8]) {
        self.entry(name, PROGRAM, (0, 0), data);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(END, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        self.entries += 1;
        let inode = self.entries;
        let links = 1;
        let owner = 0;
        let time = 0;
        let checksum = 0;
        self.bytes.extend_from_slice(b"070701");
        for field in [
            inode,
            mode,
            owner,
            owner,
            links,
            time,
            data.len() as u32,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            checksum,
        ] {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_data_stand_at_multiples_of_four() {
        let mut archive = Initramfs::new();
        archive.file("odd", b"12345");
        let bytes = archive.finish();
        let at = |needle: &[u8]| {
            bytes
                .windows(needle.len())
                .position(|window| window == needle)
                .expect("it is there")
        };
        for needle in [&b"12345"[..], b"odd\0", b"dev/console\0", b"TRAILER!!!\0"] {
            let header = if needle == b"12345" { 0 } else { 110 };
            assert_eq!((at(needle) - header) % 4, 0, "{needle:?}");
        }
        assert_eq!(bytes.len() % 4, 0);
        // Its length, the seventh field, and that of its name, the twelfth.
        let header = at(b"odd\0") - 110;
        assert_eq!(&bytes[header..header + 6], b"070701");
        assert_eq!(&bytes[header + 6 + 48..][..8], b"00000005");
        assert_eq!(&bytes[header + 6 + 88..][..8], b"00000004");
    }
}
