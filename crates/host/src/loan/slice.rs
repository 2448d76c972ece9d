//! A slice, and who uses it.

/// What a slice is granted, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// How long it is.
    pub slice_ns: u64,
    /// How long a loan is at least, and by how much loans may stretch the slice.
    pub min_loan_ns: u64,
    /// How much of it is charged at most, however late its end comes. Above `slice_ns + min_loan_ns` this
    /// matters only on a machine that stood still.
    pub most_charged_ns: u64,
}

/// A stretch of time on a pCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slice<T> {
    owner: T,
    current: T,
    began: u64,
    planned_end: u64,
    end: u64,
    min_loan_ns: u64,
    charged_until: u64,
    wanted_until: u64,
    chargeable_ns: u64,
    free_ns: u64,
    first_loan: Option<u64>,
}

/// The use of a slice by another task than its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loan<T> {
    /// Owns the slice, and pays for it.
    pub lender: T,
    /// Runs on it, and pays nothing.
    pub borrower: T,
    /// When it ends at the latest, in nanoseconds on the caller's clock.
    pub until: u64,
}

impl<T: Copy + Eq> Slice<T> {
    pub(super) fn new(owner: T, now: u64, wanted_ns: u64, terms: &Terms) -> Self {
        let end = now.saturating_add(terms.slice_ns);
        Self {
            owner,
            current: owner,
            began: now,
            planned_end: end,
            end,
            min_loan_ns: terms.min_loan_ns,
            charged_until: now,
            wanted_until: wanted_ns,
            chargeable_ns: terms.most_charged_ns,
            free_ns: 0,
            first_loan: None,
        }
    }

    /// The task that pays.
    #[must_use]
    pub const fn owner(&self) -> T {
        self.owner
    }

    /// The task that runs.
    #[must_use]
    pub const fn current(&self) -> T {
        self.current
    }

    /// When it began.
    #[must_use]
    pub const fn began(&self) -> u64 {
        self.began
    }

    /// When it ends, loans near its end included.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// When it was to end when it began.
    #[must_use]
    pub const fn planned_end(&self) -> u64 {
        self.planned_end
    }

    /// The loan that it is used by, if it is.
    #[must_use]
    pub fn loan(&self) -> Option<Loan<T>> {
        (self.current != self.owner).then_some(Loan {
            lender: self.owner,
            borrower: self.current,
            until: self.end,
        })
    }

    /// How much of it cost its owner nothing up to the last charge, because no other task wanted it, in
    /// nanoseconds.
    #[must_use]
    pub const fn free_ns(&self) -> u64 {
        self.free_ns
    }

    /// Whether its time is up.
    #[must_use]
    pub const fn is_over(&self, now: u64) -> bool {
        now >= self.end
    }

    /// Whether any of it can be lent.
    #[must_use]
    pub const fn can_lend(&self, now: u64) -> bool {
        now < self.limit()
    }

    /// Whether nothing may take its pCPU now: for the shortest loan from its first loan on.
    #[must_use]
    pub fn is_protected(&self, now: u64) -> bool {
        self.protected_until(now).is_some()
    }

    /// Until when nothing may take its pCPU, if that is so now.
    #[must_use]
    pub fn protected_until(&self, now: u64) -> Option<u64> {
        let until = self.first_loan?.saturating_add(self.min_loan_ns);
        (self.loan().is_some() && now < until).then_some(until)
    }

    const fn limit(&self) -> u64 {
        self.planned_end.saturating_add(self.min_loan_ns)
    }

    /// What it costs since it was charged last: how long that was, and how much of it the owner pays.
    pub(super) fn due(&mut self, now: u64, wanted_ns: u64) -> Option<(u64, u64)> {
        let ran_ns = now.saturating_sub(self.charged_until);
        if ran_ns == 0 {
            return None;
        }
        self.charged_until = now;
        let most_ns = ran_ns.min(self.chargeable_ns);
        self.chargeable_ns -= most_ns;
        let charged_ns = most_ns.min(wanted_ns.saturating_sub(self.wanted_until));
        self.wanted_until = wanted_ns;
        self.free_ns += most_ns - charged_ns;
        Some((ran_ns, charged_ns))
    }

    pub(super) fn give_to(&mut self, now: u64, to: T) {
        let at_least = now.saturating_add(self.min_loan_ns);
        self.end = self.end.max(at_least.min(self.limit()));
        self.current = to;
        if to != self.owner {
            self.first_loan.get_or_insert(now);
        }
    }
}
