//! A mutex of the standard library as the lock of a group, for tests and benches.

use std::sync::Mutex;

use pvqspin_host::groups::Locked;

pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Locked<T> for Lock<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().expect("no panic under the lock"))
    }
}
