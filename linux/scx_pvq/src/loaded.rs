//! The scheduler as long as a run lasts. The kernel ends it when a CPU comes or goes, and it is loaded again; whatever else
//! goes wrong, it is lost, and the run is told.

use anyhow::{Error, Result};

use crate::counters::Counters;
use crate::output::say;
use crate::shared::End;

/// What a run asks a scheduler that is attached. Dropping the value ends it.
pub(crate) trait Attached {
    /// Statistics since it was attached.
    fn counters(&self) -> Result<Counters>;
    /// Why the kernel ended it, if it did.
    fn end(&self) -> Result<Option<End>>;
}

/// One after the other, of these that `attach` makes.
pub(crate) struct Loaded<S, F> {
    /// None once it has ended.
    scheduler: Option<S>,
    attach: F,
    /// Statistics of those that have ended.
    total: Counters,
    lost: bool,
}

impl<S: Attached, F: Fn() -> Result<S>> Loaded<S, F> {
    /// Begins with one that is attached.
    pub(crate) fn new(scheduler: S, attach: F) -> Self {
        Self {
            scheduler: Some(scheduler),
            attach,
            total: Counters::default(),
            lost: false,
        }
    }

    /// Statistics of the whole run.
    pub(crate) fn counters(&mut self) -> Counters {
        match self.scheduler.as_ref().map(Attached::counters) {
            None => self.total.clone(),
            Some(Ok(counters)) => self.total.plus(&counters),
            Some(Err(error)) => {
                self.lose(&error);
                self.total.clone()
            }
        }
    }

    /// Loads it again if a CPU came or went. Whether it is there still.
    pub(crate) fn keep(&mut self) -> bool {
        if let Err(error) = self.try_to_keep() {
            self.lose(&error);
        }
        !self.lost
    }

    /// Ends it. Statistics of the whole run, and whether it was lost on the way.
    pub(crate) fn finish(mut self) -> (Counters, bool) {
        // Once more: the kernel may have ended it since. One that would be loaded again is not lost.
        match self.ended() {
            Ok(end) => self.lost |= end.is_some_and(|end| !end.asks_for_restart()),
            Err(error) => self.lose(&error),
        }
        (self.counters(), self.lost)
    }

    fn try_to_keep(&mut self) -> Result<()> {
        if let Some(end) = self.ended()? {
            if end.asks_for_restart() {
                say!("loading it again");
                self.scheduler = Some((self.attach)()?);
            } else {
                self.lost = true;
            }
        }
        Ok(())
    }

    /// Why the kernel ended the last one, the first time that this is asked since.
    fn ended(&mut self) -> Result<Option<End>> {
        let Some(scheduler) = &self.scheduler else {
            return Ok(None);
        };
        let end = scheduler.end()?;
        if let Some(end) = &end {
            say!("the kernel ended it: {end}");
            self.total = self.total.plus(&scheduler.counters()?);
            self.scheduler = None;
        }
        Ok(end)
    }

    fn lose(&mut self, error: &Error) {
        say!("{error:#}");
        self.scheduler = None;
        self.lost = true;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::bail;

    use super::*;
    use crate::shared::tests::end;

    const RESTART: i64 = 1 << 48;

    /// Ten yields each.
    #[derive(Default)]
    struct Fake {
        /// The code of its end.
        end: Cell<Option<i64>>,
        /// What cannot be read of it.
        broken: Cell<&'static str>,
    }

    impl Attached for &Fake {
        fn counters(&self) -> Result<Counters> {
            match self.broken.get() {
                "counters" => bail!("no counters"),
                _ => Ok(Counters::of("yields", 10)),
            }
        }

        fn end(&self) -> Result<Option<End>> {
            match self.broken.get() {
                "end" => bail!("no end"),
                _ => Ok(self.end.get().map(end)),
            }
        }
    }

    fn yields(n: u64) -> Counters {
        Counters::of("yields", n)
    }

    #[test]
    fn one_that_ends_for_a_cpu_is_loaded_again() {
        let fakes = [Fake::default(), Fake::default()];
        let mut loaded = Loaded::new(&fakes[0], || Ok(&fakes[1]));
        assert!(loaded.keep());
        assert_eq!(loaded.counters(), yields(10));
        fakes[0].end.set(Some(RESTART));
        assert!(loaded.keep());
        assert_eq!(loaded.counters(), yields(20));
        assert_eq!(loaded.finish(), (yields(20), false));
    }

    #[test]
    fn one_that_is_ejected_is_lost_and_what_it_counted_is_not() {
        let fake = Fake::default();
        let attach = || unreachable!("it is not loaded again");
        let mut loaded = Loaded::new(&fake, attach);
        fake.end.set(Some(0));
        assert!(!loaded.keep());
        assert!(!loaded.keep());
        assert_eq!(loaded.counters(), yields(10));
        assert_eq!(loaded.finish(), (yields(10), true));
        // The kernel did it after the last look.
        assert_eq!(Loaded::new(&fake, attach).finish(), (yields(10), true));
    }

    #[test]
    fn a_cpu_that_comes_just_before_the_end_is_no_failure() {
        let fake = Fake::default();
        let loaded = Loaded::new(&fake, || unreachable!("it is not loaded again"));
        fake.end.set(Some(RESTART));
        assert_eq!(loaded.finish(), (yields(10), false));
    }

    #[test]
    fn one_that_cannot_be_loaded_again_is_lost_and_the_run_goes_on() {
        let fake = Fake::default();
        let tried = Cell::new(0);
        let mut loaded = Loaded::new(&fake, || {
            tried.set(tried.get() + 1);
            bail!("another scheduler is loaded")
        });
        fake.end.set(Some(RESTART));
        assert!(!loaded.keep());
        assert!(!loaded.keep());
        assert_eq!(loaded.finish(), (yields(10), true));
        assert_eq!(tried.get(), 1);
    }

    #[test]
    fn one_that_cannot_be_read_is_lost_and_the_run_goes_on() {
        for broken in ["counters", "end"] {
            let fake = Fake::default();
            let mut loaded = Loaded::new(&fake, || unreachable!("it is not loaded again"));
            fake.broken.set(broken);
            loaded.counters();
            assert!(!loaded.keep(), "{broken}");
            assert_eq!(loaded.finish(), (yields(0), true));
            assert_eq!(Loaded::new(&fake, || Ok(&fake)).finish(), (yields(0), true));
        }
    }
}
