//! What a kernel says of its own functions: BTF, as in `/sys/kernel/btf/vmlinux`.
//!
//! The layout is that of Linux's Documentation/bpf/btf.rst, native byte order: a header, types, strings.

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
const FUNCTION: u32 = 12;
const PROTOTYPE: u32 = 13;

/// Whether the last parameter of this function has this name. `None` if these bytes are no BTF, or know no such function.
pub(super) fn ends_with_parameter(btf: &[u8], function: &str, parameter: &str) -> Option<bool> {
    let btf = Btf::read(btf)?;
    let mut prototype = None;
    // Types are numbered from 1, in their order.
    let all = || (1..).zip(btf.types());
    for (_, each) in all() {
        if each.kind == FUNCTION && btf.name(each.name) == Some(function.as_bytes()) {
            prototype = Some(each.size_or_type);
        }
    }
    let (_, found) = all().find(|&(id, _)| Some(id) == prototype)?;
    if found.kind != PROTOTYPE {
        return None;
    }
    let last = found.more.chunks_exact(8).last();
    let name = last.and_then(|last| btf.name(number(last, 0)?));
    Some(name == Some(parameter.as_bytes()))
}

struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

/// `struct btf_type`, and what follows it.
struct Type<'a> {
    name: u32,
    kind: u32,
    size_or_type: u32,
    more: &'a [u8],
}

impl<'a> Btf<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.first_chunk().copied().map(u16::from_ne_bytes) != Some(MAGIC) {
            return None;
        }
        let field = |at| number(bytes, at).map(|value| value as usize);
        let header = field(4)?;
        let part = |offset: usize, length: usize| {
            let from = header.checked_add(offset)?;
            bytes.get(from..from.checked_add(length)?)
        };
        if header < HEADER_BYTES {
            return None;
        }
        Some(Self {
            types: part(field(8)?, field(12)?)?,
            strings: part(field(16)?, field(20)?)?,
        })
    }

    fn name(&self, at: u32) -> Option<&'a [u8]> {
        self.strings
            .get(at as usize..)?
            .split(|&byte| byte == 0)
            .next()
    }

    /// Up to the end, or to what is of no kind that is known.
    fn types(&self) -> impl Iterator<Item = Type<'a>> {
        let mut rest = self.types;
        std::iter::from_fn(move || {
            let (name, info) = (number(rest, 0)?, number(rest, 4)?);
            let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let length = match kind {
                // Pointers, declarations, names, qualifiers, functions, floats, type tags.
                2 | 7..=12 | 16 | 18 => 0,
                // Integers, variables, declaration tags.
                1 | 14 | 17 => 4,
                // Arrays.
                3 => 12,
                // Structures, unions, sections, enumerations of 64 bits.
                4 | 5 | 15 | 19 => 12 * members,
                // Enumerations, prototypes.
                6 | PROTOTYPE => 8 * members,
                _ => return None,
            };
            let each = Type {
                name,
                kind,
                size_or_type: number(rest, 8)?,
                more: rest.get(12..12 + length)?,
            };
            rest = &rest[12 + length..];
            Some(each)
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// BTF of one function with these parameters, behind a structure, and before a type that is not known.
    pub(crate) fn of_function(name: &str, parameters: &[&str]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut text = |text: &str| {
            let at = strings.len() as u32;
            strings.extend(text.bytes().chain([0]));
            at
        };
        let mut types: Vec<u32> = vec![0, 4 << 24 | 1, 8, 0, 1, 0];
        types.extend([text(name), FUNCTION << 24, 3]);
        types.extend([0, PROTOTYPE << 24 | parameters.len() as u32, 0]);
        for parameter in parameters {
            types.extend([text(parameter), 1]);
        }
        types.extend([0, 31 << 24, 0]);
        let header = [
            HEADER_BYTES as u32,
            0,
            4 * types.len() as u32,
            4 * types.len() as u32,
            strings.len() as u32,
        ];
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend(
            header
                .iter()
                .chain(&types)
                .flat_map(|word| word.to_ne_bytes()),
        );
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn the_last_parameter_is_known() {
        let btf = of_function("kick", &["cpu", "aux"]);
        assert_eq!(ends_with_parameter(&btf, "kick", "aux"), Some(true));
        assert_eq!(ends_with_parameter(&btf, "kick", "cpu"), Some(false));
        assert_eq!(ends_with_parameter(&btf, "kic", "aux"), None);
        let btf = of_function("kick", &[]);
        assert_eq!(ends_with_parameter(&btf, "kick", "aux"), Some(false));
    }

    #[test]
    fn what_is_no_btf_says_nothing() {
        let btf = of_function("kick", &["cpu", "aux"]);
        for length in 0..btf.len() {
            // Without its end it may still be understood: the answer is not wrong then.
            let found = ends_with_parameter(&btf[..length], "kick", "aux");
            assert_ne!(found, Some(true), "{length} bytes");
        }
        assert_eq!(ends_with_parameter(&[0xff; 64], "kick", "aux"), None);
    }
}
