//! Numbers out of bytes. When the bytes are over they begin again, so that few of them go a long way.

/// Bytes that never end.
pub(crate) struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some(&byte) = self.bytes.get(self.at % self.bytes.len().max(1)) else {
            return 0;
        };
        // What comes round again is something else.
        let round = (self.at / self.bytes.len()) as u8;
        self.at += 1;
        byte.wrapping_add(round.wrapping_mul(0x9d))
    }

    /// A number below `bound`, which is at most 256.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from(self.u32()) << 32 | u64::from(self.u32())
    }
}
