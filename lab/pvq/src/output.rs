//! What a command leaves and says: files, the terminal, errors.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`results`] | where results go, checked before anything runs |
//! | [`begun`] | the head of a results file |
//! | [`page_files`] | where a page and its pictures go |
//! | [`file_lock`] | one command at a time writes to a place |
//! | [`progress`] | a bar with the time left, or plain lines |
//! | [`terminal`] | how wide the terminal is, and what it shows |
//! | [`failure`] | errors and exit codes |

pub(crate) mod begun;
pub(crate) mod failure;
pub(crate) mod file_lock;
pub(crate) mod page_files;
pub(crate) mod progress;
pub(crate) mod results;
pub(crate) mod terminal;
