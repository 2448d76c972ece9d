//! Our policies at other constants than their own: for the curves that justify the constants.
//!
//! A policy's constants are compiled in, so each value is a type. They are kept out of the
//! catalogue, so that only who asks for them ([`with_tuned`]) is compiled for all of them.

use core::marker::PhantomData;

use pvqspin::{Bounded, Env, Fifo, FifoHalt, Idx3, Policy, QSpinLock, Rules};

use crate::visit::Visitor;

/// As `P`, with another spin budget.
#[derive(Clone, Copy, Debug)]
pub struct WithSpin<P, const NS: u32>(PhantomData<P>);

/// As `P`, with another interval between a yield that failed and the next.
#[derive(Clone, Copy, Debug)]
pub struct WithRetry<P, const NS: u32>(PhantomData<P>);

/// As `P`, with another length from which on a hold is a long one.
#[derive(Clone, Copy, Debug)]
pub struct WithLongHold<P, const NS: u32>(PhantomData<P>);

impl<P: Policy, const NS: u32> Policy for WithLongHold<P, NS> {
    const NAME: &'static str = P::NAME;
    const RULES: Rules = Rules {
        long_hold_ns: NS,
        ..P::RULES
    };
}

impl<P: Policy, const NS: u32> Policy for WithSpin<P, NS> {
    const NAME: &'static str = P::NAME;
    const RULES: Rules = Rules {
        spin_ns: NS,
        ..P::RULES
    };
}

impl<P: Policy, const NS: u32> Policy for WithRetry<P, NS> {
    const NAME: &'static str = P::NAME;
    const RULES: Rules = Rules {
        retry_ns: NS,
        ..P::RULES
    };
}

/// A lock with one constant changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuned {
    /// Which one it is.
    pub id: TunedId,
    /// Its name in grid files and results: the policy, the constant, its value.
    pub name: &'static str,
    /// The policy.
    pub policy: &'static str,
    /// Whether waiters get it in the order in which they came.
    pub fair: bool,
}

macro_rules! tuned {
    ($($id:ident $name:literal $policy:ty;)*) => {
        /// A lock with one constant changed, by name.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum TunedId {
            $(#[doc = concat!("`", $name, "`.")] $id,)*
        }

        /// Every one of them, in the order of [`TunedId`].
        pub const TUNED: &[Tuned] = &[$(Tuned {
            id: TunedId::$id,
            name: $name,
            policy: <$policy as Policy>::NAME,
            fair: !<$policy as Policy>::RULES.passes_over(),
        },)*];

        /// Does something with the lock type of `id`.
        pub fn with_tuned<E: Env, V: Visitor<E>>(id: TunedId, visitor: V) -> V::Output {
            match id {
                $(TunedId::$id => visitor.visit::<QSpinLock<E, $policy, Idx3>>(),)*
            }
        }
    };
}

tuned! {
    FifoLong10 "fifo@long=10us" WithLongHold<Fifo, 10_000>;
    FifoLong20 "fifo@long=20us" WithLongHold<Fifo, 20_000>;
    FifoLong40 "fifo@long=40us" WithLongHold<Fifo, 40_000>;
    FifoLong60 "fifo@long=60us" WithLongHold<Fifo, 60_000>;
    FifoLong80 "fifo@long=80us" WithLongHold<Fifo, 80_000>;
    FifoLong160 "fifo@long=160us" WithLongHold<Fifo, 160_000>;
    FifoLong400 "fifo@long=400us" WithLongHold<Fifo, 400_000>;
    FifoLongNever "fifo@long=never" WithLongHold<Fifo, { u32::MAX }>;
    FifoSpin2 "fifo@spin=2us" WithSpin<Fifo, 2_000>;
    FifoSpin5 "fifo@spin=5us" WithSpin<Fifo, 5_000>;
    FifoSpin10 "fifo@spin=10us" WithSpin<Fifo, 10_000>;
    FifoSpin20 "fifo@spin=20us" WithSpin<Fifo, 20_000>;
    FifoSpin40 "fifo@spin=40us" WithSpin<Fifo, 40_000>;
    FifoRetry2 "fifo@retry=2us" WithRetry<Fifo, 2_000>;
    FifoRetry5 "fifo@retry=5us" WithRetry<Fifo, 5_000>;
    FifoRetry15 "fifo@retry=15us" WithRetry<Fifo, 15_000>;
    FifoRetry50 "fifo@retry=50us" WithRetry<Fifo, 50_000>;
    FifoRetry150 "fifo@retry=150us" WithRetry<Fifo, 150_000>;
    FifoRetry500 "fifo@retry=500us" WithRetry<Fifo, 500_000>;
    HaltSpin1 "fifo-halt@spin=1us" WithSpin<FifoHalt, 1_000>;
    HaltSpin3 "fifo-halt@spin=3us" WithSpin<FifoHalt, 3_000>;
    HaltSpin10 "fifo-halt@spin=10us" WithSpin<FifoHalt, 10_000>;
    HaltSpin30 "fifo-halt@spin=30us" WithSpin<FifoHalt, 30_000>;
    HaltSpin100 "fifo-halt@spin=100us" WithSpin<FifoHalt, 100_000>;
    HaltSpin1000 "fifo-halt@spin=1ms" WithSpin<FifoHalt, 1_000_000>;
    Bounded50 "bounded@wait=50us" Bounded<50>;
    Bounded100 "bounded@wait=100us" Bounded<100>;
    Bounded250 "bounded@wait=250us" Bounded<250>;
    Bounded500 "bounded@wait=500us" Bounded<500>;
    Bounded1000 "bounded@wait=1ms" Bounded<1_000>;
    Bounded3000 "bounded@wait=3ms" Bounded<3_000>;
    Bounded10000 "bounded@wait=10ms" Bounded<10_000>;
}

impl TunedId {
    /// What is known about it.
    #[must_use]
    pub fn entry(self) -> &'static Tuned {
        // The list is in the order of the declaration: the same macro writes both.
        &TUNED[self as usize]
    }
}

/// The lock of this name.
///
/// ```
/// use pvqspin_rivals::tuned::{self, TunedId};
///
/// assert_eq!(tuned::find("bounded@wait=1ms").map(|one| one.id), Some(TunedId::Bounded1000));
/// assert_eq!(tuned::find("bounded"), None);
/// ```
#[must_use]
pub fn find(name: &str) -> Option<&'static Tuned> {
    TUNED.iter().find(|one| one.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_constants_are_on_every_curve() {
        // A curve without the default on it would not show whether the default is any good.
        assert_eq!(Fifo::RULES, WithSpin::<Fifo, 10_000>::RULES);
        assert_eq!(Fifo::RULES, WithLongHold::<Fifo, 60_000>::RULES);
        assert_eq!(Fifo::RULES, WithRetry::<Fifo, 15_000>::RULES);
        assert_eq!(FifoHalt::RULES, WithSpin::<FifoHalt, 10_000>::RULES);
        let wait = crate::catalog::BOUNDED_WAIT_US;
        assert_eq!(Bounded::<1_000>::RULES.pass_over_us, wait);
    }

    #[test]
    fn names_say_what_they_are() {
        for one in TUNED {
            assert_eq!(find(one.name), Some(one), "a name of its own");
            assert_eq!(one.id.entry(), one);
            assert!(one.name.starts_with(&alloc::format!("{}@", one.policy)));
            assert_eq!(one.fair, one.policy != "bounded");
        }
    }
}
