//! The code in the guides, tested: `cargo test --doc -p pvqspin-guides`.
//!
//! Every chapter of `docs/` and every crate's README with Rust code that is not an excerpt of a compiled file stands here;
//! `cargo xtask book --check` tells if one is missing.

macro_rules! chapters {
    ($($name:ident: $file:literal),* $(,)?) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!($file)]
            struct $name;
        )*
    };
}

chapters! {
    AdoptHost: "../../../docs/adopt-host.md",
    AdoptArceOs: "../../../docs/adopt-arceos.md",
    AdoptKvm: "../../../docs/adopt-kvm.md",
    AdoptLock: "../../../docs/adopt-lock.md",
    CrateAbi: "../../../crates/abi/README.md",
    CrateHost: "../../../crates/host/README.md",
    CrateLock: "../../../crates/pvqspin/README.md",
    Debugging: "../../../docs/debugging.md",
    Protocol: "../../../docs/protocol.md",
    Threads: "../../../docs/threads.md",
}
