//! CSV files, from sites that give out nothing else: uploaded by HTTP, or put into a watched folder.
//!
//! # What
//! Each row becomes one record: a JSON object with the time and the numbers, on the topic of its device. So everything
//! behind the door treats it as if the device had sent it.
//!
//! # Invariants
//! - The answer to an upload and the done-marker of a file go out after the last row is durable.
//! - A file is known by its bytes and its mapping: brought again, it adds nothing. Killed anywhere, an import neither
//!   loses nor repeats a row.
//! - A bad row is reported by its line and the reason; the others are stored.
//! - Memory does not depend on the size of files.
//!
//! # Flow
//! ```text
//! POST /v1/upload ─▶ spool ─▶ upload ─┐            ┌─ first_pass: identity ─▶ register: known?
//! folder ─▶ folder (polls, settles) ──┴▶ importer ─┤
//!     ▲── marker: NAME.done ◀── receipt ───────────┴─ head, reader, plan ─▶ convert: batches ─▶ queue::Appender
//! ```
//! `reader`, `head`, `plan`, `convert`, `register`, `first_pass`, `archive` and what they use are pure.
//!
//! # Not here
//! Decoding: records are read by the decode routes, as those of all doors.

mod archive;
mod board;
mod convert;
mod fault;
mod first_pass;
mod folder;
mod glob;
mod head;
mod header;
mod importer;
mod mapping;
mod marker;
mod number;
mod plan;
mod reader;
mod receive;
mod register;
mod report;
mod spool;
mod survey;
mod timing;
mod topic;
mod upload;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub use archive::{Archive, ArchiveItem, Columns};
pub use convert::RowError;
pub use fault::RowFault;
pub use folder::{After, FolderConfig, watch};
pub use glob::Glob;
pub use importer::Importer;
pub use mapping::{Delimiter, Mapping};
pub use number::Decimal;
pub use plan::Refusal;
pub use report::{Failure, Report};
pub use timing::{TimeFormat, UtcOffset};
pub use topic::Topic;
pub use upload::{UploadConfig, UploadTask, open as open_upload, progress_routes};
