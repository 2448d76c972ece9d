//! What a driver in real time stands on, whatever runs its guests.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`affinity`] | which CPUs there are, and threads that stay on one |
//! | [`clock`] | the time-stamp counter in nanoseconds |
//! | [`compute`] | work of so many nanoseconds, calibrated |
//! | [`timer`] | signals that end slices |
//! | [`noise`] | what this machine's own scheduler took meanwhile |
//!
//! Linux on x86-64 only; elsewhere only [`Noise`] is there.

#![doc(test(attr(deny(warnings))))]

pub mod noise;

pub use noise::Noise;

/// Declares the modules that exist on the one supported platform only.
macro_rules! supported {
    ($($module:ident)*) => {
        $(
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            pub mod $module;
        )*
    };
}

supported! { affinity clock compute timer }
